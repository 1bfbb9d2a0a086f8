"""The mark before dispatch and the results after it, state by state."""

from __future__ import annotations

import pytest

from freehold.domain import calls, lifecycle
from tests.protocol.plans import (
    begin_tools,
    finish_tools,
    in_calls,
    is_untouched,
)
from tests.protocol.stage import (
    Stage,
    use,
)


def test_a_mark_names_what_may_run_now_and_keeps_the_boot_of_earlier_marks(tmp_path):
    fresh, old, asked, done = use("allow"), use("started", boot="old"), use("ask"), use("done")
    stage = in_calls(Stage(tmp_path), fresh, old, asked, done).unclaimed()
    answer_, draft = begin_tools(stage)
    assert answer_ == "dispatch"
    assert draft.entries()[0].private["started"] == {"ids": [fresh.event_id], "boot_id": "boot"}
    stage.commit(draft)
    uses = stage.read().primary.uses
    assert [(u.state, u.boot) for u in uses] == [
        ("started", "boot"),
        ("started", "old"),
        ("ask", None),
        ("done", None),
    ]
    assert calls.started(uses) == uses[:2]


def test_without_calls_to_run_it_is_the_turns_turn(tmp_path):
    stage = in_calls(Stage(tmp_path), use("done")).unclaimed()
    answer_, draft = begin_tools(stage)
    assert answer_ == "turn"
    assert is_untouched(draft)


def test_without_a_boot_nothing_is_marked(tmp_path):
    stage = in_calls(Stage(tmp_path), use("allow")).unclaimed()
    answer_, draft = begin_tools(stage, boot=None)
    assert answer_ == "tools"
    assert is_untouched(draft)


def test_an_interrupt_before_the_mark_takes_the_claim_and_starts_nothing(tmp_path):
    stage = in_calls(Stage(tmp_path), use("allow")).unclaimed()
    stage.session(gen=1)
    answer_, draft = begin_tools(stage)
    assert answer_ == "cancel"
    stage.commit(draft)
    assert [u.state for u in stage.read().primary.uses] == ["allow"]
    assert stage.read().claims[stage.threads[0]].holder == "me"


def test_results_stand_in_the_models_order_and_answer_only_what_ran(tmp_path):
    first, second, asked, done = use("started"), use("started"), use("ask"), use("done")
    stage = in_calls(Stage(tmp_path), first, second, asked, done)
    given = {u.event_id: u.event_id for u in (done, asked, second, first)}
    answer_, draft = finish_tools(stage, given)
    assert answer_ == "idle"
    results = stage.events(draft, "agent.tool_result")
    assert [r["tool_use_id"] for r in results] == [first.event_id, second.event_id]
    stage.commit(draft)
    assert [u.state for u in stage.read().primary.uses] == ["done", "done", "ask", "done"]


def test_a_call_without_a_result_is_entered_again(tmp_path):
    first, second = use("started"), use("started")
    stage = in_calls(Stage(tmp_path), first, second)
    answer_, draft = finish_tools(stage, {first.event_id: "ok"})
    assert answer_ == "tools"
    stage.commit(draft)
    assert [u.state for u in stage.read().primary.uses] == ["done", "started"]


@pytest.mark.parametrize("state", ["allow", "started"])
def test_an_interrupt_kills_what_has_no_result_before_it_is_answered(tmp_path, state):
    ran, open_, done = use("started"), use(state), use("done")
    stage = in_calls(Stage(tmp_path), ran, open_, done)
    stage.session(gen=1)
    answer_, draft = finish_tools(stage, {ran.event_id: "ok"})
    assert answer_ == "cancel"
    assert is_untouched(draft)
    answer_, draft = finish_tools(stage, {ran.event_id: "ok"}, cancelled=True)
    assert answer_ == "idle"
    results = stage.events(draft, "agent.tool_result")
    assert [(r["tool_use_id"], r["is_error"]) for r in results] == [
        (ran.event_id, False),
        (open_.event_id, True),
    ]
    assert results[1]["content"][0]["text"] == lifecycle.INTERRUPTED


def test_an_interrupt_after_every_result_keeps_the_results(tmp_path):
    ran, asked = use("started"), use("ask")
    stage = in_calls(Stage(tmp_path), ran, asked)
    stage.session(gen=1)
    answer_, draft = finish_tools(stage, {ran.event_id: "ok"})
    assert answer_ == "idle"
    errors = [r["is_error"] for r in stage.events(draft, "agent.tool_result")]
    assert errors == [False, True]
