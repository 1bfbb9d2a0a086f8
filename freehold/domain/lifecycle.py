"""How threads and the session start, stop and settle: the pieces every verb of the log is made of
(DESIGN 4).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from freehold.domain import accounting, inputs
from freehold.domain.draft import Draft, Snapshot
from freehold.domain.session import Head, SessionState, Status, Use
from freehold.ports import Usage
from freehold.toolset import INTERRUPTED
from freehold.wire.base import WireModel
from freehold.wire.content import TextBlock
from freehold.wire.events import (
    AgentToolResultEvent,
    SessionBudgetReached,
    SessionEndTurn,
    SessionRequiresAction,
    SessionStatusIdleEvent,
    SessionStatusRunningEvent,
    SessionThreadStatusIdleEvent,
    SessionThreadStatusRunningEvent,
    SessionUsageEvent,
    SpanModelRequestEndEvent,
    SpanModelUsage,
    UserCustomToolResultEvent,
)
from freehold.wire.usage import SessionUsageSnapshot

StopReason = WireModel


def post(draft: Draft, thread_id: str, kind: Callable[..., WireModel], **values: object) -> None:
    """A status event of a thread: on its own feed, and on the primary's where it is a child."""
    head = draft.heads[thread_id]
    named = {"session_thread_id": thread_id, "agent_name": head.agent_name, **values}
    draft.emit(thread_id, kind, **named)
    if head.parent_id is not None:
        draft.emit(draft.session.primary_id, kind, **named)


def start(draft: Draft, thread_id: str) -> None:
    """idle to running: a new epoch, hence a new execution name. The interrupt generation is
    recorded here, never at a claim.
    """
    draft.need("running", "gen", "rescheduled")
    if draft.session.running == 0 or draft.session.rescheduled:
        draft.emit(draft.session.primary_id, SessionStatusRunningEvent)
        draft.set_session(rescheduled=False)
    if draft.session.running == 0:
        draft.set_session(running_since=draft.at)
    post(draft, thread_id, SessionThreadStatusRunningEvent)
    draft.note(thread_id, "period", draft.session.gen)
    draft.set_session(running=draft.session.running + 1)
    draft.set(
        thread_id,
        status="running",
        epoch=draft.heads[thread_id].epoch + 1,
        leg=0,
        turns=0,
        retries=0,
        rounds=0,
        compactions=0,
        gen=draft.session.gen,
        running_since=draft.at,
        used=True,
    )


def settle(
    draft: Draft,
    thread_id: str,
    status: Status,
    reason: StopReason,
    *,
    report: str | None = None,
    stop_details: WireModel | None = None,
) -> None:
    """running to idle, parked or paused. `report` is a child's last text; None where it was
    interrupted.

    The settle that brings `running` to 0 writes `session.usage` and the session's idle pair. A
    child's end delivers its report and starts an idle parent in this same transaction, before the
    count goes down: the session does not idle in between.
    """
    head = draft.heads[thread_id]
    accounting.book_time(draft, head)
    if status == "idle":
        inputs.absorb(draft, thread_id)
    draft.set(thread_id, status=status, running_since=None)
    post(
        draft,
        thread_id,
        SessionThreadStatusIdleEvent,
        stop_reason=reason,
        stop_details=stop_details,
    )
    if head.parent_id is not None and status == "idle" and report is not None:
        inputs.receive(draft, draft.session.primary_id, head, report)
        if draft.heads[draft.session.primary_id].status == "idle":
            start(draft, draft.session.primary_id)
    parked = status == "requires_action"
    draft.set_session(
        running=draft.session.running - 1,
        asks=draft.session.asks + parked,
        asked=draft.session.asked + (asked(draft.heads[thread_id]) if parked else ()),
    )
    if status == "budget_reached" and draft.session.running:
        _report_usage(draft)
    session_idle(draft, reason, stop_details)


def session_idle(draft: Draft, reason: StopReason, stop_details: WireModel | None = None) -> None:
    """The session's idle pair, where no thread runs any more: `session.usage`, then
    `session.status_idle`.

    `requires_action` outranks `budget_reached`, which outranks the thread's own reason (BEHAVIOUR
    5.3).
    """
    draft.need("running", "asks", "asked", "rescheduled")
    if draft.session.running:
        return
    draft.need("cap", "paused_day")
    accounting.book_session_time(draft)
    draft.set_session(rescheduled=False)
    if draft.session.asks:
        reason, stop_details = SessionRequiresAction(event_ids=list(draft.session.asked)), None
    elif accounting.is_paused(draft.session, draft.now):
        reason, stop_details = SessionBudgetReached(), None
    primary = draft.session.primary_id
    _report_usage(draft)
    draft.emit(primary, SessionStatusIdleEvent, stop_reason=reason, stop_details=stop_details)


def _report_usage(draft: Draft) -> None:
    draft.emit(
        draft.session.primary_id,
        SessionUsageEvent,
        usage=accounting.usage_of(draft.session, draft.now, SessionUsageSnapshot),
        budget=accounting.budget_of(draft.session),
    )


def is_interrupted(session: SessionState, head: Head) -> bool:
    """An interrupt waits: one of this thread in `pending`, or one of all threads since this running
    period began.
    """
    return session.gen > head.gen or head.has_interrupt


def stop_turn(draft: Draft, thread_id: str, *, by_append: bool = False) -> Literal["idle", "turn"]:
    """The interrupted form: span and calls closed, interrupts stamped, then idle; messages left
    start again in this commit.

    Returns what the state machine does next: `idle`, or `turn` where messages are left.
    """
    head = draft.heads[thread_id]
    draft.need("gen")
    draft.note(thread_id, "interrupted", draft.session.gen)
    if head.span is not None:
        close_span(draft, thread_id)
    for use in head.uses:
        if use.state != "done":
            answer_use(draft, thread_id, use, INTERRUPTED, is_error=True)
    for pending in head.pending:
        if pending.is_interrupt:
            draft.add(thread_id, inputs.stamped(draft, thread_id, pending.event_id))
    rest = tuple(pending for pending in head.pending if not pending.is_interrupt)
    draft.set(thread_id, uses=(), taken=(), pending=rest, gen=draft.session.gen)
    if head.status == "requires_action":
        _unpark(draft, thread_id, head)
        return "turn"
    if not draft.heads[thread_id].has_queued_work:
        settle(draft, thread_id, "idle", SessionEndTurn())
        return "idle"
    _restart(draft, thread_id, head, by_append=by_append)
    return "turn"


def _unpark(draft: Draft, thread_id: str, head: Head) -> None:
    """requires_action to idle; nothing was running here, so only the count of parked threads
    changes.
    """
    gone = set(asked(head))
    draft.set_session(
        asks=draft.session.asks - 1,
        asked=tuple(event_id for event_id in draft.session.asked if event_id not in gone),
    )
    if not draft.heads[thread_id].has_queued_work:
        inputs.absorb(draft, thread_id)
    draft.set(thread_id, status="idle")
    post(
        draft,
        thread_id,
        SessionThreadStatusIdleEvent,
        stop_reason=SessionEndTurn(),
        stop_details=None,
    )
    session_idle(draft, SessionEndTurn())
    if draft.heads[thread_id].has_queued_work:
        start(draft, thread_id)


def _restart(draft: Draft, thread_id: str, head: Head, *, by_append: bool) -> None:
    """Idle and running again within one commit: clients see the interrupt end a turn and the
    messages begin another.
    """
    draft.need("running", "rescheduled")
    accounting.book_time(draft, head)
    post(
        draft,
        thread_id,
        SessionThreadStatusIdleEvent,
        stop_reason=SessionEndTurn(),
        stop_details=None,
    )
    if draft.session.running == 1:
        draft.set_session(running=0)
        session_idle(draft, SessionEndTurn())
        draft.emit(draft.session.primary_id, SessionStatusRunningEvent)
        draft.set_session(running=1, running_since=draft.at)
    post(draft, thread_id, SessionThreadStatusRunningEvent)
    draft.note(thread_id, "period", draft.session.gen)
    draft.set(
        thread_id,
        status="running",
        retries=0,
        rounds=0,
        running_since=draft.at,
        epoch=head.epoch + by_append,
        leg=0 if by_append else head.leg,
    )


def close_span(draft: Draft, thread_id: str, usage: Usage | None = None) -> None:
    """Ends the open model request: as answered with this `usage`, or as failed. Every start gets an
    end, also on error and interrupt (BEHAVIOUR 6.2).
    """
    draft.emit(
        thread_id,
        SpanModelRequestEndEvent,
        model_request_start_id=draft.heads[thread_id].span,
        is_error=usage is None,
        model_usage=SpanModelUsage() if usage is None else accounting.span_usage(usage),
    )
    draft.set(thread_id, span=None)


def answer_use(draft: Draft, thread_id: str, use: Use, text: str, *, is_error: bool) -> None:
    """A result the server writes itself, of the type in which clients look for that of such a
    call.
    """
    result = {"content": [TextBlock(text=text)], "is_error": is_error}
    if not use.custom:
        draft.emit(thread_id, AgentToolResultEvent, tool_use_id=use.event_id, **result)
        return
    routed = thread_id if draft.heads[thread_id].parent_id is not None else None
    draft.emit(
        thread_id,
        UserCustomToolResultEvent,
        custom_tool_use_id=use.event_id,
        session_thread_id=routed,
        **result,
    )


def deny_use(draft: Draft, thread_id: str, use: Use, message: str | None) -> None:
    """The client said no: the model reads that, and why (WIRE_FACTS)."""
    reason = f" Rejection message: {message}" if message else ""
    text = f"Permission to use {use.name} has been rejected.{reason}"
    answer_use(draft, thread_id, use, text, is_error=True)


def asked(head: Head) -> tuple[str, ...]:
    """The tool uses somebody must answer, in order."""
    return tuple(use.event_id for use in head.uses if use.state == "ask")


def may_work(snapshot: Snapshot, thread_id: str, epoch: int, leg: int) -> bool:
    """Whether an execution of this name still has a thread to work on."""
    head = snapshot.heads.get(thread_id)
    if head is None or snapshot.session.dead:
        return False
    return (head.epoch, head.leg) == (epoch, leg) and head.is_busy
