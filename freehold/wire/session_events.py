"""Events of the session and its threads (BEHAVIOUR 6.2, 6.3)."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from freehold.wire.base import WireModel
from freehold.wire.errors import SessionError
from freehold.wire.session_agent import SessionAgent
from freehold.wire.usage import BudgetLimit, SessionUsageSnapshot


class SessionEndTurn(WireModel):
    """A natural end, or an interrupt."""

    type: Literal["end_turn"] = "end_turn"


class SessionRequiresAction(WireModel):
    """Blocked on these tool-use events."""

    type: Literal["requires_action"] = "requires_action"
    event_ids: list[str]


class SessionRetriesExhausted(WireModel):
    """The turn failed for good."""

    type: Literal["retries_exhausted"] = "retries_exhausted"


class SessionBudgetReached(WireModel):
    """The cap was hit."""

    type: Literal["budget_reached"] = "budget_reached"


class SessionRefusal(WireModel):
    """The model's reply was refused; `stop_details` stands beside it."""

    type: Literal["refusal"] = "refusal"


StopReason = Annotated[
    SessionEndTurn
    | SessionRequiresAction
    | SessionRetriesExhausted
    | SessionBudgetReached
    | SessionRefusal,
    Field(discriminator="type"),
]
RefusalCategory = Literal["cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"]


class SessionRefusalStopDetails(WireModel):
    """Why a reply was refused. A category this API does not know is shown as null."""

    type: Literal["refusal"] = "refusal"
    category: RefusalCategory | None
    explanation: str | None


class SessionStatusRunningEvent(WireModel):
    """A thread began to run."""

    id: str
    type: Literal["session.status_running"] = "session.status_running"
    processed_at: str


class SessionStatusRescheduledEvent(WireModel):
    """Waiting to try again."""

    id: str
    type: Literal["session.status_rescheduled"] = "session.status_rescheduled"
    processed_at: str


class SessionStatusIdleEvent(WireModel):
    """No thread runs any more."""

    id: str
    type: Literal["session.status_idle"] = "session.status_idle"
    stop_reason: StopReason
    stop_details: SessionRefusalStopDetails | None = None
    processed_at: str


class SessionStatusTerminatedEvent(WireModel):
    """The session ended for good."""

    id: str
    type: Literal["session.status_terminated"] = "session.status_terminated"
    processed_at: str


class SessionUpdatedEvent(WireModel):
    """An update changed something. Only what the constructor was given is shown, also as null."""

    id: str
    type: Literal["session.updated"] = "session.updated"
    agent: SessionAgent | None = None
    budget: BudgetLimit | None = None
    metadata: dict[str, str] | None = None
    title: str | None = None
    processed_at: str

    @model_serializer(mode="wrap")
    def _only_what_changed(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        shown: dict[str, Any] = handler(self)
        for name in ("agent", "budget", "metadata", "title"):
            if name not in self.model_fields_set:
                del shown[name]
        return shown


class SessionDeletedEvent(WireModel):
    """The last event of a session."""

    id: str
    type: Literal["session.deleted"] = "session.deleted"
    processed_at: str


class SessionErrorEvent(WireModel):
    """Something failed; `error.retry_status` says what follows."""

    id: str
    type: Literal["session.error"] = "session.error"
    error: SessionError
    processed_at: str


class SessionUsageEvent(WireModel):
    """Totals, right before every idle."""

    id: str
    type: Literal["session.usage"] = "session.usage"
    usage: SessionUsageSnapshot
    budget: BudgetLimit | None
    processed_at: str


class SessionThreadCreatedEvent(WireModel):
    """A child thread; in its parent's feed."""

    id: str
    type: Literal["session.thread_created"] = "session.thread_created"
    session_thread_id: str
    agent_name: str
    workflow_run_id: str | None
    processed_at: str


class SessionThreadStatusRunningEvent(WireModel):
    """A thread began to run."""

    id: str
    type: Literal["session.thread_status_running"] = "session.thread_status_running"
    session_thread_id: str
    agent_name: str
    processed_at: str


class SessionThreadStatusIdleEvent(WireModel):
    """A thread stopped running."""

    id: str
    type: Literal["session.thread_status_idle"] = "session.thread_status_idle"
    session_thread_id: str
    agent_name: str
    stop_reason: StopReason
    stop_details: SessionRefusalStopDetails | None = None
    processed_at: str


class SessionThreadStatusRescheduledEvent(WireModel):
    """A thread waits to try again."""

    id: str
    type: Literal["session.thread_status_rescheduled"] = "session.thread_status_rescheduled"
    session_thread_id: str
    agent_name: str
    processed_at: str


class SessionThreadStatusTerminatedEvent(WireModel):
    """A thread ended for good."""

    id: str
    type: Literal["session.thread_status_terminated"] = "session.thread_status_terminated"
    session_thread_id: str
    agent_name: str
    processed_at: str
