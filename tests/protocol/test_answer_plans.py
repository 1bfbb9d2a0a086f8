"""What answers to calls decide, state by state, where they are no confirmations on the primary
thread (`test_append_plans`).
"""

from __future__ import annotations

import pytest

from freehold.domain import lifecycle
from freehold.errors import InvalidRequest
from tests.protocol.plans import answer, in_calls, interrupt, message, parked, result, send
from tests.protocol.stage import MESSAGE, Stage, use

RESULT = "user.custom_tool_result"
CONFIRMATION = "user.tool_confirmation"
RUNNING = ["session.status_running", "session.thread_status_running"]


# ---------------------------------------------------------------- results of custom tools
def test_the_result_of_a_custom_tool_is_its_answer(tmp_path):
    asked = use("ask", custom=True)
    stage = parked(Stage(tmp_path), asked)
    _, draft = send(stage, result(asked, is_error=True))
    assert stage.kinds(draft) == [RESULT, *RUNNING]
    assert stage.events(draft, RESULT)[0]["processed_at"]
    stage.commit(draft)
    head, session = stage.read().primary, stage.read().session
    assert (head.status, head.uses[0].state) == ("running", "done")
    assert (session.running, session.asks, session.asked) == (1, 0, ())


def test_a_custom_tool_is_not_confirmed_and_a_built_in_one_has_no_result(tmp_path):
    custom, built_in = use("ask", custom=True), use("ask")
    stage = parked(Stage(tmp_path), custom, built_in)
    with pytest.raises(InvalidRequest, match="is waiting for confirmation"):
        send(stage, answer(custom))
    with pytest.raises(InvalidRequest, match="is waiting for a result"):
        send(stage, result(built_in))


def test_a_result_while_other_calls_run_leaves_the_turn_running(tmp_path):
    asked = use("ask", custom=True)
    stage = in_calls(Stage(tmp_path), use("started"), asked)
    _, draft = send(stage, result(asked))
    assert stage.kinds(draft) == [RESULT]
    stage.commit(draft)
    assert [u.state for u in stage.read().primary.uses] == ["started", "done"]
    with pytest.raises(InvalidRequest, match="is waiting for a result"):
        send(stage, result(asked))


def test_answers_of_both_kinds_in_one_request_start_the_thread_once(tmp_path):
    custom, built_in = use("ask", custom=True), use("ask")
    stage = parked(Stage(tmp_path), custom, built_in)
    _, draft = send(stage, message(), result(custom), answer(built_in))
    assert stage.kinds(draft) == [RESULT, CONFIRMATION, *RUNNING, MESSAGE]


def test_some_of_the_answers_in_either_kind_repeat_the_idle(tmp_path):
    custom, built_in = use("ask", custom=True), use("ask")
    stage = parked(Stage(tmp_path), custom, built_in)
    _, draft = send(stage, result(custom))
    assert stage.kinds(draft) == [RESULT, "session.usage", "session.status_idle"]
    (told,) = stage.events(draft, "session.status_idle")
    assert told["stop_reason"]["event_ids"] == [built_in.event_id]


def test_an_interrupt_closes_a_custom_call_with_the_result_of_such_a_call(tmp_path):
    asked = use("ask", custom=True)
    stage = parked(Stage(tmp_path), asked)
    _, draft = send(stage, interrupt())
    (closed,) = stage.events(draft, RESULT)
    assert (closed["custom_tool_use_id"], closed["is_error"]) == (asked.event_id, True)
    assert "session_thread_id" not in closed
    assert "agent.tool_result" not in stage.kinds(draft)


# ---------------------------------------------------------------- answers to a child
@pytest.mark.parametrize("custom", [True, False])
def test_an_answer_to_a_child_names_its_thread_in_both_feeds(tmp_path, custom):
    asked = use("ask", custom=custom)
    stage = parked(Stage(tmp_path, children=1), asked, n=1)
    given = result(asked) if custom else answer(asked)
    _, draft = send(stage, given)
    for n in (0, 1):
        (stored,) = stage.events(draft, given.type, n)
        assert stored["id"] == given.id
        assert stored["session_thread_id"] == stage.threads[1]
        assert stored["processed_at"]
    stage.commit(draft)
    assert stage.read().heads[stage.threads[1]].status == "running"
    assert stage.read().primary.status == "idle"


def test_a_child_that_is_closed_names_its_thread(tmp_path):
    asked = use("ask", custom=True)
    stage = parked(Stage(tmp_path, children=1), asked, n=1)
    draft = stage.draft(1)
    lifecycle.answer_use(draft, stage.threads[1], asked, "gone", is_error=True)
    (closed,) = stage.events(draft, RESULT, 1)
    assert closed["session_thread_id"] == stage.threads[1]


def test_the_last_answer_to_a_child_starts_it_while_another_still_asks(tmp_path):
    near, far = use("ask"), use("ask", custom=True)
    stage = parked(parked(Stage(tmp_path, children=1), near), far, n=1)
    _, draft = send(stage, result(far))
    assert stage.kinds(draft) == [RESULT, *RUNNING]
    stage.commit(draft)
    assert stage.read().session.asked == (near.event_id,)


# ---------------------------------------------------------------- interrupts by name
def test_an_interrupt_of_a_thread_that_ended_is_refused(tmp_path):
    stage = Stage(tmp_path, children=1).head(1, status="terminated")
    with pytest.raises(InvalidRequest, match=r"events\[0\]: thread sthr_\w+ is terminated"):
        send(stage, interrupt(stage.threads[1]))
