"""What waits for its turn: messages and system messages, and how many may (BEHAVIOUR 5.7)."""

from __future__ import annotations

from freehold.domain import accounting, inputs, lifecycle
from freehold.domain.draft import Draft
from freehold.domain.session import Head
from freehold.errors import InvalidRequest
from freehold.wire.events import Event, SystemMessageEvent, UserInterruptEvent, UserMessageEvent

MAX_PENDING = 500
_SETTLING = "`user.tool_confirmation`, `user.custom_tool_result`, `user.tool_result`"


def add_message(draft: Draft, event: UserMessageEvent, position: int) -> None:
    """Starts an idle thread. Raises InvalidRequest where the thread waits for something else."""
    head = draft.primary
    _require_not_parked(draft, event, position)
    _require_budget(draft, event, position)
    _queue(draft, head, event, position)
    if head.status == "idle":
        lifecycle.start(draft, head.thread_id)


def add_system_message(
    draft: Draft, event: SystemMessageEvent, position: int, *, trails_answer: bool
) -> None:
    """Queued with what it accompanies. Alone on an idle thread it is taken in at once: it starts no
    turn, the next one reads it. A parked thread takes it only behind an answer (BEHAVIOUR 5.7).

    Raises InvalidRequest.
    """
    head = draft.primary
    if not trails_answer:
        _require_not_parked(draft, event, position)
    _require_budget(draft, event, position)
    if head.status != "idle":
        _queue(draft, head, event, position)
        return
    draft.need("asks", "running")
    at = draft.stamp(head.thread_id)
    draft.add(head.thread_id, event.model_copy(update={"processed_at": at}))
    draft.note(head.thread_id, "consumed", [event.id])


def _require_not_parked(draft: Draft, event: Event, position: int) -> None:
    asks = draft.session.asks and not draft.session.running
    if draft.primary.status == "requires_action" or asks:
        waiting = ", ".join(draft.session.asked)
        raise InvalidRequest(
            f"Invalid {event.type} event at events[{position}]: "
            f"waiting on responses to events [{waiting}]; "
            f"only {_SETTLING}, or `user.interrupt` may be sent"
        )


def _require_budget(draft: Draft, event: Event, position: int) -> None:
    """A thread that crossed the cap and finished its turn is idle: the session is at the cap."""
    head = draft.primary
    at_cap = accounting.is_over_budget(draft.session, draft.now) and not head.is_busy
    if head.status == "budget_reached" or at_cap:
        raise InvalidRequest(
            f"Invalid {event.type} event at events[{position}]: the session reached its budget; "
            f"only {_SETTLING}, and `user.interrupt` are accepted"
        )


def _queue(draft: Draft, head: Head, event: Event, position: int) -> None:
    require_room(head, event, position)
    draft.inputs[event.id] = event.model_dump()
    seq = draft.add(head.thread_id, event)
    inputs.accept(draft, head.thread_id, event.id, event.type, seq)


def require_room(head: Head, event: Event, position: int) -> None:
    """Messages and interrupts are counted apart: a full queue can still be interrupted."""
    is_interrupt = isinstance(event, UserInterruptEvent)
    waiting = sum(pending.is_interrupt == is_interrupt for pending in head.pending)
    if waiting >= MAX_PENDING:
        raise InvalidRequest(
            f"Invalid {event.type} event at events[{position}]: "
            f"{MAX_PENDING} events are waiting to be processed already"
        )
