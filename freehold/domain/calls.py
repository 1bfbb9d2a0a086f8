"""The transactions of one invocation of RunTools: the mark before dispatch, and the results after
it (DESIGN 5).

Only what a committed `started` mark names is dispatched, with the mark's boot id. A use allowed
meanwhile waits for the next round; a mark of an earlier boot is refused by the sandbox and becomes
"outcome unknown".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from freehold.domain import accounting, lifecycle
from freehold.domain.accounting import Spent
from freehold.domain.draft import Draft
from freehold.domain.session import Claim, Use
from freehold.domain.step import Lease, Limits, Next, after, fenced, is_taken
from freehold.domain.turn import give_up
from freehold.ports import Run
from freehold.toolset import WEB_TOOLS, ToolResult
from freehold.wire.events import AgentToolResultEvent, SessionEndTurn

Step = Literal["dispatch", "cancel"]


def begin_tools(draft: Draft, run: Run, lease: Lease, boot_id: str | None) -> Next | Step:
    """Claims the thread and marks the permitted calls as started on this boot. Without a boot only
    web calls are, which need none and may be repeated; where there are none it is entered again.

    `cancel`: an interrupt was accepted first; the claim is taken, nothing may start, and started
    calls are to be killed.
    """
    if is_taken(draft, run, lease):
        return "taken"
    thread_id = run.thread_id
    head = draft.heads[thread_id]
    if not head.is_runnable:
        return "turn"
    is_interrupted = lifecycle.is_interrupted(draft.session, head)
    has_web = any(use.is_runnable and use.name in WEB_TOOLS for use in head.uses)
    if boot_id is None and not has_web and not is_interrupted:
        return "tools"
    draft.need_claim_as_read(thread_id)
    draft.need("gen")
    draft.claims[thread_id] = Claim(lease.holder, head.epoch, head.leg, head.turns, lease.until)
    if is_interrupted:
        draft.set(thread_id)
        return "cancel"
    fresh = [
        use.event_id
        for use in head.uses
        if use.state == "allow" and (boot_id is not None or use.name in WEB_TOOLS)
    ]
    draft.note(thread_id, "started", {"ids": list(fresh), "boot_id": boot_id})
    marked = (
        replace(use, state="started", boot=boot_id) if use.event_id in fresh else use
        for use in head.uses
    )
    draft.set(thread_id, uses=tuple(marked))
    return "dispatch"


def started(uses: tuple[Use, ...]) -> tuple[Use, ...]:
    """What an invocation may dispatch."""
    return tuple(use for use in uses if use.state == "started")


def finish_tools(
    draft: Draft,
    run: Run,
    holder: str,
    results: Mapping[str, ToolResult],
    limits: Limits,
    *,
    spent: Sequence[Spent] = (),
    search_cost: int = 0,
    cancelled: bool,
) -> Next | Literal["cancel"]:
    """Commits results in the model's order, and what the calls spent: requests to the model, and
    `search_cost` a search. `cancel`: an interrupt came first; kill the calls that run, then ask
    again.
    """
    if not fenced(draft, run, holder):
        return "taken"
    thread_id = run.thread_id
    head = draft.heads[thread_id]
    interrupted = lifecycle.is_interrupted(draft.session, head)
    running = [use for use in head.uses if use.is_runnable and use.event_id not in results]
    if interrupted and running and not cancelled:
        return "cancel"
    uses = []
    for use in head.uses:
        result = results.get(use.event_id)
        if result is None or not use.is_runnable:
            uses.append(use)
            continue
        draft.emit(
            thread_id,
            AgentToolResultEvent,
            tool_use_id=use.event_id,
            content=list(result.content),
            is_error=result.is_error,
        )
        uses.append(replace(use, state="done"))
    draft.set(thread_id, uses=tuple(uses))
    searches = _searches(head.uses, results)
    accounting.book_searches(draft, thread_id, searches, searches * search_cost)
    for request in spent:
        accounting.book_request(draft, thread_id, request)
    if interrupted:
        return lifecycle.stop_turn(draft, thread_id)
    return after(draft, run, limits, SessionEndTurn())


def _searches(uses: tuple[Use, ...], results: Mapping[str, ToolResult]) -> int:
    """Searches that were answered: a failed one costs nothing."""
    asked = (use.event_id for use in uses if use.name == "web_search" and use.is_runnable)
    return sum(event_id in results and not results[event_id].is_error for event_id in asked)


def release(draft: Draft, run: Run, limits: Limits, *, failed: bool) -> bool:
    """A dead run: the epoch rises, which fences whoever is left of it, and the next execution has a
    fresh name.

    `failed`: a function raised, which counts as a failed attempt: a defect that repeats itself ends
    the turn like a model that stays away, instead of running for ever. A process that was killed
    counts for nothing. False when the head has moved on or the turn was given up: nothing to start.
    """
    thread_id = run.thread_id
    if not lifecycle.may_work(draft.snapshot, thread_id, run.epoch, run.leg):
        return False
    draft.need("gen")
    retries = draft.heads[thread_id].retries + failed
    draft.set(thread_id, epoch=run.epoch + 1, leg=0, turns=0, retries=retries)
    draft.claims[thread_id] = None
    if retries <= limits.max_retries or lifecycle.is_interrupted(
        draft.session, draft.heads[thread_id]
    ):
        return True
    if draft.heads[thread_id].span is not None:
        lifecycle.close_span(draft, thread_id)
    give_up(draft, thread_id, "unknown", "The server failed to process this turn.")
    return False
