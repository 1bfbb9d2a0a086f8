"""What a client's request does to a session: events, updates, archive, delete. Each composes one
transaction or raises.

The whole request is refused when one event is refused. Interrupts and answers are judged before
messages, so that a request may unpark a session and speak to it (WIRE_FACTS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from freehold.domain import accounting, answers, inputs, lifecycle, queue
from freehold.domain.draft import Draft
from freehold.domain.session import Head, SessionState
from freehold.errors import InvalidRequest, NotFound
from freehold.keys import Key
from freehold.ports import Condition, Write
from freehold.wire.events import (
    Event,
    SessionDeletedEvent,
    SessionStatusTerminatedEvent,
    SessionThreadStatusTerminatedEvent,
    SystemMessageEvent,
    UserCustomToolResultEvent,
    UserInterruptEvent,
    UserMessageEvent,
    UserToolConfirmationEvent,
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event of a request with its place in it."""

    position: int
    event: Event


def append_events(draft: Draft, events: Sequence[Event]) -> bool:
    """Accepts a request's events. False when an unresolved interrupt had to be resolved first:
    commit, then ask again.

    Raises InvalidRequest; the draft is then worthless.
    """
    if draft.session.archived_at or draft.primary.status == "terminated":
        raise InvalidRequest("Cannot send events to archived session", should_retry=False)
    if answers.resolve_first(draft, events):
        return False
    accepted = [Accepted(n, event) for n, event in enumerate(events)]
    urgent = [a for a in accepted if not isinstance(a.event, UserMessageEvent | SystemMessageEvent)]
    for item in urgent:
        _settle_or_stop(draft, item)
    answers.conclude(draft, events)
    for item in accepted:
        if isinstance(item.event, UserMessageEvent):
            queue.add_message(draft, item.event, item.position)
        elif isinstance(item.event, SystemMessageEvent):
            trails_answer = item.position > 0 and not isinstance(
                events[item.position - 1], UserMessageEvent
            )
            queue.add_system_message(draft, item.event, item.position, trails_answer=trails_answer)
    return True


def _settle_or_stop(draft: Draft, item: Accepted) -> None:
    event = item.event
    if isinstance(event, UserInterruptEvent):
        _interrupt(draft, event, item.position)
    elif isinstance(event, UserToolConfirmationEvent | UserCustomToolResultEvent):
        answers.settle_use(draft, event, item.position)
    else:
        raise InvalidRequest(f"events[{item.position}]: `{event.type}` cannot be sent here")


def _interrupt(draft: Draft, event: UserInterruptEvent, position: int) -> None:
    """Decided by the thread's status, never by its claim: an idle, parked or rescheduling thread is
    stopped here, a running one by its next claim or advance.
    """
    named = event.session_thread_id
    thread_id = named or draft.session.primary_id
    head = draft.heads.get(thread_id)
    if head is None:
        raise NotFound(f"Thread {thread_id} not found.")
    if head.status == "terminated":
        raise InvalidRequest(
            f"Invalid {event.type} event at events[{position}]: thread {thread_id} is terminated"
        )
    at_cap = accounting.is_paused(draft.session, draft.now)
    if at_cap and draft.session.running == 0 and not draft.session.asks:
        return  # accepted, ignored, not recorded (BEHAVIOUR 10)
    queue.require_room(head, event, position)
    draft.need("gen", "running", "asks", "asked")
    if named is None:
        draft.set_session(gen=draft.session.gen + 1)
    draft.inputs[event.id] = event.model_dump()
    seq = draft.add(thread_id, event)
    inputs.accept(draft, thread_id, event.id, event.type, seq)
    if head.status in ("requires_action", "rescheduling"):
        lifecycle.stop_turn(draft, thread_id, by_append=True)
    elif not head.is_busy:
        draft.add(thread_id, inputs.stamped(draft, thread_id, event.id))
        rest = tuple(p for p in draft.heads[thread_id].pending if not p.is_interrupt)
        draft.set(thread_id, pending=rest, gen=draft.session.gen)
    if named is None and _others_wait(draft, thread_id):
        draft.need("todo")  # set already, it must not be cleared under this interrupt
        draft.set_session(todo=True)


def _others_wait(draft: Draft, thread_id: str) -> bool:
    """Whether an interrupt of all threads must visit further ones, each in a transaction of its
    own.
    """
    others = (head for other, head in draft.snapshot.heads.items() if other != thread_id)
    return any(head.status in ("requires_action", "rescheduling") for head in others)


def finish_todo(draft: Draft, thread_id: str) -> None:
    """One further thread of an interrupt of all threads or a raised cap; `draft.session.todo` falls
    with the last one.
    """
    draft.need("todo", "gen", "running", "asks", "asked", "cap", "paused_day")
    head = draft.heads[thread_id]
    if head.status in ("requires_action", "rescheduling") and head.gen < draft.session.gen:
        lifecycle.stop_turn(draft, thread_id, by_append=True)
    elif head.status == "budget_reached" and not accounting.is_paused(draft.session, draft.now):
        lifecycle.start(draft, thread_id)
    else:
        draft.set(thread_id)
    left = [
        t
        for t, h in draft.snapshot.heads.items()
        if t != thread_id and is_todo(draft.session, h, draft.now)
    ]
    draft.set_session(todo=bool(left))


def is_todo(session: SessionState, head: Head, now: datetime) -> bool:
    """Whether an unfinished operation over many threads still concerns this one."""
    if head.status in ("requires_action", "rescheduling"):
        return head.gen < session.gen
    return head.status == "budget_reached" and not accounting.is_paused(session, now)


def archive_session(draft: Draft) -> None:
    """Ends the session for good: history stays, nothing more is accepted. Raises InvalidRequest
    while it runs.
    """
    draft.need("running", "archived_at")
    if draft.session.running:
        raise InvalidRequest(
            "Cannot archive a session while it is running. Interrupt it and wait for idle first."
        )
    for thread_id in draft.snapshot.heads:
        # What is queued stays so: history shows it, never processed.
        draft.set(thread_id, status="terminated", uses=(), archived_at=draft.at)
        lifecycle.post(draft, thread_id, SessionThreadStatusTerminatedEvent)
    draft.set_session(asks=0, asked=(), archived_at=draft.at, paused_day=None)
    draft.emit(draft.session.primary_id, SessionStatusTerminatedEvent)


def delete_session(draft: Draft, index: Key) -> None:
    """The tombstone: from here every verb fails, readers close, and the purge may begin. Raises
    InvalidRequest while it runs.
    """
    draft.need("running")
    if draft.session.running:
        raise InvalidRequest(
            "Cannot delete a session while it is running. Interrupt it and wait for idle first."
        )
    primary = draft.session.primary_id
    draft.emit(primary, SessionDeletedEvent)
    draft.set(primary, epoch=draft.heads[primary].epoch + 1)
    draft.set_session(dead=True)
    draft.extra.append(Write(index, delete=True, conditions=(Condition("", "exists"),)))
