"""What clients' requests decide, state by state."""

from __future__ import annotations

import pytest

from freehold.domain import queue
from freehold.errors import InvalidRequest
from tests.protocol.plans import (
    answer,
    in_calls,
    in_model,
    interrupt,
    is_untouched,
    message,
    parked,
    send,
)
from tests.protocol.stage import (
    INTERRUPT,
    LATER,
    MESSAGE,
    Stage,
    use,
)


# ---------------------------------------------------------------- requests of clients
def test_a_message_starts_an_idle_thread_under_a_new_name(tmp_path):
    stage = Stage(tmp_path).head(epoch=4, leg=2, turns=9, retries=1, rounds=3)
    stage.session(gen=5)
    _, draft = send(stage, message())
    kinds = [MESSAGE, "session.status_running", "session.thread_status_running"]
    assert stage.kinds(draft) == kinds
    stage.commit(draft)
    head, session = stage.read().primary, stage.read().session
    assert (head.epoch, head.leg, head.turns, head.retries, head.rounds) == (5, 0, 0, 0, 0)
    assert (head.status, head.gen, head.used) == ("running", 5, True)
    assert head.running_since == session.running_since == draft.at
    assert session.running == 1
    assert draft.entries()[0].private["period"] == 5


def test_a_message_to_a_running_thread_only_waits(tmp_path):
    stage = Stage(tmp_path).running(pending=())
    _, draft = send(stage, message(), message())
    assert stage.kinds(draft) == [MESSAGE, MESSAGE]
    stage.commit(draft)
    head = stage.read().primary
    assert [p.seq for p in head.pending] == [1, 2]
    assert head.epoch == 1


@pytest.mark.parametrize("state", ["parked", "child parked", "paused", "archived", "terminated"])
def test_a_message_is_refused_where_it_could_not_be_read(tmp_path, state):
    stage = Stage(tmp_path, children=1)
    asked = use("ask")
    if "parked" in state:
        parked(stage, asked, n=int(state == "child parked"))
    elif state == "paused":
        stage.head(status="budget_reached").session(cap=1, spend=1)
    elif state == "archived":
        stage.session(archived_at=LATER)
    else:
        stage.head(status="terminated")
    with pytest.raises(InvalidRequest) as refused:
        send(stage, message(), message())
    words = {"paused": "budget", "archived": "archived", "terminated": "archived"}
    assert words.get(state, f"[{asked.event_id}]") in refused.value.message


def test_a_message_is_accepted_while_a_child_asks_and_another_runs(tmp_path):
    stage = parked(Stage(tmp_path, children=2), use("ask"), n=1).running(2)
    _, draft = send(stage, message())
    assert draft.primary.status == "running"


def test_messages_and_interrupts_that_wait_are_counted_apart(tmp_path):
    stage = Stage(tmp_path).running(pending=(MESSAGE,) * queue.MAX_PENDING)
    with pytest.raises(InvalidRequest, match="waiting to be processed"):
        send(stage, message())
    send(stage, interrupt())
    stage = Stage(tmp_path).running(pending=(MESSAGE,) * (queue.MAX_PENDING - 1))
    send(stage, message())
    stage = Stage(tmp_path).running(pending=(INTERRUPT,) * queue.MAX_PENDING)
    send(stage, message())
    with pytest.raises(InvalidRequest, match="waiting to be processed"):
        send(stage, interrupt())


def test_an_interrupt_of_an_idle_thread_is_processed_and_changes_nothing(tmp_path):
    stage = Stage(tmp_path)
    _, draft = send(stage, interrupt())
    first, second = stage.events(draft, INTERRUPT)
    assert (first["id"], first["processed_at"]) == (second["id"], None)
    assert second["processed_at"]
    assert len(stage.kinds(draft)) == 2
    stage.commit(draft)
    head, session = stage.read().primary, stage.read().session
    assert (head.status, head.pending) == ("idle", ())
    assert head.gen == session.gen == 1


def test_an_interrupt_of_a_paused_thread_keeps_its_messages(tmp_path):
    stage = Stage(tmp_path, children=1).head(status="budget_reached", pending=(MESSAGE,))
    stage.running(1)
    _, draft = send(stage, interrupt())
    assert [p.type for p in draft.primary.pending] == [MESSAGE]


@pytest.mark.parametrize(
    ("running", "asks", "is_ignored"), [(0, 0, True), (0, 1, False), (1, 0, False)]
)
def test_an_interrupt_at_the_cap_is_accepted_and_not_recorded(tmp_path, running, asks, is_ignored):
    stage = Stage(tmp_path).head(status="budget_reached")
    stage.session(cap=1, spend=1, running=running, asks=asks)
    accepted, draft = send(stage, interrupt())
    assert accepted
    assert is_untouched(draft) == is_ignored


def test_an_interrupt_of_a_running_thread_waits_for_its_next_transaction(tmp_path):
    stage = in_model(Stage(tmp_path))
    _, draft = send(stage, interrupt())
    assert stage.kinds(draft) == [INTERRUPT]
    stage.commit(draft)
    assert stage.read().primary.has_interrupt
    assert stage.read().session.gen == 1
    assert stage.read().primary.gen == 0


def test_an_interrupt_of_one_thread_leaves_the_others(tmp_path):
    stage = in_model(Stage(tmp_path, children=1))
    in_model(stage, 1)
    _, draft = send(stage, interrupt(stage.threads[1]))
    assert draft.session.gen == 0
    stage.commit(draft)
    assert stage.read().heads[stage.threads[1]].has_interrupt
    assert not stage.read().primary.has_interrupt


@pytest.mark.parametrize("status", ["requires_action", "rescheduling", "running", "idle"])
@pytest.mark.parametrize("named", [True, False])
def test_an_interrupt_of_all_marks_what_is_left_to_visit(tmp_path, status, named):
    stage = Stage(tmp_path, children=1)
    if status == "requires_action":
        parked(stage, use("ask"), n=1)
    elif status != "idle":
        stage.running(1, status=status)
    _, draft = send(stage, interrupt(stage.threads[0] if named else None))
    waits = status in ("requires_action", "rescheduling") and not named
    assert draft.session.todo == waits
    stage.commit(draft)
    assert bool(stage.store.due("todo/")) == waits


def test_an_interrupt_stops_a_wait_at_once_and_its_queue_goes_on(tmp_path):
    stage = Stage(tmp_path).running(status="rescheduling", pending=(MESSAGE,), leg=2, retries=1)
    stage.session(rescheduled=True)
    _, draft = send(stage, interrupt())
    assert stage.kinds(draft) == [
        INTERRUPT,
        INTERRUPT,
        "session.thread_status_idle",
        "session.usage",
        "session.status_idle",
        "session.status_running",
        "session.thread_status_running",
    ]
    stage.commit(draft)
    head, session = stage.read().primary, stage.read().session
    assert (head.status, head.epoch, head.leg, head.retries) == ("running", 2, 0, 0)
    assert [p.type for p in head.pending] == [MESSAGE]
    assert (session.running, session.rescheduled) == (1, False)


# ---------------------------------------------------------------- answers
def test_the_last_answer_starts_a_parked_thread(tmp_path):
    asked = use("ask")
    stage = parked(Stage(tmp_path), asked)
    accepted, draft = send(stage, answer(asked))
    assert accepted
    assert stage.kinds(draft) == [
        "user.tool_confirmation",
        "session.status_running",
        "session.thread_status_running",
    ]
    assert stage.events(draft, "user.tool_confirmation")[0]["processed_at"]
    stage.commit(draft)
    head, session = stage.read().primary, stage.read().session
    assert (head.status, head.uses[0].state) == ("running", "allow")
    assert (session.running, session.asks, session.asked) == (1, 0, ())


def test_a_denial_is_a_result_that_says_why(tmp_path):
    asked = use("ask")
    stage = parked(Stage(tmp_path), asked)
    _, draft = send(stage, answer(asked, "deny", deny_message="too risky"))
    result = stage.events(draft, "agent.tool_result")[0]
    text = "Permission to use bash has been rejected. Rejection message: too risky"
    assert (result["is_error"], result["content"][0]["text"]) == (True, text)
    stage.commit(draft)
    assert stage.read().primary.uses[0].state == "done"
    assert stage.read().primary.status == "running"


def test_some_of_the_answers_repeat_the_idle_with_what_remains(tmp_path):
    first, second = use("ask"), use("ask")
    stage = parked(Stage(tmp_path), first, second)
    _, draft = send(stage, answer(first))
    kinds = ["user.tool_confirmation", "session.usage", "session.status_idle"]
    assert stage.kinds(draft) == kinds
    reason = stage.events(draft, "session.status_idle")[0]["stop_reason"]
    assert reason == {"type": "requires_action", "event_ids": [second.event_id]}
    stage.commit(draft)
    assert stage.read().session.asked == (second.event_id,)
    assert stage.read().session.asks == 1


def test_all_the_answers_in_one_request_show_no_idle_in_between(tmp_path):
    first, second = use("ask"), use("ask")
    stage = parked(Stage(tmp_path), first, second)
    _, draft = send(stage, answer(second), answer(first, "deny"), message())
    assert stage.kinds(draft) == [
        "user.tool_confirmation",
        "user.tool_confirmation",
        "agent.tool_result",
        "session.status_running",
        "session.thread_status_running",
        MESSAGE,
    ]
    stage.commit(draft)
    assert stage.read().session.asks == 0


def test_some_of_the_answers_in_one_request_repeat_the_idle_once(tmp_path):
    uses = [use("ask") for _ in range(3)]
    _, draft = send(parked(Stage(tmp_path), *uses), answer(uses[0]), answer(uses[1]))
    ids = [e.stop_reason.event_ids for e in _idles(draft)]
    assert ids == [[uses[2].event_id]]


def _idles(draft):
    return [e for e in draft.entries()[0].events if getattr(e, "type", "") == "session.status_idle"]


def test_an_answer_while_the_thread_runs_waits_for_the_next_round(tmp_path):
    asked = use("ask")
    stage = in_calls(Stage(tmp_path), use("started"), asked)
    _, draft = send(stage, answer(asked))
    assert stage.kinds(draft) == ["user.tool_confirmation"]
    stage.commit(draft)
    assert [u.state for u in stage.read().primary.uses] == ["started", "allow"]
    assert stage.read().session.asks == 0


@pytest.mark.parametrize("state", ["allow", "started", "done"])
def test_an_answer_to_what_does_not_ask_is_refused(tmp_path, state):
    given = use(state)
    stage = in_calls(Stage(tmp_path), given)
    with pytest.raises(InvalidRequest, match="waiting for confirmation"):
        send(stage, answer(given))
    with pytest.raises(InvalidRequest, match="waiting for confirmation"):
        send(stage, answer(use("ask")))


def test_one_use_is_answered_once_in_a_request(tmp_path):
    asked = use("ask")
    with pytest.raises(InvalidRequest, match=r"events\[1\]"):
        send(parked(Stage(tmp_path), asked), answer(asked), answer(asked, "deny"))


def test_an_answer_and_an_interrupt_in_one_request_leave_the_thread_idle(tmp_path):
    asked = use("ask")
    stage = parked(Stage(tmp_path), asked)
    _, draft = send(stage, answer(asked), interrupt())
    stage.commit(draft)
    session, head = stage.read().session, stage.read().primary
    assert (head.status, head.uses) == ("idle", ())
    assert (session.running, session.asks, session.asked) == (0, 0, ())


@pytest.mark.parametrize("n", [0, 1])
def test_an_answer_after_an_interrupt_in_one_request_refuses_the_whole(tmp_path, n):
    """Else the interrupt would be accepted twice, once with what it closes."""
    asked = use("ask")
    stage = parked(Stage(tmp_path, children=1), asked, n=n)
    with pytest.raises(InvalidRequest, match="waiting for confirmation"):
        send(stage, interrupt(), answer(asked))


def test_an_interrupt_that_has_not_reached_a_thread_is_resolved_alone(tmp_path):
    """Whatever else the request holds is judged afterwards."""
    near, far = use("ask"), use("ask")
    stage = parked(Stage(tmp_path, children=2), near, n=1)
    parked(stage, far, n=2).head(1, gen=1).session(gen=1, todo=True)
    accepted, draft = send(stage, answer(near), answer(far))
    assert not accepted
    assert "user.tool_confirmation" not in stage.kinds(draft, 1)
    stage.commit(draft)
    after = stage.read()
    assert after.heads[stage.threads[2]].status == "idle"
    assert after.heads[stage.threads[1]].status == "requires_action"
    assert after.session.asked == (near.event_id,)
    with pytest.raises(InvalidRequest):
        send(stage, answer(near), answer(far))
