"""Who may write: executions whose thread has moved on, claims of others, dead runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freehold.domain import calls, turn
from freehold.ids import new_id
from tests.protocol.plans import (
    begin_tools,
    begin_turn,
    fail_turn,
    finish_tools,
    finish_turn,
    in_calls,
    in_model,
    is_untouched,
    release,
)
from tests.protocol.stage import (
    EARLIER,
    ERROR,
    LEASE,
    LIMITS,
    MESSAGE,
    Stage,
    claim,
    text_reply,
    use,
)

# ---------------------------------------------------------------- who may write
BEGINS = [begin_turn, begin_tools]
ENDS = [finish_turn, fail_turn, finish_tools]


def ready(stage, plan):
    calls_ = plan in (begin_tools, finish_tools)
    in_calls(stage, use("allow")) if calls_ else in_model(stage)
    if plan in BEGINS:
        stage.unclaimed()
    if plan is begin_turn:
        stage.head(pending=(MESSAGE,))
    return stage


@pytest.mark.parametrize("plan", [*BEGINS, *ENDS, release])
@pytest.mark.parametrize("moved", ["epoch", "leg", "idle", "dead", "nothing"])
def test_an_execution_whose_thread_has_moved_on_writes_nothing(tmp_path, plan, moved):
    stage = ready(Stage(tmp_path), plan)
    if moved == "idle":
        stage.head(status="idle")
    elif moved == "dead":
        stage.session(dead=True)
    elif moved != "nothing":
        stage.head(**{moved: 2})
    answer_, draft = plan(stage)
    if moved == "nothing":
        assert answer_ not in ("taken", False)
        assert draft.touched
    else:
        assert answer_ in ("taken", False)
        assert is_untouched(draft)


@pytest.mark.parametrize("plan", [*BEGINS, *ENDS, release])
def test_a_thread_that_is_not_there_is_taken(tmp_path, plan):
    stage = Stage(tmp_path)
    draft = stage.draft()
    run = replace(stage.run(), thread_id=new_id("sthr"))
    answers = {
        begin_turn: lambda: turn.begin_turn(draft, run, LEASE),
        begin_tools: lambda: calls.begin_tools(draft, run, LEASE, "boot"),
        finish_turn: lambda: turn.finish_turn(draft, run, "me", text_reply(), LIMITS),
        fail_turn: lambda: turn.fail_turn(draft, run, "me", ERROR, LIMITS),
        finish_tools: lambda: calls.finish_tools(draft, run, "me", {}, LIMITS, cancelled=False),
        release: lambda: calls.release(draft, run, LIMITS, failed=False),
    }
    assert answers[plan]() in ("taken", False)
    assert is_untouched(draft)


@pytest.mark.parametrize("plan", BEGINS)
@pytest.mark.parametrize(
    ("held", "is_taken"),
    [(claim("other"), True), (claim("other", EARLIER), False), (claim("me"), False)],
    ids=["live", "lapsed", "own"],
)
def test_a_live_claim_of_another_invocation_is_respected(tmp_path, plan, held, is_taken):
    stage = ready(Stage(tmp_path), plan).claimed(held)
    answer_, draft = plan(stage)
    assert (answer_ == "taken") == is_taken
    assert is_untouched(draft) == is_taken
    if not is_taken:
        stage.commit(draft)
        assert stage.read().claims[stage.threads[0]].holder == "me"


@pytest.mark.parametrize("plan", ENDS)
@pytest.mark.parametrize("lost", ["gone", "another", "rescheduling"])
def test_an_invocation_without_its_claim_ends_nothing(tmp_path, plan, lost):
    stage = ready(Stage(tmp_path), plan)
    if lost == "gone":
        stage.unclaimed()
    elif lost == "another":
        stage.claimed(claim("another"))
    else:
        stage.head(status="rescheduling")
    answer_, draft = plan(stage)
    assert answer_ == "taken"
    assert is_untouched(draft)


@pytest.mark.parametrize("plan", [*ENDS, release])
def test_the_last_transaction_of_an_invocation_clears_its_claim(tmp_path, plan):
    stage = ready(Stage(tmp_path), plan)
    _, draft = plan(stage)
    stage.commit(draft)
    assert not stage.read().claims


# ---------------------------------------------------------------- a dead run
def test_a_released_run_has_a_fresh_name_and_everything_else_as_it_was(tmp_path):
    stage = in_model(Stage(tmp_path), leg=3, turns=7, retries=1)
    before = stage.read().primary
    answer_, draft = release(stage, leg=3)
    assert answer_ is True
    assert stage.kinds(draft) == []
    stage.commit(draft)
    head = stage.read().primary
    assert (head.epoch, head.leg, head.turns, head.retries) == (2, 0, 0, 1)
    assert (head.span, head.taken, head.status) == (before.span, before.taken, "running")


@pytest.mark.parametrize("failed", [True, False])
@pytest.mark.parametrize("retries", [1, 2])
@pytest.mark.parametrize("is_interrupted", [True, False])
def test_a_defect_that_repeats_itself_gives_up_unless_an_interrupt_waits(
    tmp_path, failed, retries, is_interrupted
):
    stage = in_model(Stage(tmp_path), retries=retries)
    stage.session(gen=int(is_interrupted))
    answer_, draft = release(stage, failed=failed)
    gives_up = failed and retries == 2 and not is_interrupted
    assert answer_ is not gives_up
    assert ("session.error" in stage.kinds(draft)) == gives_up
    assert stage.kinds(draft).count("span.model_request_end") == gives_up
    stage.commit(draft)
    assert stage.read().primary.status == ("idle" if gives_up else "running")
    assert stage.read().primary.retries == retries + failed


def test_giving_up_outside_of_a_request_closes_no_span(tmp_path):
    stage = Stage(tmp_path).running(retries=2)
    _, draft = release(stage, failed=True)
    assert "span.model_request_end" not in stage.kinds(draft)
