"""Every input the installed SDK can send is parsed or refused by name, and no other is taken."""

from __future__ import annotations

import anthropic
import httpx2
import pytest
from anthropic.types import beta
from anthropic.types.beta import agents as agent_types
from anthropic.types.beta import sessions as session_types
from anthropic.types.beta.sessions import threads as thread_types
from typing_extensions import get_type_hints

from freehold.errors import NotYetSupported
from freehold.wire import (
    agent_input,
    agents,
    content,
    custom_tools,
    environments,
    event_input,
    lists,
    session_agent_input,
    sessions,
    tool_input,
    tools,
    usage,
    user_events,
)
from tests.contract.sdk_surface import param_name, required_keys, typed_dicts

BODIES = {
    "AgentCreate": agents.CreateAgent,
    "AgentUpdate": agents.UpdateAgent,
    "EnvironmentCreate": environments.CreateEnvironment,
    "EnvironmentUpdate": environments.UpdateEnvironment,
    "SessionCreate": sessions.CreateSession,
    "SessionUpdate": sessions.UpdateSession,
    "EventSend": event_input.SendEvents,
}
"""What an operation's body is parsed into, by the name of the SDK's parameters."""

NESTED = {
    "ModelConfig": agent_input.ModelConfigParams,
    "ServiceAccountExecutionIdentity": agent_input.ServiceAccountExecutionIdentity,
    "AgentToolset20260401": tool_input.AgentToolset20260401Params,
    "AgentToolsetDefaultConfig": tool_input.AgentToolsetDefaultConfigParams,
    "BashToolConfig": tool_input.BashToolConfigParams,
    "EditToolConfig": tool_input.EditToolConfigParams,
    "ReadToolConfig": tool_input.ReadToolConfigParams,
    "WriteToolConfig": tool_input.WriteToolConfigParams,
    "GlobToolConfig": tool_input.GlobToolConfigParams,
    "GrepToolConfig": tool_input.GrepToolConfigParams,
    "WebFetchToolConfig": tool_input.WebFetchToolConfigParams,
    "WebSearchToolConfig": tool_input.WebSearchToolConfigParams,
    "WebFetchURLSources": tool_input.WebFetchURLSourcesParams,
    "WebFetchURLSourceAll": tools.WebFetchURLSourceAll,
    "WebFetchURLSourceNone": tools.WebFetchURLSourceNone,
    "WebFetchURLSourceOnly": tools.WebFetchURLSourceOnly,
    "WebFetchURLSourceExcept": tools.WebFetchURLSourceExcept,
    "WebFetchURLSourceToolReference": tools.WebFetchURLSourceToolReference,
    "UserLocation": tools.UserLocation,
    "AlwaysAllowPolicy": tools.AlwaysAllowPolicy,
    "AlwaysAskPolicy": tools.AlwaysAskPolicy,
    "CustomTool": custom_tools.CustomToolParams,
    "CustomToolInputSchema": tools.CustomToolInputSchema,
    **{f"Effort{level}": agent_input.Effort for level in ("Low", "Medium", "High", "Xhigh", "Max")},
    "CloudConfig": environments.CloudConfigParams,
    "SelfHostedConfig": environments.SelfHostedConfig,
    "UnrestrictedNetwork": environments.UnrestrictedNetworkParams,
    "LimitedNetwork": environments.LimitedNetworkParams,
    "Packages": environments.PackagesParams,
    "Agent": session_agent_input.AgentParams,
    "AgentWithOverrides": session_agent_input.AgentWithOverridesParams,
    "SessionAgentUpdate": session_agent_input.SessionAgentUpdateParams,
    "UserMessageEvent": event_input.UserMessageEventParams,
    "UserInterruptEvent": event_input.UserInterruptEventParams,
    "UserToolConfirmationEvent": event_input.UserToolConfirmationEventParams,
    "UserCustomToolResultEvent": event_input.UserCustomToolResultEventParams,
    "UserToolResultEvent": event_input.UserToolResultEventParams,
    "UserDefineOutcomeEvent": event_input.UserDefineOutcomeEventParams,
    "SystemMessageEvent": event_input.SystemMessageEventParams,
    "FileRubric": user_events.FileRubric,
    "TextRubric": user_events.TextRubric,
    "SystemContentBlock": user_events.SystemContentBlock,
    "TextBlock": content.TextBlock,
    "RedactedBlock": content.RedactedBlock,
    "ImageBlock": content.ImageBlock,
    "DocumentBlock": content.DocumentBlock,
    "SearchResultBlock": content.SearchResultBlock,
    "SearchResultCitations": content.SearchResultCitations,
    "SearchResultContent": content.SearchResultContent,
    "Base64ImageSource": content.Base64ImageSource,
    "URLImageSource": content.URLImageSource,
    "FileImageSource": content.FileImageSource,
    "Base64DocumentSource": content.Base64DocumentSource,
    "PlainTextDocumentSource": content.PlainTextDocumentSource,
    "URLDocumentSource": content.URLDocumentSource,
    "FileDocumentSource": content.FileDocumentSource,
    "BudgetLimit": usage.BudgetLimitParams,
}

AGENT = {"name": "a", "model": "m"}
SESSION = {"agent": "agent_x", "environment_id": "env_x"}
MESSAGE = {"type": "user.message", "content": [{"type": "text", "text": "t"}]}


def _toolset(**settings):
    return {**AGENT, "tools": [{"type": "agent_toolset_20260401", **settings}]}


def _policy(kind):
    return agents.CreateAgent, _toolset(default_config={"permission_policy": {"type": kind}})


REFUSED = {
    "AWSRoleExecutionIdentity": (
        agents.CreateAgent,
        {**AGENT, "execution_identity": {"type": "aws_role", "role_arn": "arn"}},
    ),
    "URLMCPServer": (agents.CreateAgent, {**AGENT, "mcp_servers": [{"type": "url"}]}),
    "MultiagentCoordinator": (agents.CreateAgent, {**AGENT, "multiagent": {"type": "coordinator"}}),
    "Multiagent20261001": (
        agents.CreateAgent,
        {**AGENT, "multiagent": {"type": "multiagent_20261001"}},
    ),
    "AnthropicSkill": (agents.CreateAgent, {**AGENT, "skills": [{"type": "anthropic"}]}),
    "CustomSkill": (agents.CreateAgent, {**AGENT, "skills": [{"type": "custom"}]}),
    "MCPToolset": (agents.CreateAgent, {**AGENT, "tools": [{"type": "mcp_toolset"}]}),
    "AutoPolicy": _policy("auto"),
    "GitHubRepositoryResource": (
        sessions.CreateSession,
        {**SESSION, "resources": [{"type": "github_repository"}]},
    ),
    "FileResource": (sessions.CreateSession, {**SESSION, "resources": [{"type": "file"}]}),
    "MemoryStoreResource": (
        sessions.CreateSession,
        {**SESSION, "resources": [{"type": "memory_store"}]},
    ),
}
"""Input that is refused as a whole, with the least that shows it."""

INSIDE_REFUSED = {
    "Advisor",
    "MultiagentSelf",
    "MultiagentAdvisorEnabled",
    "MultiagentAdvisorDisabled",
    "MultiagentSubagentsEnabled",
    "MultiagentSubagentsDisabled",
    "MultiagentWorkflowsEnabled",
    "MultiagentWorkflowsDisabled",
    "MultiagentInlineAgentsEnabled",
    "MultiagentInlineAgentsDisabled",
    "MCPToolConfig",
    "MCPToolsetDefaultConfig",
    "MonetaryAmount",
    "BranchCheckout",
    "CommitCheckout",
}
"""Parts of what is refused as a whole."""

EXTENSIONS = {
    name: {"session_thread_id"}
    for name in ("UserToolConfirmationEvent", "UserCustomToolResultEvent", "UserToolResultEvent")
}
"""Fields older SDKs send; accepted and not followed (WIRE_FACTS)."""

NOT_IN_BODIES = {"betas", "workspace_id", "session_id"}
"""Headers and path."""


def _roots():
    from_beta = {n: getattr(beta, n) for n in dir(beta) if n.endswith("Params")}
    found = {param_name(kind): kind for kind in from_beta.values() if isinstance(kind, type)}
    found["EventSend"] = session_types.EventSendParams
    return {name: found[name] for name in BODIES}


def _every_typed_dict():
    found = {}
    for kind in _roots().values():
        typed_dicts(kind, found)
    return found


TYPED_DICTS = _every_typed_dict()


def test_every_input_of_the_sdk_is_parsed_or_refused():
    assert set(TYPED_DICTS) == {*BODIES, *NESTED, *REFUSED, *INSIDE_REFUSED}


@pytest.mark.parametrize("name", [*BODIES, *NESTED])
def test_our_requests_take_the_fields_of_the_sdks(name):
    theirs, ours = TYPED_DICTS[name], {**BODIES, **NESTED}[name]
    fields = set(get_type_hints(theirs)) - NOT_IN_BODIES
    assert fields == set(ours.model_fields) - EXTENSIONS.get(name, set())
    required = {n for n, f in ours.model_fields.items() if f.is_required()} - {"type"}
    assert required == required_keys(theirs) - {"type"} - NOT_IN_BODIES


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_built_is_refused_by_name(name):
    model, body = REFUSED[name]
    with pytest.raises(NotYetSupported, match="not supported by this server yet"):
        model.model_validate(body)


class Recorder(httpx2.BaseTransport):
    """Answers every request with an empty list, and remembers its query."""

    def handle_request(self, request):
        self.query = request.url.params.multi_items()
        return httpx2.Response(200, json={"data": []})


TIMES = {f"created_at_{bound}": "2026-01-01T00:00:00Z" for bound in ("gt", "gte", "lt", "lte")}
AGENT_TIMES = {name: TIMES[name] for name in ("created_at_gte", "created_at_lte")}
PAGE = {"limit": 3, "page": "p"}
STATUSES = ["idle", "running"]
QUERIES = {
    "AgentList": (
        agents.AgentList,
        beta.AgentListParams,
        lambda api, given: api.agents.list(**given),
        {**PAGE, **AGENT_TIMES, "include_archived": True},
    ),
    "VersionList": (
        agents.VersionList,
        agent_types.VersionListParams,
        lambda api, given: api.agents.versions.list("agent_x", **given),
        PAGE,
    ),
    "EnvironmentList": (
        environments.EnvironmentList,
        beta.EnvironmentListParams,
        lambda api, given: api.environments.list(**given),
        {**PAGE, "include_archived": False},
    ),
    "SessionList": (
        sessions.SessionList,
        beta.SessionListParams,
        lambda api, given: api.sessions.list(**given),
        {
            **PAGE,
            **TIMES,
            "include_archived": True,
            "order": "asc",
            "agent_id": "agent_x",
            "agent_version": 2,
            "deployment_id": "depl_x",
            "memory_store_id": "memstore_x",
            "statuses": STATUSES,
        },
    ),
    "EventList": (
        lists.EventList,
        session_types.EventListParams,
        lambda api, given: api.sessions.events.list("sesn_x", **given),
        {**PAGE, **TIMES, "order": "desc", "types": ["user.message", "agent.message"]},
    ),
    "EventStream": (
        lists.EventStream,
        session_types.EventStreamParams,
        lambda api, given: api.sessions.events.stream("sesn_x", **given),
        {"event_deltas": ["agent.message", "agent.thinking"]},
    ),
    "ThreadList": (
        lists.ThreadList,
        session_types.ThreadListParams,
        lambda api, given: api.sessions.threads.list("sesn_x", **given),
        {**PAGE, "statuses": STATUSES},
    ),
    "ThreadEventList": (
        lists.ThreadEventList,
        thread_types.EventListParams,
        lambda api, given: api.sessions.threads.events.list("sthr_x", session_id="sesn_x", **given),
        PAGE,
    ),
}


@pytest.mark.parametrize("name", QUERIES)
def test_our_queries_take_what_the_sdk_sends(name):
    ours, theirs, call, given = QUERIES[name]
    assert set(given) == set(get_type_hints(theirs)) - NOT_IN_BODIES
    recorder = Recorder()
    with anthropic.Anthropic(
        api_key="key", http_client=httpx2.Client(transport=recorder)
    ) as client:
        call(client.beta, given)
    parsed = ours.from_query(recorder.query)
    for field, value in given.items():
        expected = "2026-01-01T00:00:00.000000Z" if field in TIMES else value
        assert getattr(parsed, field) == expected
    assert set(ours.model_fields) == set(given)
