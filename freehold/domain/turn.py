"""The transactions of one invocation of RunTurn: the claim, and the advance that ends it (DESIGN 4
and 5).

A plan either answers what the state machine does next, or names the next step of this invocation.
Every plan is decided on the snapshot its draft conditions on, so a stale read only means deciding
again; the paid reply is never thrown away for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from freehold.domain import accounting, budgets, compaction, inputs, lifecycle
from freehold.domain.compaction import Reading
from freehold.domain.draft import Draft
from freehold.domain.session import Claim, Head, Use
from freehold.domain.step import (
    CUT_SHORT,
    PAUSED,
    DayReached,
    Failure,
    Lease,
    Limits,
    Next,
    Reply,
    after,
    fenced,
    is_taken,
)
from freehold.errors import ModelError
from freehold.ids import new_id
from freehold.ports import Run
from freehold.wire.errors import session_error
from freehold.wire.events import (
    SessionEndTurn,
    SessionErrorEvent,
    SessionRefusal,
    SessionRetriesExhausted,
    SessionStatusRescheduledEvent,
    SessionStatusRunningEvent,
    SessionThreadCreatedEvent,
    SessionThreadStatusRescheduledEvent,
    SessionThreadStatusRunningEvent,
    SpanModelRequestStartEvent,
)

WITHDRAWN = "What the model had not answered yet is left out of the conversation."
"""Ends the message of an error after which it is so."""


Request = Literal["reply", "summary"]
"""What the model is asked for, once the claim is in the draft."""


def begin_turn(
    draft: Draft,
    run: Run,
    lease: Lease,
    *,
    reading: Reading | None = None,
    day: DayReached | None = None,
) -> Next | Request:
    """Claims the thread and opens the model request: for a reply, or for a summary where `reading`,
    the conversation as of the draft's snapshot, would leave no room for one. At its cap the session
    pauses instead, and so it does when the workspace is at that of its `day`.

    Any other answer comes with a draft that may be empty (`draft.touched`), then nothing is to
    be written.
    """
    answer = _without_request(draft, run, lease, day)
    if answer is not None:
        return answer
    head = draft.heads[run.thread_id]
    if reading is not None and compaction.is_due(draft, head, reading):
        if compaction.clear_results(draft, head, reading):
            draft.claims[run.thread_id] = None
            return "turn"
        _open_request(draft, head, lease)
        draft.note(run.thread_id, "summarizes", value=True)
        return "summary"
    _open_request(draft, head, lease, takes_in=True)
    return "reply"


def _without_request(draft: Draft, run: Run, lease: Lease, day: DayReached | None) -> Next | None:
    """What comes next where the model is not to be asked now; None where it is."""
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
        return after(draft, run, Limits(0, 0, 0, 0), SessionEndTurn())
    if budgets.pause(draft, thread_id, day):
        draft.claims[thread_id] = None
        return "idle"
    return None


def _open_request(draft: Draft, head: Head, lease: Lease, *, takes_in: bool = False) -> None:
    """Opens the span. `takes_in`: stamps what is pending, in order, and reads the results; a paused
    reply is resumed before anything else is read. The generation is not refreshed: that happens at
    a start.
    """
    thread_id = head.thread_id
    accounting.need_budget(draft)
    if head.status == "rescheduling":
        _resume(draft, head)
    if takes_in and PAUSED not in head.taken:
        inputs.consume(draft, thread_id)
    span = draft.emit(thread_id, SpanModelRequestStartEvent)
    if takes_in:
        # Results count as taken: should this request die, they are still to be answered.
        taken = (*draft.heads[thread_id].taken, *(use.event_id for use in head.uses))
        draft.set(thread_id, taken=taken, uses=())
    draft.set(thread_id, span=span, status="running")
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
    spent = accounting.Spent(reply.usage, reply.cost, reply.stop_reason == CUT_SHORT)
    accounting.book_request(draft, thread_id, spent)
    if lifecycle.is_interrupted(draft.session, head):
        return lifecycle.stop_turn(draft, thread_id)
    uses = _append_reply(draft, head, reply)
    goes_on = not uses and reply.stop_reason in (CUT_SHORT, PAUSED)
    rounds = head.rounds + 1 if uses or goes_on else 0
    draft.set(
        thread_id,
        taken=(reply.stop_reason,) if goes_on else (),
        uses=uses,
        replies=head.replies + 1,
        turns=head.turns + 1,
        retries=0,
        rounds=rounds,
        context=accounting.context_of(reply.usage),
        is_full=False,
        compactions=0,
    )
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
    lifecycle.close_span(draft, thread_id, reply.usage)
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


def fail_turn(
    draft: Draft,
    run: Run,
    holder: str,
    failure: Failure,
    limits: Limits,
    reading: Reading | None = None,
) -> Next:
    """A failed model request: try again after a wait, or give up and flush the inputs (BEHAVIOUR
    7.8). What it cost counts: the span's own usage is zeros (BEHAVIOUR 0), the totals are not.

    What a refused request had newly read is withdrawn from the conversation: it would fail every
    later turn as well. Where the prompt was too long, a summary is asked for first; where none is
    to be had, what it would have stood for is left out.
    """
    if not fenced(draft, run, holder):
        return "taken"
    thread_id = run.thread_id
    head = draft.heads[thread_id]
    spent = accounting.Spent(failure.usage, failure.cost, is_estimated=True)
    accounting.book_request(draft, thread_id, spent)
    if lifecycle.is_interrupted(draft.session, head):
        return lifecycle.stop_turn(draft, thread_id)
    lifecycle.close_span(draft, thread_id)
    if compaction.makes_room(draft, head, failure, limits, reading):
        return after(draft, run, limits, SessionEndTurn())
    if compaction.leaves_out(draft, head, failure, limits, reading):
        lost = f"{failure.error.message} {compaction.LEFT_OUT}"
        return give_up(draft, thread_id, "compaction_limit_reached", lost)
    return _try_again(draft, head, failure.error, limits)


def _try_again(draft: Draft, head: Head, error: ModelError, limits: Limits) -> Next:
    """After a wait, where that can help and was not done too often."""
    thread_id = head.thread_id
    draft.set(thread_id, retries=head.retries + 1)
    if error.refused:
        return _withdraw(draft, head, error)
    if not error.retryable or head.retries >= limits.max_retries:
        return give_up(draft, thread_id, error.kind, error.message)
    draft.need("running", "rescheduled")
    told = session_error(error.kind, error.message, "retrying")
    draft.emit(thread_id, SessionErrorEvent, error=told)
    if draft.session.running == 1 and not draft.session.rescheduled:
        draft.emit(draft.session.primary_id, SessionStatusRescheduledEvent)
        draft.set_session(rescheduled=True)
    lifecycle.post(draft, thread_id, SessionThreadStatusRescheduledEvent)
    draft.set(thread_id, status="rescheduling")
    return "wait"


def _withdraw(draft: Draft, head: Head, error: ModelError) -> Next:
    """What was newly read leaves the conversation."""
    is_limit = error.too_long and head.compactions > 0
    draft.set(head.thread_id, is_full=False)
    draft.note(head.thread_id, "withdrawn", value=True)
    kind = "compaction_limit_reached" if is_limit else error.kind
    return give_up(draft, head.thread_id, kind, f"{error.message} {WITHDRAWN}")


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
