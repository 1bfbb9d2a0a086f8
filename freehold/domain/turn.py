"""The transactions of one invocation of RunTurn: the claim, and the advance that ends it (DESIGN 4
and 5).

A plan either answers what the state machine does next, or names the next step of this invocation.
Every plan is decided on the snapshot its draft conditions on, so a stale read only means deciding
again; the paid reply is never thrown away for it.
"""

from __future__ import annotations

from dataclasses import replace

from freehold.domain import accounting, inputs, lifecycle
from freehold.domain.draft import Draft
from freehold.domain.session import Claim, Head, Use
from freehold.domain.step import (
    CUT_SHORT,
    PAUSED,
    Failure,
    Lease,
    Limits,
    Next,
    Reply,
    after,
    fenced,
    is_taken,
)
from freehold.ids import new_id
from freehold.ports import Run
from freehold.wire.errors import session_error
from freehold.wire.events import (
    SessionBudgetReached,
    SessionEndTurn,
    SessionErrorEvent,
    SessionRefusal,
    SessionRetriesExhausted,
    SessionStatusRescheduledEvent,
    SessionStatusRunningEvent,
    SessionThreadCreatedEvent,
    SessionThreadStatusRescheduledEvent,
    SessionThreadStatusRunningEvent,
    SpanModelRequestEndEvent,
    SpanModelRequestStartEvent,
)

WITHDRAWN = "What the model had not answered yet is left out of the conversation."
"""Ends the message of an error after which it is so."""


def begin_turn(draft: Draft, run: Run, lease: Lease) -> Next | None:
    """Claims the thread and opens the model request. None = the claim is in the draft, go on to the
    model.

    Any answer but None comes with a draft that may be empty (`draft.touched`), then nothing is to
    be written.
    """
    if is_taken(draft, run, lease):
        return "taken"
    thread_id = run.thread_id
    head = draft.heads[thread_id]
    if head.is_runnable:
        return "tools"
    draft.need_claim_as_read(thread_id)
    draft.need("gen")
    if lifecycle.is_interrupted(draft.session, head):
        draft.claims[thread_id] = None
        return lifecycle.stop_turn(draft, thread_id)
    if head.span is not None:
        lifecycle.close_span(draft, thread_id)
    if not head.has_unread_input or head.is_blocked:
        draft.claims[thread_id] = None
        return after(draft, run, Limits(0, 0, 0), SessionEndTurn())
    if draft.session.is_over_budget:
        draft.need("spend", "cap")
        lifecycle.settle(draft, thread_id, "budget_reached", SessionBudgetReached())
        draft.claims[thread_id] = None
        return "idle"
    _claim(draft, head, lease)
    return None


def _claim(draft: Draft, head: Head, lease: Lease) -> None:
    """Stamps what is pending, in order, and opens the span. The generation is not refreshed: that
    happens at a start. A paused reply is resumed before anything else is read.
    """
    thread_id = head.thread_id
    draft.need_budget()
    if head.status == "rescheduling":
        _resume(draft, head)
    if PAUSED not in head.taken:
        inputs.consume(draft, thread_id)
    span = draft.emit(thread_id, SpanModelRequestStartEvent)
    # Results count as taken: should this request die, they are still to be answered.
    taken = (*draft.heads[thread_id].taken, *(use.event_id for use in head.uses))
    draft.set(thread_id, taken=taken, uses=(), span=span, status="running")
    draft.claims[thread_id] = Claim(lease.holder, head.epoch, head.leg, head.turns, lease.until)


def _resume(draft: Draft, head: Head) -> None:
    """A retry begins: rescheduling to running. Not to tell of it is a decision too: the session may
    have been read before the thread.
    """
    draft.need("rescheduled")
    if draft.session.rescheduled:
        draft.emit(draft.session.primary_id, SessionStatusRunningEvent)
        draft.set_session(rescheduled=False)
    lifecycle.post(draft, head.thread_id, SessionThreadStatusRunningEvent)


def finish_turn(draft: Draft, run: Run, holder: str, reply: Reply, limits: Limits) -> Next:
    """The reply enters the log, or the interrupted form where an interrupt was accepted
    meanwhile.
    """
    if not fenced(draft, run, holder):
        return "taken"
    thread_id = run.thread_id
    head = draft.heads[thread_id]
    if lifecycle.is_interrupted(draft.session, head):
        accounting.book_tokens(draft, thread_id, reply.usage, reply.cost)
        return lifecycle.stop_turn(draft, thread_id)
    uses = _append_reply(draft, head, reply)
    goes_on = not uses and reply.stop_reason in (CUT_SHORT, PAUSED)
    rounds = head.rounds + 1 if uses or goes_on else 0
    draft.set(
        thread_id,
        span=None,
        taken=(reply.stop_reason,) if goes_on else (),
        uses=uses,
        replies=head.replies + 1,
        turns=head.turns + 1,
        retries=0,
        rounds=rounds,
    )
    accounting.book_tokens(draft, thread_id, reply.usage, reply.cost)
    for name, task in reply.children:
        _spawn(draft, thread_id, name, task)
    if rounds > limits.max_tool_rounds:
        return give_up(draft, thread_id, "tool_use_limit_reached", "Too many tool-use rounds.")
    refused = reply.stop_reason == "refusal"
    reason = SessionRefusal() if refused else SessionEndTurn()
    return after(draft, run, limits, reason, reply.stop_details, reply.text)


def _append_reply(draft: Draft, head: Head, reply: Reply) -> tuple[Use, ...]:
    """Events of the reply, its span's end, and results of refused calls. Answers the uses as they
    now stand.
    """
    thread_id = head.thread_id
    places: dict[str, int] = {}
    for event in reply.events:
        at = draft.stamp(thread_id)
        stamped = event.model_copy(update={"processed_at": at})
        places[stamped.id] = draft.add(thread_id, stamped)
        asked_of = next(
            (u for u in reply.uses if u.event_id == stamped.id and u.state == "ask"), None
        )
        if asked_of and head.parent_id is not None:
            primary = draft.session.primary_id
            cross = {"session_thread_id": thread_id, "processed_at": draft.stamp(primary)}
            draft.add(primary, stamped.model_copy(update=cross))
    draft.emit(
        thread_id,
        SpanModelRequestEndEvent,
        model_request_start_id=head.span,
        is_error=False,
        model_usage=accounting.span_usage(reply.usage),
    )
    uses = tuple(
        replace(u, seq=places[u.event_id], state="done" if u.event_id in reply.denied else u.state)
        for u in reply.uses
    )
    for use in uses:
        if use.event_id in reply.denied:
            text = reply.denied[use.event_id]
            lifecycle.answer_use(draft, thread_id, use, text, is_error=True)
    draft.note(
        thread_id,
        "reply",
        {"blocks": list(reply.blocks), "stop_reason": reply.stop_reason},
    )
    return uses


def _spawn(draft: Draft, parent_id: str, name: str, task: str) -> None:
    """A child thread is born running with its task pending."""
    draft.need("running", "threads")
    child_id = new_id("sthr")
    primary = draft.session.primary_id
    draft.emit(
        primary,
        SessionThreadCreatedEvent,
        session_thread_id=child_id,
        agent_name=name,
        workflow_run_id=None,
    )
    draft.born(Head(thread_id=child_id, parent_id=parent_id, agent_name=name, created_at=draft.at))
    inputs.receive(draft, child_id, draft.heads[parent_id], task)
    lifecycle.start(draft, child_id)
    draft.set_session(threads=draft.session.threads + 1)


def fail_turn(draft: Draft, run: Run, holder: str, failure: Failure, limits: Limits) -> Next:
    """A failed model request: try again after a wait, or give up and flush the inputs (BEHAVIOUR
    7.8). What it cost counts: the span's own usage is zeros (BEHAVIOUR 0), the totals are not.

    What a refused request had newly read is withdrawn from the conversation: it would fail every
    later turn as well.
    """
    if not fenced(draft, run, holder):
        return "taken"
    thread_id = run.thread_id
    head, error = draft.heads[thread_id], failure.error
    accounting.book_tokens(draft, thread_id, failure.usage, cost=0)
    if lifecycle.is_interrupted(draft.session, head):
        return lifecycle.stop_turn(draft, thread_id)
    lifecycle.close_span(draft, thread_id)
    draft.set(thread_id, retries=head.retries + 1)
    if error.refused:
        draft.note(thread_id, "withdrawn", value=True)
        text = f"{error.message} {WITHDRAWN}"
        return give_up(draft, thread_id, error.kind, text)
    if not error.retryable or head.retries >= limits.max_retries:
        return give_up(draft, thread_id, error.kind, error.message)
    draft.need("running", "rescheduled")
    draft.emit(
        thread_id, SessionErrorEvent, error=session_error(error.kind, error.message, "retrying")
    )
    if draft.session.running == 1 and not draft.session.rescheduled:
        draft.emit(draft.session.primary_id, SessionStatusRescheduledEvent)
        draft.set_session(rescheduled=True)
    lifecycle.post(draft, thread_id, SessionThreadStatusRescheduledEvent)
    draft.set(thread_id, status="rescheduling")
    return "wait"


def give_up(draft: Draft, thread_id: str, kind: str, message: str) -> Next:
    """This turn is dead, what was queued is flushed, and the next message starts afresh."""
    draft.emit(thread_id, SessionErrorEvent, error=session_error(kind, message, "exhausted"))
    inputs.flush(draft, thread_id)
    for use in draft.heads[thread_id].uses:
        if use.state != "done":
            lifecycle.answer_use(draft, thread_id, use, message, is_error=True)
    draft.set(thread_id, taken=(), uses=())
    lifecycle.settle(draft, thread_id, "idle", SessionRetriesExhausted(), report=message)
    return "idle"
