"""Events that an agent's turn produces (BEHAVIOUR 6.2)."""

from typing import Annotated, Any, Literal

from pydantic import Field

from freehold.wire.base import Omittable, WireModel
from freehold.wire.content import AgentContent, ResultContent, UserContent

EvaluatedPermission = Literal["allow", "ask", "deny"]


class AgentMessageEvent(WireModel):
    """Text of a finished model request."""

    id: str
    type: Literal["agent.message"] = "agent.message"
    content: list[AgentContent]
    processed_at: str


class AgentThinkingEvent(WireModel):
    """The model thought; never what."""

    id: str
    type: Literal["agent.thinking"] = "agent.thinking"
    processed_at: str


class AgentToolEvaluationAlwaysAllow(WireModel):
    """The policy lets every call run."""

    type: Literal["always_allow"] = "always_allow"


class AgentToolEvaluationAlwaysAsk(WireModel):
    """The policy asks before every call."""

    type: Literal["always_ask"] = "always_ask"


class AgentAutoEvaluatedPermissionAllow(WireModel):
    """Judged safe."""

    type: Literal["allow"] = "allow"


class AgentAutoEvaluatedPermissionAsk(WireModel):
    """Not judged; somebody must."""

    type: Literal["ask"] = "ask"
    reason_code: str


class AgentAutoEvaluatedPermissionDeny(WireModel):
    """Judged too risky, or not judged and not held."""

    type: Literal["deny"] = "deny"
    reason_code: str


class AgentToolEvaluationAuto(WireModel):
    """The server judged this call."""

    type: Literal["auto"] = "auto"
    evaluated_permission: Annotated[
        AgentAutoEvaluatedPermissionAllow
        | AgentAutoEvaluatedPermissionAsk
        | AgentAutoEvaluatedPermissionDeny,
        Field(discriminator="type"),
    ]


AgentToolEvaluation = Annotated[
    AgentToolEvaluationAlwaysAllow | AgentToolEvaluationAlwaysAsk | AgentToolEvaluationAuto,
    Field(discriminator="type"),
]


class AgentToolUseEvent(WireModel):
    """A call of a built-in tool. Without `evaluation` it was refused before any policy applied.

    `session_thread_id` is only on the copy that a child's call leaves in the primary's feed.
    """

    id: str
    type: Literal["agent.tool_use"] = "agent.tool_use"
    name: str
    input: dict[str, Any]
    evaluated_permission: Omittable[EvaluatedPermission] = None
    evaluation: Omittable[AgentToolEvaluation] = None
    session_thread_id: Omittable[str] = None
    processed_at: str


class AgentToolResultEvent(WireModel):
    """What a built-in tool gave; `tool_use_id` is the id of the call's event."""

    id: str
    type: Literal["agent.tool_result"] = "agent.tool_result"
    tool_use_id: str
    content: Omittable[list[ResultContent]] = None
    is_error: Omittable[bool] = None
    processed_at: str


class AgentMCPToolUseEvent(WireModel):
    """A call of a tool of an MCP server."""

    id: str
    type: Literal["agent.mcp_tool_use"] = "agent.mcp_tool_use"
    mcp_server_name: str
    name: str
    input: dict[str, Any]
    evaluated_permission: Omittable[EvaluatedPermission] = None
    evaluation: Omittable[AgentToolEvaluation] = None
    session_thread_id: Omittable[str] = None
    processed_at: str


class AgentMCPToolResultEvent(WireModel):
    """What a tool of an MCP server gave."""

    id: str
    type: Literal["agent.mcp_tool_result"] = "agent.mcp_tool_result"
    mcp_tool_use_id: str
    content: Omittable[list[ResultContent]] = None
    is_error: Omittable[bool] = None
    processed_at: str


class AgentCustomToolUseEvent(WireModel):
    """A call the client must run."""

    id: str
    type: Literal["agent.custom_tool_use"] = "agent.custom_tool_use"
    name: str
    input: dict[str, Any]
    session_thread_id: Omittable[str] = None
    processed_at: str


class AgentThreadMessageReceivedEvent(WireModel):
    """A message from another thread. No `from_agent_name` means the primary agent."""

    id: str
    type: Literal["agent.thread_message_received"] = "agent.thread_message_received"
    from_session_thread_id: str
    from_agent_name: Omittable[str] = None
    content: list[UserContent]
    processed_at: str


class AgentThreadMessageSentEvent(WireModel):
    """A message to another thread. No `to_agent_name` means the primary agent."""

    id: str
    type: Literal["agent.thread_message_sent"] = "agent.thread_message_sent"
    to_session_thread_id: str
    to_agent_name: Omittable[str] = None
    content: list[UserContent]
    processed_at: str


class AgentThreadContextCompactedEvent(WireModel):
    """The thread's conversation was summarised for the model; the log keeps everything."""

    id: str
    type: Literal["agent.thread_context_compacted"] = "agent.thread_context_compacted"
    processed_at: str
