"""Every event of a session: 42 that are stored, two that only a stream carries (BEHAVIOUR 6, 8)."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from freehold.wire.agent_events import (
    AgentCustomToolUseEvent,
    AgentMCPToolResultEvent,
    AgentMCPToolUseEvent,
    AgentMessageEvent,
    AgentThinkingEvent,
    AgentThreadContextCompactedEvent,
    AgentThreadMessageReceivedEvent,
    AgentThreadMessageSentEvent,
    AgentToolEvaluation,
    AgentToolEvaluationAlwaysAllow,
    AgentToolEvaluationAlwaysAsk,
    AgentToolEvaluationAuto,
    AgentToolResultEvent,
    AgentToolUseEvent,
)
from freehold.wire.base import WireModel
from freehold.wire.content import TextBlock
from freehold.wire.session_events import (
    SessionBudgetReached,
    SessionDeletedEvent,
    SessionEndTurn,
    SessionErrorEvent,
    SessionRefusal,
    SessionRefusalStopDetails,
    SessionRequiresAction,
    SessionRetriesExhausted,
    SessionStatusIdleEvent,
    SessionStatusRescheduledEvent,
    SessionStatusRunningEvent,
    SessionStatusTerminatedEvent,
    SessionThreadCreatedEvent,
    SessionThreadStatusIdleEvent,
    SessionThreadStatusRescheduledEvent,
    SessionThreadStatusRunningEvent,
    SessionThreadStatusTerminatedEvent,
    SessionUpdatedEvent,
    SessionUsageEvent,
    StopReason,
)
from freehold.wire.span_events import (
    SpanModelRequestEndEvent,
    SpanModelRequestStartEvent,
    SpanOutcomeEvaluationEndEvent,
    SpanOutcomeEvaluationOngoingEvent,
    SpanOutcomeEvaluationStartEvent,
)
from freehold.wire.usage import (
    CacheCreationUsage,
    SessionUsageSnapshot,
    SpanModelUsage,
)
from freehold.wire.user_events import (
    SentEvent,
    SystemMessageEvent,
    UserCustomToolResultEvent,
    UserDefineOutcomeEvent,
    UserInterruptEvent,
    UserMessageEvent,
    UserToolConfirmationEvent,
    UserToolResultEvent,
)
from freehold.wire.workflow_events import (
    WorkflowRunCreatedEvent,
    WorkflowRunErrorEvent,
    WorkflowRunPhaseEndedEvent,
    WorkflowRunPhaseStartedEvent,
    WorkflowRunStatusEndedEvent,
    WorkflowRunStatusIdleEvent,
    WorkflowRunStatusRunningEvent,
)

__all__ = [
    "EVENT_TYPES",
    "LISTED_TYPES",
    "AgentCustomToolUseEvent",
    "AgentMCPToolResultEvent",
    "AgentMCPToolUseEvent",
    "AgentMessageEvent",
    "AgentMessagePreview",
    "AgentThinkingEvent",
    "AgentThinkingPreview",
    "AgentThreadContextCompactedEvent",
    "AgentThreadMessageReceivedEvent",
    "AgentThreadMessageSentEvent",
    "AgentToolEvaluation",
    "AgentToolEvaluationAlwaysAllow",
    "AgentToolEvaluationAlwaysAsk",
    "AgentToolEvaluationAuto",
    "AgentToolResultEvent",
    "AgentToolUseEvent",
    "CacheCreationUsage",
    "DeltaContent",
    "DeltaEvent",
    "Event",
    "SentEvent",
    "SessionBudgetReached",
    "SessionDeletedEvent",
    "SessionEndTurn",
    "SessionErrorEvent",
    "SessionRefusal",
    "SessionRefusalStopDetails",
    "SessionRequiresAction",
    "SessionRetriesExhausted",
    "SessionStatusIdleEvent",
    "SessionStatusRescheduledEvent",
    "SessionStatusRunningEvent",
    "SessionStatusTerminatedEvent",
    "SessionThreadCreatedEvent",
    "SessionThreadStatusIdleEvent",
    "SessionThreadStatusRescheduledEvent",
    "SessionThreadStatusRunningEvent",
    "SessionThreadStatusTerminatedEvent",
    "SessionUpdatedEvent",
    "SessionUsageEvent",
    "SessionUsageSnapshot",
    "SpanModelRequestEndEvent",
    "SpanModelRequestStartEvent",
    "SpanModelUsage",
    "SpanOutcomeEvaluationEndEvent",
    "SpanOutcomeEvaluationOngoingEvent",
    "SpanOutcomeEvaluationStartEvent",
    "StartEvent",
    "StopReason",
    "StreamEvent",
    "SystemMessageEvent",
    "UserCustomToolResultEvent",
    "UserDefineOutcomeEvent",
    "UserInterruptEvent",
    "UserMessageEvent",
    "UserToolConfirmationEvent",
    "UserToolResultEvent",
    "WorkflowRunCreatedEvent",
    "WorkflowRunErrorEvent",
    "WorkflowRunPhaseEndedEvent",
    "WorkflowRunPhaseStartedEvent",
    "WorkflowRunStatusEndedEvent",
    "WorkflowRunStatusIdleEvent",
    "WorkflowRunStatusRunningEvent",
]

Event = Annotated[
    UserMessageEvent
    | UserInterruptEvent
    | UserToolConfirmationEvent
    | UserCustomToolResultEvent
    | UserToolResultEvent
    | UserDefineOutcomeEvent
    | SystemMessageEvent
    | AgentMessageEvent
    | AgentThinkingEvent
    | AgentToolUseEvent
    | AgentToolResultEvent
    | AgentMCPToolUseEvent
    | AgentMCPToolResultEvent
    | AgentCustomToolUseEvent
    | AgentThreadMessageReceivedEvent
    | AgentThreadMessageSentEvent
    | AgentThreadContextCompactedEvent
    | SessionStatusRunningEvent
    | SessionStatusRescheduledEvent
    | SessionStatusIdleEvent
    | SessionStatusTerminatedEvent
    | SessionUpdatedEvent
    | SessionDeletedEvent
    | SessionErrorEvent
    | SessionUsageEvent
    | SessionThreadCreatedEvent
    | SessionThreadStatusRunningEvent
    | SessionThreadStatusIdleEvent
    | SessionThreadStatusRescheduledEvent
    | SessionThreadStatusTerminatedEvent
    | SpanModelRequestStartEvent
    | SpanModelRequestEndEvent
    | SpanOutcomeEvaluationStartEvent
    | SpanOutcomeEvaluationOngoingEvent
    | SpanOutcomeEvaluationEndEvent
    | WorkflowRunCreatedEvent
    | WorkflowRunStatusRunningEvent
    | WorkflowRunStatusIdleEvent
    | WorkflowRunStatusEndedEvent
    | WorkflowRunPhaseStartedEvent
    | WorkflowRunPhaseEndedEvent
    | WorkflowRunErrorEvent,
    Field(discriminator="type"),
]
EVENT_TYPES: dict[str, type[Any]] = {
    event.model_fields["type"].default: event for event in get_args(get_args(Event)[0])
}
"""The class of every stored event, by its `type`."""

LISTED_TYPES = frozenset(EVENT_TYPES) - {"session.deleted"}
"""What `types[]` of a list may name (BEHAVIOUR 6.4)."""


class AgentMessagePreview(WireModel):
    """The message that is being written."""

    type: Literal["agent.message"] = "agent.message"
    id: str


class AgentThinkingPreview(WireModel):
    """The thinking that goes on."""

    type: Literal["agent.thinking"] = "agent.thinking"
    id: str


class StartEvent(WireModel):
    """A preview begins; the stored event will have the same id. Only where it was asked for."""

    type: Literal["event_start"] = "event_start"
    event: Annotated[AgentMessagePreview | AgentThinkingPreview, Field(discriminator="type")]


class DeltaContent(WireModel):
    """More text of the content block at `index`, counted from 0."""

    type: Literal["content_delta"] = "content_delta"
    index: int
    content: TextBlock


class DeltaEvent(WireModel):
    """A piece of a preview."""

    type: Literal["event_delta"] = "event_delta"
    event_id: str
    delta: DeltaContent


StreamEvent = Annotated[Event | StartEvent | DeltaEvent, Field(discriminator="type")]
