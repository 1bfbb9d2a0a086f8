"""Whatever a transaction was decided on is a condition of it: changed between the read and the
write, it is refused.

The change is made to one field alone, so no condition can stand in for another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from freehold.domain import append, budgets, calls, turn
from freehold.domain.draft import Draft
from freehold.ids import new_id
from freehold.money import CENT
from freehold.ports import Write
from freehold.toolset import ToolResult
from freehold.wire.events import (
    SessionUpdatedEvent,
    SystemMessageEvent,
    UserInterruptEvent,
    UserMessageEvent,
    UserToolConfirmationEvent,
)
from freehold.wire.usage import BudgetLimitParams, MonetaryAmountParams
from tests.protocol.stage import (
    EARLIER,
    ERROR,
    FATAL,
    INTERRUPT,
    LATER,
    LEASE,
    LIMITS,
    MESSAGE,
    Stage,
    claim,
    text_reply,
    tool_reply,
    use,
)

ASKED = use("ask", "sevt_asked")


# ---------------------------------------------------------------- plans
def append_message(stage: Stage, draft: Draft) -> None:
    given = {"type": "text", "text": "Hi."}
    event = UserMessageEvent(id=new_id("sevt"), content=[given], processed_at=None)
    assert append.append_events(draft, [event])


def append_system_message(stage: Stage, draft: Draft) -> None:
    given = {"type": "text", "text": "Hi."}
    event = SystemMessageEvent(id=new_id("sevt"), content=[given], processed_at=None)
    assert append.append_events(draft, [event])


def append_interrupt(stage: Stage, draft: Draft) -> None:
    assert append.append_events(draft, [UserInterruptEvent(id=new_id("sevt"), processed_at=None)])


def _answer(draft: Draft) -> bool:
    event = UserToolConfirmationEvent(
        id=new_id("sevt"), tool_use_id=ASKED.event_id, result="allow", processed_at=None
    )
    return append.append_events(draft, [event])


def answer(stage: Stage, draft: Draft) -> None:
    assert _answer(draft)


def answer_behind_an_interrupt(stage: Stage, draft: Draft) -> None:
    assert not _answer(draft)


def begin_turn(stage: Stage, draft: Draft) -> None:
    turn.begin_turn(draft, stage.run(), LEASE)
    assert draft.touched


def begin_tools(stage: Stage, draft: Draft) -> None:
    assert calls.begin_tools(draft, stage.run(), LEASE, "boot") in ("dispatch", "cancel")


def end_with(reply) -> Callable[[Stage, Draft], None]:
    def plan(stage: Stage, draft: Draft) -> None:
        assert turn.finish_turn(draft, stage.run(), "me", reply, LIMITS) != "taken"

    return plan


def fail_with(failure) -> Callable[[Stage, Draft], None]:
    def plan(stage: Stage, draft: Draft) -> None:
        assert turn.fail_turn(draft, stage.run(), "me", failure, LIMITS) != "taken"

    return plan


def finish_tools(stage: Stage, draft: Draft) -> None:
    results = {u.event_id: ToolResult.text("ok") for u in draft.heads[stage.threads[0]].uses}
    calls.finish_tools(draft, stage.run(), "me", results, LIMITS, cancelled=False)
    assert draft.touched


def release(stage: Stage, draft: Draft) -> None:
    assert calls.release(draft, stage.run(), LIMITS, failed=False)


def finish_todo(stage: Stage, draft: Draft) -> None:
    append.finish_todo(draft, stage.threads[1])


def _change_budget(draft: Draft, wanted: BudgetLimitParams | None) -> None:
    assert budgets.change(draft, wanted)
    draft.emit(draft.session.primary_id, SessionUpdatedEvent)
    budgets.resume(draft)


def raise_budget(stage: Stage, draft: Draft) -> None:
    cent = MonetaryAmountParams(amount="1", currency="USD")
    _change_budget(draft, BudgetLimitParams(type="limit", max_list_cost=cent))


def remove_budget(stage: Stage, draft: Draft) -> None:
    _change_budget(draft, None)


def archive(stage: Stage, draft: Draft) -> None:
    append.archive_session(draft)


def delete(stage: Stage, draft: Draft) -> None:
    append.delete_session(draft, stage.key.index())


# ---------------------------------------------------------------- states
def idle(stage: Stage) -> None:
    pass


def running(stage: Stage) -> None:
    stage.running()


def budgeted(stage: Stage) -> None:
    stage.running().session(cap=10, spend=3)


def at_the_cap(stage: Stage) -> None:
    stage.running().session(cap=3, spend=3)


def interrupted(stage: Stage) -> None:
    stage.running(pending=(INTERRUPT,))


def interrupted_with_a_message(stage: Stage) -> None:
    stage.running(pending=(INTERRUPT, MESSAGE))


def lapsed(stage: Stage) -> None:
    stage.running().claimed(claim("other", EARLIER))


def rescheduling(stage: Stage) -> None:
    stage.running(status="rescheduling", pending=(), taken=("sevt_read",))
    stage.session(rescheduled=True)


def asking(stage: Stage) -> None:
    """In the model, with its claim."""
    stage.running(pending=(), taken=("sevt_read",), span="sevt_span").claimed()


def asking_interrupted(stage: Stage) -> None:
    asking(stage)
    stage.session(gen=1)


def calling(stage: Stage) -> None:
    stage.running(pending=(), uses=(use("allow"),))


def calling_interrupted(stage: Stage) -> None:
    calling(stage)
    stage.session(gen=1)


def executing(stage: Stage) -> None:
    stage.running(pending=(), uses=(use("started", boot="boot"),)).claimed()


def parked(stage: Stage) -> None:
    stage.head(status="requires_action", epoch=1, uses=(ASKED,))
    stage.session(asks=1, asked=[ASKED.event_id])


def half_answered(stage: Stage) -> None:
    stage.head(status="requires_action", epoch=1, uses=(ASKED, use("ask", "sevt_other")))
    stage.session(asks=1, asked=[ASKED.event_id, "sevt_other"])


def parked_behind_an_interrupt(stage: Stage) -> None:
    parked(stage)
    stage.session(gen=1)


def child_parked(stage: Stage) -> None:
    stage.head(1, status="requires_action", epoch=1, uses=(ASKED,))
    stage.session(asks=1, asked=[ASKED.event_id])


def child_to_visit(stage: Stage) -> None:
    child_parked(stage)
    stage.session(gen=1, todo=True)


def paused(stage: Stage) -> None:
    stage.head(status="budget_reached", epoch=1, pending=(MESSAGE,)).session(cap=3, spend=3)


def two_paused(stage: Stage) -> None:
    paused(stage)
    stage.head(1, status="budget_reached", epoch=1, pending=(MESSAGE,))


def child_paused_to_visit(stage: Stage) -> None:
    stage.head(1, status="budget_reached", epoch=1, pending=(MESSAGE,))
    stage.session(cap=3, spend=3, todo=True)


class Case(NamedTuple):
    """`session` and `claim` name the facts that the plan rests on in that state."""

    state: Callable[[Stage], None]
    plan: Callable[[Stage, Draft], None]
    session: tuple[str, ...]
    claim: tuple[str, ...] = ()
    children: int = 0

    @property
    def name(self) -> str:
        return f"{self.plan.__qualname__.split('.')[0]}-{self.state.__name__}"


SETTLES = ("running", "asks", "asked", "rescheduled", "cap")
CLAIMS = ("cap", "unpriced", "running_since")
CHANGES = (*CLAIMS, "running", "overspent")
CASES = [
    Case(idle, append_message, ("running", "gen", "rescheduled")),
    Case(running, append_message, ()),
    Case(idle, append_system_message, ("running", "asks")),
    Case(running, append_system_message, ()),
    Case(idle, append_interrupt, ("gen", "running", "asks", "asked")),
    Case(running, append_interrupt, ("gen", "running", "asks", "asked")),
    Case(rescheduling, append_interrupt, ("gen", *SETTLES)),
    Case(parked, append_interrupt, ("gen", *SETTLES)),
    Case(child_parked, append_interrupt, ("gen", "todo"), children=1),
    Case(parked, answer, ("gen", "running", "asks", "asked", "rescheduled")),
    Case(half_answered, answer, ("gen", "running", "asks", "asked")),
    Case(parked_behind_an_interrupt, answer_behind_an_interrupt, ("gen", *SETTLES)),
    Case(running, begin_turn, ("gen", *CLAIMS), ("taken",)),
    Case(budgeted, begin_turn, ("gen", *CLAIMS, "spent"), ("taken",)),
    Case(at_the_cap, begin_turn, ("gen", "spend", *SETTLES), ("taken",)),
    Case(interrupted, begin_turn, ("gen", *SETTLES), ("taken",)),
    Case(interrupted_with_a_message, begin_turn, ("gen", *SETTLES), ("taken",)),
    Case(lapsed, begin_turn, ("gen",), ("taken", "renewed")),
    Case(rescheduling, begin_turn, ("gen", "rescheduled"), ("taken",)),
    Case(calling, begin_tools, ("gen",), ("taken",)),
    Case(calling_interrupted, begin_tools, ("gen",), ("taken",)),
    Case(asking, end_with(text_reply()), ("gen", *SETTLES), ("taken", "gone")),
    Case(asking, end_with(tool_reply("allow")), ("gen",), ("taken", "gone")),
    Case(asking, end_with(tool_reply("ask")), ("gen", *SETTLES), ("taken", "gone")),
    Case(
        asking,
        end_with(text_reply(children=(("helper", "task"),))),
        ("gen", "running", "threads"),
        ("taken", "gone"),
    ),
    Case(asking_interrupted, end_with(text_reply()), ("gen", *SETTLES), ("taken", "gone")),
    Case(asking, fail_with(ERROR), ("gen", "running", "rescheduled"), ("taken", "gone")),
    Case(asking, fail_with(FATAL), ("gen", *SETTLES), ("taken", "gone")),
    Case(asking_interrupted, fail_with(ERROR), ("gen", *SETTLES), ("taken", "gone")),
    Case(executing, finish_tools, ("gen",), ("taken", "gone")),
    Case(asking, release, ("gen",)),
    Case(child_to_visit, finish_todo, ("todo", "gen", *SETTLES), children=1),
    Case(child_paused_to_visit, finish_todo, ("todo", "gen", "running", "cap"), children=1),
    Case(budgeted, raise_budget, CHANGES),
    Case(paused, raise_budget, (*CHANGES, "gen", "rescheduled")),
    Case(two_paused, raise_budget, (*CHANGES, "gen", "rescheduled", "todo"), children=1),
    Case(paused, remove_budget, ("cap", "running", "gen", "rescheduled")),
    Case(idle, archive, ("running", "archived_at")),
    Case(idle, delete, ("running",)),
]
SESSION_CHANGES: dict[str, dict[str, Any]] = {
    "gen": {"gen": 7},
    "running": {"running": 7},
    "asks": {"asks": 7},
    "asked": {"asked": ["sevt_seven"]},
    "rescheduled": {},  # the opposite of what it is
    "todo": {},
    "cap": {"cap": 7},
    "spend": {"spend": 7},
    "spent": {"spend": 10},
    "overspent": {"spend": CENT},
    "unpriced": {"unpriced": "claude-nobody-9"},
    "running_since": {"running_since": EARLIER},
    "threads": {"threads": 7},
    "archived_at": {"archived_at": LATER},
}
CLAIM_CHANGES: dict[str, Callable[[Stage], Any]] = {
    "taken": lambda stage: stage.claimed(_other(stage)),
    "renewed": lambda stage: stage.claimed(replace(_claim(stage), until=LATER)),
    "gone": lambda stage: stage.unclaimed(),
}


def _claim(stage: Stage):
    return stage.read().claims[stage.threads[0]]


def _other(stage: Stage):
    held = stage.read().claims.get(stage.threads[0])
    return replace(held, holder="another") if held else claim("another")


def composed(tmp_path, case: Case) -> tuple[Stage, Draft]:
    stage = Stage(tmp_path, children=case.children)
    case.state(stage)
    draft = stage.draft()
    case.plan(stage, draft)
    return stage, draft


def id_of(value: object) -> str:
    return value.name if isinstance(value, Case) else str(value)


@pytest.mark.parametrize("case", CASES, ids=id_of)
def test_a_plan_is_written_where_nothing_has_changed(tmp_path, case):
    stage, draft = composed(tmp_path, case)
    assert not stage.is_stale(draft)


@pytest.mark.parametrize(
    ("case", "fact"), [(case, fact) for case in CASES for fact in case.session], ids=id_of
)
def test_a_plan_is_refused_where_the_session_has_changed(tmp_path, case, fact):
    stage, draft = composed(tmp_path, case)
    now = getattr(stage.read().session, fact, None)
    stage.session(**(SESSION_CHANGES[fact] or {fact: not now}))
    assert stage.is_stale(draft)


@pytest.mark.parametrize(
    ("case", "fact"), [(case, fact) for case in CASES for fact in case.claim], ids=id_of
)
def test_a_plan_is_refused_where_the_claim_has_changed(tmp_path, case, fact):
    stage, draft = composed(tmp_path, case)
    CLAIM_CHANGES[fact](stage)
    assert stage.is_stale(draft)


@pytest.mark.parametrize("case", CASES, ids=id_of)
@pytest.mark.parametrize("change", ["head", "position", "dead", "erased"])
def test_every_plan_is_refused_where_its_thread_moved_on_or_its_session_is_gone(
    tmp_path, case, change
):
    stage, draft = composed(tmp_path, case)
    thread_id = draft.entries()[0].thread_id
    if change == "head":
        head = stage.read().heads[thread_id]
        item = replace(head, version=head.version + 1).to_item()
        stage.put(Write(stage.key.head(thread_id), put=item))
    elif change == "position":
        other = stage.draft()
        other.note(thread_id, "first", value=True)
        head = stage.read().heads[thread_id]
        stage.commit(other)
        stage.put(Write(stage.key.head(thread_id), put=head.to_item()))
    elif change == "dead":
        stage.session(dead=True)
    else:
        stage.put(Write(stage.key.state(), delete=True))
    assert stage.is_stale(draft)


def test_a_thread_is_born_once(tmp_path):
    case = next(case for case in CASES if "threads" in case.session)
    stage, draft = composed(tmp_path, case)
    child = next(head for head in draft.heads.values() if head.parent_id)
    stage.put(Write(stage.key.head(child.thread_id), put=child.to_item()))
    assert stage.is_stale(draft)


def test_a_delete_is_refused_where_the_index_row_is_gone(tmp_path):
    case = next(case for case in CASES if case.plan is delete)
    stage, draft = composed(tmp_path, case)
    stage.put(Write(stage.key.index(), delete=True))
    assert stage.is_stale(draft)
