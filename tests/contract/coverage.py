"""What of the SDK's surface this server has: each operation and event is done, with the test that
proves it, or not yet, with the name of the feature that will bring it.
"""

from __future__ import annotations

from typing import NamedTuple

_SDK = "tests/contract/test_sdk.py"
_PERMISSIONS = "tests/contract/test_sequences_permissions.py"
_SDK_EVENTS = "tests/contract/test_sdk_events.py"
_COMPACTION = "tests/contract/test_sdk_compaction.py"
_SEQUENCES = "tests/contract/test_sequences_session.py"


class Done(NamedTuple):
    """Works; `test` is the node that fails when it stops working."""

    test: str


class NotYet(NamedTuple):
    """Refused by name until `feature` is built."""

    feature: str


Status = Done | NotYet


def _sdk(**tests: str) -> dict[str, Status]:
    return {operation: Done(f"{_SDK}::{test}") for operation, test in tests.items()}


def _not_yet(feature: str, *names: str) -> dict[str, Status]:
    return dict.fromkeys(names, NotYet(feature))


def _crud(collection: str, item: str, *verbs: str) -> tuple[str, ...]:
    """Create, list, retrieve, update, and the verbs of a resource; `delete` is a method."""
    place = f"/v1/{collection}/{{{item}}}"
    plain = (f"POST /v1/{collection}", f"GET /v1/{collection}", f"GET {place}", f"POST {place}")
    more = (f"DELETE {place}" if verb == "delete" else f"POST {place}/{verb}" for verb in verbs)
    return (*plain, *more)


_SESSION = "/v1/sessions/{session_id}"
_THREAD = f"{_SESSION}/threads/{{thread_id}}"
_WORK = "/v1/environments/{environment_id}/work"

OPERATIONS: dict[str, Status] = {
    **_sdk(
        **{
            "POST /v1/agents": "test_agents_create",
            "GET /v1/agents": "test_agents_list",
            "GET /v1/agents/{agent_id}": "test_agents_retrieve",
            "POST /v1/agents/{agent_id}": "test_agents_update",
            "POST /v1/agents/{agent_id}/archive": "test_agents_archive",
            "GET /v1/agents/{agent_id}/versions": "test_agents_versions_list",
            "POST /v1/environments": "test_environments_create",
            "GET /v1/environments": "test_environments_list",
            "GET /v1/environments/{environment_id}": "test_environments_retrieve",
            "POST /v1/environments/{environment_id}": "test_environments_update",
            "POST /v1/environments/{environment_id}/archive": "test_environments_archive",
            "DELETE /v1/environments/{environment_id}": "test_environments_delete",
            "POST /v1/sessions": "test_sessions_create",
            "GET /v1/sessions": "test_sessions_list",
            f"GET {_SESSION}": "test_sessions_retrieve",
            f"POST {_SESSION}": "test_sessions_update",
            f"POST {_SESSION}/archive": "test_sessions_archive",
            f"DELETE {_SESSION}": "test_sessions_delete",
            f"POST {_SESSION}/events": "test_sessions_events_send",
            f"GET {_SESSION}/events": "test_sessions_events_list",
            f"GET {_SESSION}/events/stream": "test_sessions_events_stream",
            f"GET {_SESSION}/threads": "test_sessions_threads_list",
            f"GET {_THREAD}": "test_sessions_threads_retrieve",
            f"GET {_THREAD}/events": "test_sessions_threads_events_list",
            f"GET {_THREAD}/stream": "test_sessions_threads_events_stream",
        }
    ),
    **_not_yet("multi-agent sessions", f"POST {_THREAD}/archive"),
    **_not_yet(
        "session resources",
        f"POST {_SESSION}/resources",
        f"GET {_SESSION}/resources",
        f"GET {_SESSION}/resources/{{resource_id}}",
        f"POST {_SESSION}/resources/{{resource_id}}",
        f"DELETE {_SESSION}/resources/{{resource_id}}",
    ),
    **_not_yet(
        "self_hosted environments",
        f"GET {_WORK}",
        f"GET {_WORK}/poll",
        f"GET {_WORK}/stats",
        f"GET {_WORK}/{{work_id}}",
        f"POST {_WORK}/{{work_id}}",
        f"POST {_WORK}/{{work_id}}/ack",
        f"POST {_WORK}/{{work_id}}/heartbeat",
        f"POST {_WORK}/{{work_id}}/stop",
    ),
    **_not_yet("vaults", *_crud("vaults", "vault_id", "archive", "delete")),
    **_not_yet(
        "vaults",
        *_crud(
            "vaults/{vault_id}/credentials",
            "credential_id",
            "archive",
            "mcp_oauth_validate",
            "delete",
        ),
    ),
    **_not_yet(
        "memory stores",
        *_crud("memory_stores", "memory_store_id", "archive", "delete"),
        *_crud("memory_stores/{memory_store_id}/memories", "memory_id", "delete"),
        "GET /v1/memory_stores/{memory_store_id}/memory_versions",
        "GET /v1/memory_stores/{memory_store_id}/memory_versions/{memory_version_id}",
        "POST /v1/memory_stores/{memory_store_id}/memory_versions/{memory_version_id}/redact",
    ),
    **_not_yet(
        "deployments",
        *_crud("deployments", "deployment_id", "archive", "pause", "unpause", "run"),
        "GET /v1/deployment_runs",
        "GET /v1/deployment_runs/{deployment_run_id}",
    ),
    **_not_yet(
        "dreams",
        "POST /v1/dreams",
        "GET /v1/dreams",
        "GET /v1/dreams/{dream_id}",
        "POST /v1/dreams/{dream_id}/archive",
        "POST /v1/dreams/{dream_id}/cancel",
    ),
    **_not_yet(
        "files",
        "POST /v1/files",
        "GET /v1/files",
        "GET /v1/files/{file_id}",
        "GET /v1/files/{file_id}/content",
        "DELETE /v1/files/{file_id}",
    ),
    **_not_yet(
        "skills",
        "POST /v1/skills",
        "GET /v1/skills",
        "GET /v1/skills/{skill_id}",
        "DELETE /v1/skills/{skill_id}",
        "POST /v1/skills/{skill_id}/versions",
        "GET /v1/skills/{skill_id}/versions",
        "GET /v1/skills/{skill_id}/versions/{version}",
        "GET /v1/skills/{skill_id}/versions/{version}/content",
        "DELETE /v1/skills/{skill_id}/versions/{version}",
    ),
    **_not_yet(
        "user profiles",
        *_crud("user_profiles", "user_profile_id", "action_urls", "enrollment_url", "delete"),
    ),
    **_not_yet(
        "MCP tunnels",
        "POST /v1/tunnels",
        "GET /v1/tunnels",
        "GET /v1/tunnels/{tunnel_id}",
        "POST /v1/tunnels/{tunnel_id}/archive",
        "POST /v1/tunnels/{tunnel_id}/reveal_token",
        "POST /v1/tunnels/{tunnel_id}/rotate_token",
        "POST /v1/tunnels/{tunnel_id}/certificates",
        "GET /v1/tunnels/{tunnel_id}/certificates",
        "GET /v1/tunnels/{tunnel_id}/certificates/{certificate_id}",
        "POST /v1/tunnels/{tunnel_id}/certificates/{certificate_id}/archive",
    ),
    **_not_yet(
        "webhooks",
        *_crud(
            "organizations/webhooks",
            "webhook_endpoint_id",
            "regenerate_signing_secret",
            "delete",
        ),
    ),
}

EXTENSIONS: dict[str, Done] = {
    "POST /v1/ws-tickets": Done(
        "tests/contract/test_websocket.py::test_a_ticket_opens_one_socket_as_its_caller"
    ),
}
"""Operations that the SDK does not have (docs/divergences.md)."""

EVENTS: dict[str, Status] = {
    "user.message": Done(f"{_SDK}::test_sessions_events_send"),
    "user.interrupt": Done(
        f"{_SDK_EVENTS}::test_an_interrupt_ends_a_running_tool_and_the_message_beside_it_is_answered"
    ),
    "user.tool_confirmation": Done(
        f"{_PERMISSIONS}::test_an_allowed_call_runs_and_the_turn_goes_on"
    ),
    "user.custom_tool_result": Done(f"{_PERMISSIONS}::test_a_custom_tool_is_run_by_the_client"),
    "user.tool_result": NotYet("self_hosted environments"),
    "user.define_outcome": NotYet("outcomes"),
    "system.message": Done(
        f"{_SEQUENCES}::test_a_system_message_is_taken_in_with_the_message_it_accompanies"
    ),
    "agent.message": Done(f"{_SDK}::test_sessions_events_list"),
    "agent.thinking": Done(f"{_SDK}::test_a_stream_with_previews"),
    "agent.tool_use": Done(f"{_SDK}::test_a_tool_turn"),
    "agent.tool_result": Done(f"{_SDK}::test_a_tool_turn"),
    "agent.custom_tool_use": Done(f"{_PERMISSIONS}::test_a_custom_tool_is_run_by_the_client"),
    "agent.mcp_tool_use": NotYet("MCP servers"),
    "agent.mcp_tool_result": NotYet("MCP servers"),
    "agent.thread_message_received": NotYet("multi-agent sessions"),
    "agent.thread_message_sent": NotYet("multi-agent sessions"),
    "agent.thread_context_compacted": Done(
        f"{_COMPACTION}::test_a_session_that_outgrows_the_window_is_summarized_and_goes_on"
    ),
    "session.status_running": Done(f"{_SDK}::test_sessions_events_list"),
    "session.status_idle": Done(f"{_SDK}::test_sessions_events_list"),
    "session.status_rescheduled": Done(
        f"{_SDK_EVENTS}::test_a_failed_request_is_rescheduled_and_then_answered"
    ),
    "session.status_terminated": Done(f"{_SDK}::test_sessions_archive"),
    "session.updated": Done(f"{_SDK}::test_sessions_update"),
    "session.deleted": Done(f"{_SDK_EVENTS}::test_a_deletion_is_the_last_event_of_an_open_stream"),
    "session.error": Done(f"{_SDK_EVENTS}::test_a_failed_request_is_rescheduled_and_then_answered"),
    "session.usage": Done(f"{_SDK}::test_sessions_events_list"),
    "session.thread_created": NotYet("multi-agent sessions"),
    "session.thread_status_running": Done(f"{_SDK}::test_sessions_events_list"),
    "session.thread_status_idle": Done(f"{_SDK}::test_sessions_events_list"),
    "session.thread_status_rescheduled": Done(
        f"{_SDK_EVENTS}::test_a_failed_request_is_rescheduled_and_then_answered"
    ),
    "session.thread_status_terminated": Done(f"{_SDK}::test_sessions_archive"),
    "span.model_request_start": Done(f"{_SDK}::test_sessions_events_list"),
    "span.model_request_end": Done(f"{_SDK}::test_sessions_events_list"),
    "span.outcome_evaluation_start": NotYet("outcomes"),
    "span.outcome_evaluation_ongoing": NotYet("outcomes"),
    "span.outcome_evaluation_end": NotYet("outcomes"),
    "workflow_run.created": NotYet("workflow runs"),
    "workflow_run.status_running": NotYet("workflow runs"),
    "workflow_run.status_idle": NotYet("workflow runs"),
    "workflow_run.status_ended": NotYet("workflow runs"),
    "workflow_run.phase_started": NotYet("workflow runs"),
    "workflow_run.phase_ended": NotYet("workflow runs"),
    "workflow_run.error": NotYet("workflow runs"),
    "event_start": Done(f"{_SDK}::test_a_stream_with_previews"),
    "event_delta": Done(f"{_SDK}::test_a_stream_with_previews"),
}

MOST_NOT_YET: dict[str, int] = {
    "MCP servers": 2,
    "MCP tunnels": 10,
    "deployments": 10,
    "dreams": 5,
    "files": 5,
    "memory stores": 14,
    "multi-agent sessions": 4,
    "outcomes": 4,
    "self_hosted environments": 9,
    "session resources": 5,
    "skills": 9,
    "user profiles": 7,
    "vaults": 13,
    "webhooks": 6,
    "workflow runs": 7,
}
"""Operations and events that wait, by feature. A feature that is built is taken out; none is added
and no number is raised: what works does not go back to waiting.
"""
