"""Turns that end badly or in an unusual way, and that the next message works (BEHAVIOUR 7.8, 9).

Every request to the model, the ones after a failure too, keeps the rules of the Messages API.
"""

from __future__ import annotations

import json

import pytest

from freehold.domain.step import PAUSED
from freehold.engine.turn import run_turn
from freehold.errors import ModelError, ModelStopped
from freehold.ports import BlockDone, BlockStarted, ReplyDone, Usage
from freehold.testing.script import script
from tests.images import png
from tests.unit.sessions import Bench, Failing


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path, max_model_retries=1)
    yield bench
    bench.judge()


def words(request):
    """Every text of a request's user turns, of tool results too."""
    return json.dumps([m for m in request.messages if m["role"] == "user"])


def last_error(bench):
    return [e["error"] for e in bench.events if e["type"] == "session.error"][-1]


def stop_reason(bench):
    return bench.events[-1]["stop_reason"]["type"]


class Then:
    """Answers with `first`, calls `act` while that request is open, then hands over."""

    def __init__(self, bench, act):
        self._bench = bench
        self._inner = bench.model.model
        self._act = act
        bench.model.model = self

    def open(self, request):
        self._bench.model.model = self._inner
        self._act()
        return self._inner.open(request)


FAILURES = {
    "overloaded": ("model_overloaded_error", 2),
    "rate_limited": ("model_rate_limited_error", 2),
    "failed": ("model_request_failed_error", 2),
    "billing": ("billing_error", 1),
    "unauthorized": ("model_request_failed_error", 1),
    "forbidden": ("model_request_failed_error", 1),
    "not_found": ("model_request_failed_error", 1),
    "invalid": ("model_request_failed_error", 1),
    "too_long": ("model_request_failed_error", 1),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_has_its_type_ends_the_turn_and_the_next_message_works(bench, name):
    kind, attempts = FAILURES[name]
    bench.say(script({"error": name}))
    assert last_error(bench)["type"] == kind
    assert last_error(bench)["retry_status"] == {"type": "exhausted"}
    assert len(bench.model.requests) == attempts
    assert stop_reason(bench) == "retries_exhausted"
    bench.say(script({"say": "Here."}))
    assert stop_reason(bench) == "end_turn"


def test_a_reply_cut_in_mid_stream_leaves_nothing_and_is_asked_for_again(bench):
    bench.say(script({"say": "Whole.", "cut": True, "times": 1}))
    assert bench.kinds().count("agent.message") == 1
    assert last_error(bench)["retry_status"] == {"type": "retrying"}
    assert stop_reason(bench) == "end_turn"


def test_the_time_a_provider_asks_for_is_waited(tmp_path):
    bench = Bench(tmp_path, retry_base_seconds=1.0)
    bench.say(script({"error": "rate_limited", "retry_after": 7.2}), drain=False)
    outcome = run_turn(bench.app, bench.runs.waiting.pop())
    assert (outcome.next, outcome.seconds) == ("wait", 8)
    assert bench.head.status == "rescheduling"


def test_without_a_word_of_the_provider_waits_double_up_to_a_cap(tmp_path):
    bench = Bench(tmp_path, retry_base_seconds=1.0, retry_cap_seconds=3.0)
    bench.say(script({"error": "overloaded"}), drain=False)
    run = bench.runs.waiting.pop()
    assert [run_turn(bench.app, run).seconds for _ in range(4)] == [1, 2, 3, 3]


def test_messages_queued_behind_a_dead_turn_are_flushed_and_never_read(bench):
    Then(bench, lambda: bench.say("Queued.", drain=False))
    bench.say(script({"error": "billing"}))
    queued = [e for e in bench.events if "Queued." in json.dumps(e)]
    assert [e["processed_at"] is None for e in queued] == [True, False]
    kinds = bench.kinds()
    assert kinds[kinds.index("session.error") + 1] == "user.message"
    bench.say(script({"say": "Here."}))
    assert "Queued." not in words(bench.model.requests[-1])
    assert '"billing' in words(bench.model.requests[-1]).replace("\\", "")


def test_what_was_read_before_the_retries_ran_out_is_not_flushed(bench):
    Then(bench, lambda: bench.say(script({"say": "Meanwhile."}), drain=False))
    bench.say(script({"error": "overloaded", "times": 1}))
    assert stop_reason(bench) == "end_turn"
    assert "Meanwhile." in words(bench.model.requests[-1])
    assert len(bench.model.requests[-1].messages[0]["content"]) == 2


# ---------------------------------------------------------------- requests that are refused
class Refusing:
    """Takes no request that holds `poison`, as the API takes no broken image."""

    def __init__(self, bench, poison):
        self._inner = bench.model.model
        self._poison = poison
        bench.model.model = self

    def open(self, request):
        if self._poison in json.dumps(request.messages):
            return Failing(ModelError("model_request_failed", "No.", retryable=False, refused=True))
        return self._inner.open(request)


def test_input_that_the_model_refuses_is_left_out_so_that_the_next_message_works(bench):
    bench.say(script({"say": "One."}))
    Refusing(bench, "iVBOR")
    image = {"type": "base64", "media_type": "image/png", "data": png()}
    content = [{"type": "image", "source": image}, {"type": "text", "text": "What is it?"}]
    bench.send({"type": "user.message", "content": content})
    bench.runs.drain(bench.app)
    assert last_error(bench)["message"] == (
        "No. What the model had not answered yet is left out of the conversation."
    )
    assert stop_reason(bench) == "retries_exhausted"
    bench.say(script({"say": "Two."}))
    assert stop_reason(bench) == "end_turn"
    request = bench.model.requests[-1]
    assert [m["role"] for m in request.messages] == ["user", "assistant", "user"]
    assert "What is it?" not in words(request)
    assert "What is it?" in json.dumps(bench.events)


def test_a_result_that_the_model_refuses_is_replaced_and_its_call_stays_answered(bench):
    Refusing(bench, '"text": "poison"')
    calls = [{"tool": "bash", "input": {"command": c}} for c in ("poison", "other")]
    bench.say(script({"tools": calls}, {"say": "Never."}))
    assert stop_reason(bench) == "retries_exhausted"
    bench.say(script({"say": "Here."}))
    assert stop_reason(bench) == "end_turn"
    results = bench.model.requests[-1].messages[-1]["content"][:2]
    assert [result["is_error"] for result in results] == [True, True]
    assert "the model's API refuses its content" in results[0]["content"][0]["text"]


SIGNED = "https://files.example/a.png?signature=1"


def by_url(words):
    image = {"type": "image", "source": {"type": "url", "url": SIGNED}}
    return {"type": "user.message", "content": [image, {"type": "text", "text": words}]}


def test_an_image_whose_url_expires_costs_one_turn_and_not_the_session(bench):
    bench.send(by_url(script({"say": "A cat."})))
    bench.runs.drain(bench.app)
    assert stop_reason(bench) == "end_turn"
    Refusing(bench, SIGNED)
    bench.say(script({"say": "One."}))
    assert stop_reason(bench) == "retries_exhausted"
    for text in ("Two.", "Three."):
        bench.say(script({"say": text}))
        assert stop_reason(bench) == "end_turn"
    first, *_ = bench.model.requests[-1].messages
    assert "its URL may lead nowhere any more" in first["content"][0]["text"]
    assert "A cat." in json.dumps(first["content"][1])
    assert SIGNED in json.dumps(bench.events)


def test_what_can_be_fetched_stays_where_a_newer_image_is_refused(bench):
    bench.send(by_url(script({"say": "A cat."})))
    bench.runs.drain(bench.app)
    Refusing(bench, "iVBOR")
    image = {"type": "base64", "media_type": "image/png", "data": png()}
    bench.send({"type": "user.message", "content": [{"type": "image", "source": image}]})
    bench.runs.drain(bench.app)
    assert stop_reason(bench) == "retries_exhausted"
    bench.say(script({"say": "Here."}))
    assert SIGNED in words(bench.model.requests[-1])


def test_two_urls_that_expire_one_after_the_other(bench):
    bench.send(by_url(script({"say": "A cat."})))
    bench.runs.drain(bench.app)
    Refusing(bench, SIGNED)
    for n in range(2):  # each has an image of its own, and that may be why
        bench.send(by_url(f"Another. {n}"))
        bench.runs.drain(bench.app)
        assert stop_reason(bench) == "retries_exhausted"
    bench.say(script({"say": "Here."}))
    assert stop_reason(bench) == "end_turn"


def test_input_of_an_earlier_dead_turn_is_left_out_with_it(bench):
    bench.say(script({"error": "billing"}) + " poison")
    Refusing(bench, "poison")
    bench.say("And now?")
    assert last_error(bench)["message"].startswith("No.")
    bench.say(script({"say": "Here."}))
    assert stop_reason(bench) == "end_turn"
    assert "poison" not in words(bench.model.requests[-1])


# ---------------------------------------------------------------- ends of a reply
@pytest.mark.parametrize("reason", ["max_tokens", "model_context_window_exceeded", "stop_sequence"])
def test_a_reply_that_found_no_room_ends_the_turn_with_what_it_said(bench, reason):
    bench.say(script({"say": "As far as I", "stop_reason": reason}))
    assert (stop_reason(bench), len(bench.model.requests)) == ("end_turn", 1)
    said = next(e for e in bench.events if e["type"] == "agent.message")
    assert said["content"] == [{"type": "text", "text": "As far as I"}]
    bench.say(script({"say": "Here."}))
    assert stop_reason(bench) == "end_turn"


def test_complete_calls_of_a_reply_that_found_no_room_are_run(bench):
    call = {"tool": "bash", "input": {"command": "echo"}, "stop_reason": "max_tokens"}
    bench.say(script(call, {"say": "Done."}))
    assert len(bench.sandbox.calls) == 1
    assert stop_reason(bench) == "end_turn"


def test_a_refused_reply_keeps_its_words_and_calls_nothing(bench):
    call = {"tool": "bash", "input": {"command": "rm"}}
    bench.say(script({"say": "I will", **call, "refuse": {"category": "cyber"}}))
    assert bench.sandbox.calls == []
    assert bench.kinds().count("agent.message") == 1
    assert "agent.tool_use" not in bench.kinds()
    assert bench.events[-1]["stop_reason"] == {"type": "refusal"}
    bench.say(script({"say": "Here."}))
    assert stop_reason(bench) == "end_turn"


def test_a_refusal_without_a_word_leaves_no_empty_turn(bench):
    bench.say(script({"refuse": True}))
    assert bench.events[-1]["stop_details"] == {
        "type": "refusal",
        "category": None,
        "explanation": None,
    }
    bench.say(script({"say": "Here."}))
    assert [m["role"] for m in bench.model.requests[-1].messages] == ["user"]


def test_a_paused_reply_is_resumed_as_it_is_before_anything_else_is_read(tmp_path):
    bench = Bench(tmp_path)
    Then(bench, lambda: bench.say(script({"say": "Three."}), drain=False))
    bench.say(script({"say": "One,", "stop_reason": PAUSED}, {"say": "two."}))
    said = [e["content"][0]["text"] for e in bench.events if e["type"] == "agent.message"]
    assert said == ["One,", "two.", "Three."]
    paused, resumed, third = bench.model.requests
    assert resumed.messages[-1] == {
        "role": "assistant",
        "content": [{"type": "text", "text": "One,"}],
    }
    assert [m["role"] for m in third.messages] == ["user", "assistant", "assistant", "user"]
    assert len(paused.messages) == 1
    assert bench.kinds().count("session.status_idle") == 1


def test_a_paused_reply_whose_resumption_fails_is_resumed_by_the_retry(tmp_path):
    bench = Bench(tmp_path)
    pause = {"say": "One,", "stop_reason": PAUSED}
    bench.say(script(pause, {"error": "overloaded", "times": 1, "say": "two."}))
    assert [m["role"] for m in bench.model.requests[-1].messages] == ["user", "assistant"]
    assert stop_reason(bench) == "end_turn"


class Searching:
    """A reply that is paused while the provider runs its second tool; then no more replies."""

    BLOCKS = (
        {"type": "text", "text": "I look."},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {"type": "server_tool_use", "id": "srvtoolu_2", "name": "web_search", "input": {}},
    )

    def __init__(self, bench):
        self._bench = bench
        self._inner, bench.model.model = bench.model.model, self
        self._asked = 0

    def open(self, request):
        self._asked += 1
        if self._asked > 1:
            self._bench.model.model = self._inner
            self._bench.send({"type": "user.interrupt"})
        return self

    def close(self):
        pass

    def __iter__(self):
        if self._asked > 1:
            raise ModelStopped
        for n, block in enumerate(self.BLOCKS):
            yield BlockStarted(n, block["type"])
            yield BlockDone(n, block)
        yield ReplyDone(PAUSED, Usage())


def test_a_paused_reply_that_is_not_resumed_keeps_no_call_without_an_answer(tmp_path):
    bench = Bench(tmp_path)
    Searching(bench)
    bench.say("Look it up.")
    assert bench.model.requests[1].messages[-1]["content"] == list(Searching.BLOCKS)
    bench.say(script({"say": "Here."}))
    request = bench.model.requests[-1]
    assert [m["role"] for m in request.messages] == ["user", "assistant", "user"]
    assert request.messages[1]["content"] == list(Searching.BLOCKS[:3])
    assert stop_reason(bench) == "end_turn"


def test_pauses_without_end_are_cut_off(tmp_path):
    bench = Bench(tmp_path, max_tool_rounds=3)
    bench.say(script(*[{"say": str(n), "stop_reason": PAUSED} for n in range(9)]))
    assert len(bench.model.requests) == 4
    assert last_error(bench)["type"] == "tool_use_limit_reached_error"
    bench.say(script({"say": "Here."}))
    assert stop_reason(bench) == "end_turn"


def test_the_limit_on_rounds_is_one_of_a_run_and_its_calls_are_answered(tmp_path):
    bench = Bench(tmp_path, max_tool_rounds=2)
    rounds = [{"tool": "bash", "input": {"command": str(n)}} for n in range(9)]
    bench.say(script(*rounds))
    assert last_error(bench)["type"] == "tool_use_limit_reached_error"
    uses = [e["id"] for e in bench.events if e["type"] == "agent.tool_use"]
    answered = [e["tool_use_id"] for e in bench.events if e["type"] == "agent.tool_result"]
    assert uses == answered
    bench.say(script(*rounds[:2], {"say": "Done."}))
    assert stop_reason(bench) == "end_turn"
    bench.judge()
