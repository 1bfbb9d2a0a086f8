"""The claim and the end of a turn, state by state."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.protocol.plans import (
    begin_turn,
    fail_turn,
    finish_turn,
    in_model,
    is_untouched,
    release,
)
from tests.protocol.stage import (
    EARLIER,
    ERROR,
    FATAL,
    INTERRUPT,
    LATER,
    LIMITS,
    MESSAGE,
    SPENT,
    Stage,
    claim,
    text_reply,
    tool_reply,
    use,
)


# ---------------------------------------------------------------- the claim of a turn
def test_a_claim_takes_what_is_pending_and_what_was_answered_and_opens_a_span(tmp_path):
    done = use("done")
    stage = Stage(tmp_path).running(pending=(MESSAGE, MESSAGE), uses=(done,), taken=("sevt_read",))
    waiting = [pending.event_id for pending in stage.read().primary.pending]
    answer_, draft = begin_turn(stage)
    assert answer_ == "reply"
    assert stage.kinds(draft) == [MESSAGE, MESSAGE, "span.model_request_start"]
    stage.commit(draft)
    head = stage.read().primary
    assert head.pending == head.uses == ()
    assert head.taken == ("sevt_read", *waiting, done.event_id)
    assert head.span == stage.events(draft, "span.model_request_start")[0]["id"]
    held = stage.read().claims[stage.threads[0]]
    assert (held.holder, held.epoch, held.leg, held.until) == ("me", 1, 0, LATER)


def test_a_span_that_a_dead_invocation_left_is_closed_first(tmp_path):
    stage = Stage(tmp_path).running(span="sevt_left")
    _, draft = begin_turn(stage)
    kinds = stage.kinds(draft)
    assert kinds == ["span.model_request_end", MESSAGE, "span.model_request_start"]
    end = stage.events(draft, "span.model_request_end")[0]
    assert (end["model_request_start_id"], end["is_error"]) == ("sevt_left", True)


def test_calls_that_may_run_come_before_a_turn(tmp_path):
    stage = Stage(tmp_path).running(uses=(use("allow"),))
    answer_, draft = begin_turn(stage)
    assert answer_ == "tools"
    assert is_untouched(draft)


@pytest.mark.parametrize("told", [True, False])
def test_a_retry_tells_of_the_session_only_what_it_was_told_before(tmp_path, told):
    stage = Stage(tmp_path).running(status="rescheduling", pending=(), taken=("sevt_read",))
    stage.session(rescheduled=told)
    _, draft = begin_turn(stage)
    session = ["session.status_running"] if told else []
    thread = ["session.thread_status_running", "span.model_request_start"]
    assert stage.kinds(draft) == [*session, *thread]
    stage.commit(draft)
    assert stage.read().primary.status == "running"
    assert not stage.read().session.rescheduled


@pytest.mark.parametrize(
    ("uses", "reason", "status"),
    [
        ((use("ask", "sevt_asked"),), "requires_action", "requires_action"),
        ((), "end_turn", "idle"),
    ],
    ids=["blocked", "nothing-unread"],
)
def test_a_turn_without_input_settles_and_leaves_no_claim(tmp_path, uses, reason, status):
    stage = Stage(tmp_path).running(pending=(), uses=uses).claimed(claim("dead", EARLIER))
    answer_, draft = begin_turn(stage)
    assert answer_ == "idle"
    assert stage.events(draft, "session.status_idle")[0]["stop_reason"]["type"] == reason
    stage.commit(draft)
    after = stage.read()
    assert after.primary.status == status
    assert (after.session.running, after.session.asks) == (0, len(uses))
    assert list(after.session.asked) == [u.event_id for u in uses]
    assert not after.claims


def test_messages_wait_behind_a_call_that_asks(tmp_path):
    stage = Stage(tmp_path).running(pending=(MESSAGE,), uses=(use("ask"),))
    answer_, draft = begin_turn(stage)
    assert answer_ == "idle"
    stage.commit(draft)
    assert len(stage.read().primary.pending) == 1


def test_an_interrupt_found_by_a_claim_stops_the_turn_and_leaves_no_claim(tmp_path):
    stage = Stage(tmp_path).running(pending=(INTERRUPT,)).claimed(claim("dead", EARLIER))
    answer_, draft = begin_turn(stage)
    assert answer_ == "idle"
    stage.commit(draft)
    assert not stage.read().claims
    assert stage.read().primary.status == "idle"


@pytest.mark.parametrize(("spend", "pauses"), [(9, False), (10, True), (11, True)])
def test_a_session_at_its_cap_pauses_before_the_request(tmp_path, spend, pauses):
    stage = Stage(tmp_path).running().claimed(claim("dead", EARLIER))
    stage.session(cap=10, spend=spend)
    answer_, draft = begin_turn(stage)
    assert (answer_ == "idle") == pauses
    stage.commit(draft)
    assert stage.read().primary.status == ("budget_reached" if pauses else "running")
    if pauses:
        kinds = ["session.thread_status_idle", "session.usage", "session.status_idle"]
        assert stage.kinds(draft) == kinds
        idle = stage.events(draft, "session.status_idle")[0]
        assert idle["stop_reason"] == {"type": "budget_reached"}
        assert not stage.read().claims


# ---------------------------------------------------------------- the end of a turn
def test_a_reply_closes_its_span_and_answers_its_input(tmp_path):
    stage = in_model(Stage(tmp_path), retries=2, rounds=3, turns=5, replies=8)
    answer_, draft = finish_turn(stage, text_reply(usage=SPENT, cost=6))
    assert answer_ == "idle"
    assert stage.kinds(draft) == [
        "agent.message",
        "span.model_request_end",
        "session.thread_status_idle",
        "session.usage",
        "session.status_idle",
    ]
    end = stage.events(draft, "span.model_request_end")[0]
    assert (end["model_request_start_id"], end["is_error"]) == ("sevt_span", False)
    stage.commit(draft)
    after = stage.read()
    head = after.primary
    assert (head.span, head.taken, head.uses) == (None, (), ())
    assert (head.retries, head.rounds, head.turns, head.replies) == (0, 0, 6, 9)
    assert (head.usage["input_tokens"], head.usage["output_tokens"]) == (3, 4)
    assert (after.session.input_tokens, after.session.output_tokens) == (3, 4)
    assert after.session.spend == 6


def test_stamps_of_a_reply_rise_and_its_uses_know_their_place(tmp_path):
    stage = in_model(Stage(tmp_path))
    reply = tool_reply("allow", "allow")
    answer_, draft = finish_turn(stage, reply)
    assert answer_ == "tools"
    stamps = [e["processed_at"] for e in stage.events(draft, "agent.tool_use")]
    assert stamps == sorted(set(stamps))
    stage.commit(draft)
    for waiting in stage.read().primary.uses:
        found = stage.log.events_after(stage.key, stage.threads[0], waiting.seq - 1, limit=1)
        assert found[0].body["id"] == waiting.event_id
    assert stage.read().primary.rounds == 1


def test_a_refused_call_is_answered_at_once_and_the_turn_goes_on(tmp_path):
    stage = in_model(Stage(tmp_path))
    reply = tool_reply("allow", "allow")
    first, second = (u.event_id for u in reply.uses)
    answer_, draft = finish_turn(stage, replace(reply, denied={first: "No."}))
    assert answer_ == "tools"
    results = stage.events(draft, "agent.tool_result")
    assert [(r["tool_use_id"], r["is_error"]) for r in results] == [(first, True)]
    stage.commit(draft)
    assert {u.event_id: u.state for u in stage.read().primary.uses} == {
        first: "done",
        second: "allow",
    }
    _, draft = finish_turn(
        in_model(Stage(tmp_path)), replace(reply, denied={first: "", second: ""})
    )
    assert draft.heads[draft.session.primary_id].status == "running"


def test_a_turn_whose_calls_are_all_refused_is_followed_by_another(tmp_path):
    reply = tool_reply("allow")
    denied = {reply.uses[0].event_id: "No."}
    answer_, _ = finish_turn(in_model(Stage(tmp_path)), replace(reply, denied=denied))
    assert answer_ == "turn"


@pytest.mark.parametrize(("rounds", "is_over"), [(9, False), (10, True)])
def test_rounds_of_calls_have_a_limit(tmp_path, rounds, is_over):
    stage = in_model(Stage(tmp_path), rounds=rounds)
    answer_, draft = finish_turn(stage, tool_reply("allow"))
    assert answer_ == ("idle" if is_over else "tools")
    errors = [e["error"]["type"] for e in stage.events(draft, "session.error")]
    assert errors == (["tool_use_limit_reached_error"] if is_over else [])


def test_an_interrupt_before_the_reply_drops_the_reply_but_not_its_cost(tmp_path):
    stage = in_model(Stage(tmp_path))
    stage.session(gen=1)
    answer_, draft = finish_turn(stage, text_reply(usage=SPENT, cost=6))
    assert answer_ == "idle"
    assert "agent.message" not in stage.kinds(draft)
    stage.commit(draft)
    assert stage.read().session.input_tokens == 3
    assert stage.read().session.spend == 6


@pytest.mark.parametrize(
    ("leg_turns", "turns", "is_over"),
    [(0, 500, False), (400, 398, False), (400, 399, True), (400, 400, True)],
)
def test_an_execution_ends_after_its_turns_and_names_a_successor(
    tmp_path, leg_turns, turns, is_over
):
    stage = in_model(Stage(tmp_path), turns=turns, leg=3, pending=(MESSAGE,))
    limits = replace(LIMITS, leg_turns=leg_turns)
    answer_, draft = finish_turn(stage, limits=limits, leg=3)
    assert answer_ == ("successor" if is_over else "turn")
    stage.commit(draft)
    head = stage.read().primary
    assert (head.leg, head.turns) == ((4, 0) if is_over else (3, turns + 1))
    assert head.epoch == 1


# ---------------------------------------------------------------- a request that failed
def test_a_failed_request_waits_and_says_so(tmp_path):
    stage = in_model(Stage(tmp_path))
    answer_, draft = fail_turn(stage)
    assert answer_ == "wait"
    assert stage.kinds(draft) == [
        "span.model_request_end",
        "session.error",
        "session.status_rescheduled",
        "session.thread_status_rescheduled",
    ]
    stage.commit(draft)
    head = stage.read().primary
    assert (head.status, head.retries, head.span) == ("rescheduling", 1, None)
    assert head.taken == ("sevt_read",)
    assert stage.read().session.rescheduled
    assert stage.read().session.running == 1


@pytest.mark.parametrize("why", ["others run", "told already"])
def test_the_session_is_rescheduled_once_and_only_when_nothing_else_runs(tmp_path, why):
    stage = in_model(Stage(tmp_path, children=1))
    if why == "others run":
        stage.running(1)
    else:
        stage.session(rescheduled=True)
    _, draft = fail_turn(stage)
    assert "session.status_rescheduled" not in stage.kinds(draft)
    assert draft.session.rescheduled == (why == "told already")


@pytest.mark.parametrize(
    ("failure", "retries", "answer_"),
    [(ERROR, 1, "wait"), (ERROR, 2, "idle"), (FATAL, 0, "idle")],
)
def test_retries_have_a_limit_and_some_errors_have_none(tmp_path, failure, retries, answer_):
    stage = in_model(Stage(tmp_path), retries=retries, pending=(MESSAGE, MESSAGE))
    queued = {pending.event_id for pending in stage.read().primary.pending}
    given, draft = fail_turn(stage, failure)
    assert given == answer_
    if answer_ == "wait":
        return
    stamped = {e["id"] for e in stage.events(draft, MESSAGE) if e["processed_at"]}
    assert stamped == queued
    idle = stage.events(draft, "session.status_idle")[0]
    assert idle["stop_reason"] == {"type": "retries_exhausted"}
    stage.commit(draft)
    head = stage.read().primary
    assert (head.status, head.pending, head.taken, head.span) == ("idle", (), (), None)


def test_a_failure_after_an_interrupt_is_only_the_interrupt(tmp_path):
    stage = in_model(Stage(tmp_path))
    stage.session(gen=1)
    answer_, draft = fail_turn(stage)
    assert answer_ == "idle"
    assert "session.error" not in stage.kinds(draft)
    assert stage.kinds(draft).count("span.model_request_end") == 1


def test_giving_up_answers_what_is_open_and_nothing_twice(tmp_path):
    waiting, done = use("allow"), use("done")
    stage = Stage(tmp_path).running(pending=(), uses=(waiting, done))
    stage.head(retries=2)
    _, draft = release(stage, failed=True)
    results = stage.events(draft, "agent.tool_result")
    assert [(r["tool_use_id"], r["is_error"]) for r in results] == [(waiting.event_id, True)]
    stage.commit(draft)
    assert stage.read().primary.uses == ()
