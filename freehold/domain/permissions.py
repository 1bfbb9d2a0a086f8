"""What a tool call may do: which tools an agent has, and what its policies say about one call
(BEHAVIOUR 3.3).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from freehold.toolset import TOOLS, WEB_TOOLS
from freehold.wire.events import AgentToolEvaluationAlwaysAllow, AgentToolEvaluationAlwaysAsk
from freehold.wire.sessions import SessionAgent
from freehold.wire.tools import (
    AgentToolConfig,
    AgentToolset20260401,
    AgentToolsetDefaultConfig,
    CustomTool,
    WebFetchToolConfig,
    WebSearchToolConfig,
)

Permission = Literal["allow", "ask", "deny"]
Evaluation = AgentToolEvaluationAlwaysAllow | AgentToolEvaluationAlwaysAsk


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome for one call, as its event shows it. No `evaluation`: refused before any policy
    was asked.
    """

    permission: Permission
    evaluation: Evaluation | None = None


def servable(agent: SessionAgent, web_tools: Collection[str]) -> SessionAgent:
    """The agent without the web tools that this server cannot carry out: they are neither offered
    nor run.
    """
    missing = [name for name in WEB_TOOLS if name not in web_tools]
    tools = [
        _without(tool, missing) if isinstance(tool, AgentToolset20260401) else tool
        for tool in agent.tools
    ]
    return agent.model_copy(update={"tools": tools})


def _without(toolset: AgentToolset20260401, names: Sequence[str]) -> AgentToolset20260401:
    policy = toolset.default_config.permission_policy
    off = [
        kind(enabled=False, permission_policy=policy)
        for kind in (WebFetchToolConfig, WebSearchToolConfig)
        if kind.model_fields["name"].default in names
    ]
    kept = [config for config in toolset.configs if config.name not in names]
    return toolset.model_copy(update={"configs": [*kept, *off]})


def enabled_tools(agent: SessionAgent) -> tuple[str, ...]:
    """Names of the built-in tools the agent may use, in a fixed order."""
    return tuple(name for name in TOOLS if config_of(agent, name) is not None)


def custom_tools(agent: SessionAgent) -> tuple[CustomTool, ...]:
    """The tools the client runs, in the agent's order. No policy applies to them (BEHAVIOUR
    3.3).
    """
    return tuple(tool for tool in agent.tools if isinstance(tool, CustomTool))


def evaluate(agent: SessionAgent, name: str) -> Decision:
    """The policy's word on a call. A tool that is not enabled is denied whatever the policies
    say.
    """
    config = config_of(agent, name)
    if config is None:
        return Decision("deny")
    if config.permission_policy.type == "always_allow":
        return Decision("allow", AgentToolEvaluationAlwaysAllow())
    return Decision("ask", AgentToolEvaluationAlwaysAsk())


def config_of(agent: SessionAgent, name: str) -> AgentToolsetDefaultConfig | AgentToolConfig | None:
    """What holds for an enabled tool; None for any other."""
    for toolset in agent.tools:
        if isinstance(toolset, AgentToolset20260401):
            config = toolset.config_of(name)
            if config is not None and config.enabled:
                return config
    return None
