"""The cap of a session: set at creation, changed, removed, and what goes on then (BEHAVIOUR 10).

It is checked where a claim is written (`accounting.need_budget`): the request that crosses it
completes, so a session overshoots by at most one request of each running thread.
"""

from __future__ import annotations

from freehold.domain import accounting, lifecycle
from freehold.domain.draft import Draft
from freehold.domain.step import DayReached
from freehold.errors import InvalidRequest
from freehold.wire.errors import session_error
from freehold.wire.events import SessionBudgetReached, SessionErrorEvent
from freehold.wire.usage import BudgetLimitParams


def change(draft: Draft, wanted: BudgetLimitParams | None) -> bool:
    """Replaces the budget, or removes it where `wanted` is None. Whether anything changed.

    Raises InvalidRequest: for a session without a budget, for one that is spent already, and where
    a model answered that cannot be priced, which only a removal helps.
    """
    session = draft.session
    if session.cap is None:
        if wanted is None:
            return False
        raise InvalidRequest(
            "budget can only be set when a session is created: this one was created without, or"
            " its budget was removed (budget_create_only)",
            details={"error_code": "budget_create_only"},
        )
    if wanted is not None and session.unpriced is not None:
        raise InvalidRequest(
            f"budget can only be removed: no list price is available for {session.unpriced},"
            " which answered in this session (model_not_budgetable)",
            details={"error_code": "model_not_budgetable"},
        )
    if wanted is not None and wanted.cap <= accounting.consumed(session, draft.now):
        raise InvalidRequest(
            "budget.max_list_cost must be greater than the session's consumed list cost"
            " (budget_not_raised)",
            details={"error_code": "budget_not_raised"},
        )
    cap = wanted.cap if wanted is not None else None
    if cap == session.cap:
        return False
    draft.set_session(cap=cap)
    # Read beside a thread that pauses just now: without `running` nobody would wake it.
    draft.need("running")
    accounting.need_budget(draft)
    return True


def resume(draft: Draft) -> None:
    """Starts what paused: one thread here, the others one transaction each, by `todo` (DESIGN 4).
    Needs every thread in the snapshot.
    """
    draft.need("paused_day")
    if draft.session.paused_day is not None:
        return
    paused = [head for head in draft.snapshot.heads.values() if head.status == "budget_reached"]
    if not paused:
        return
    first = min(paused, key=lambda head: (head.parent_id is not None, head.thread_id))
    lifecycle.start(draft, first.thread_id)
    if len(paused) > 1:
        draft.need("todo")  # set already, it must not be cleared under this one
        draft.set_session(todo=True)


def pause(draft: Draft, thread_id: str, day: DayReached | None) -> bool:
    """Whether no request may begin: the thread is paused then. At the workspace's cap it says why,
    since what its client set is not reached.
    """
    if accounting.is_over_budget(draft.session, draft.now):
        draft.need("spend", "cap")
    elif day is not None:
        error = session_error("billing", day.message, "retrying")
        draft.emit(thread_id, SessionErrorEvent, error=error)
        draft.set_session(paused_day=day.day)
    else:
        return False
    lifecycle.settle(draft, thread_id, "budget_reached", SessionBudgetReached())
    return True


def end_day(draft: Draft) -> None:
    """The workspace may spend again: what paused goes on, unless the session is at its own cap.
    Needs every thread in the snapshot.
    """
    if draft.session.paused_day is None:
        return
    draft.need("paused_day", "running", "cap")
    draft.set_session(paused_day=None)
    draft.set(draft.session.primary_id)
    if not accounting.is_over_budget(draft.session, draft.now):
        resume(draft)
