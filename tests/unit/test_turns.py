"""Turns as clients see them: order of events, usage, errors, requests to the model."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from freehold.engine import recovery
from freehold.errors import ModelError, ModelStopped, NotFound
from freehold.ids import new_id
from freehold.ports import Usage, UsageSeen
from freehold.testing.prompt_cache import segments
from freehold.testing.script import script
from tests.unit.sessions import Bench


def test_a_plain_turn_has_every_event_in_the_documented_order(tmp_path):
    bench = Bench(tmp_path)
    bench.say(script({"think": "Hm.", "say": "Hello."}))
    assert bench.kinds() == [
        "user.message",
        "session.status_running",
        "session.thread_status_running",
        "user.message",
        "span.model_request_start",
        "agent.thinking",
        "agent.message",
        "span.model_request_end",
        "session.thread_status_idle",
        "session.usage",
        "session.status_idle",
    ]
    queued, stamped = (e for e in bench.events if e["type"] == "user.message")
    assert queued["id"] == stamped["id"]
    assert queued["processed_at"] is None
    assert stamped["processed_at"] is not None


def test_results_of_parallel_calls_come_in_the_models_order(tmp_path):
    bench = Bench(tmp_path)
    calls = [{"tool": "bash", "input": {"command": f"echo {n}"}} for n in range(5)]
    bench.say(script({"tools": calls}, {"say": "Done."}))
    uses = [e["id"] for e in bench.events if e["type"] == "agent.tool_use"]
    results = [e["tool_use_id"] for e in bench.events if e["type"] == "agent.tool_result"]
    assert results == uses
    assert bench.kinds().count("session.status_idle") == 1


def test_a_tool_that_is_not_enabled_is_denied_and_the_turn_goes_on(tmp_path):
    bench = Bench(tmp_path)
    bench.say(script({"tool": "web_fetch", "input": {"url": "x"}}, {"say": "Then not."}))
    use = next(e for e in bench.events if e["type"] == "agent.tool_use")
    assert use["evaluated_permission"] == "deny"
    assert "evaluation" not in use
    result = next(e for e in bench.events if e["type"] == "agent.tool_result")
    assert result["is_error"] is True
    assert result["content"][0]["text"] == "Permission to use web_fetch has been denied."
    assert bench.sandbox.calls == []
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}


def test_usage_of_requests_adds_up_to_the_sessions(tmp_path):
    bench = Bench(tmp_path)
    bench.say(script({"tool": "bash", "input": {"command": "true"}}, {"say": "Done."}))
    spans = [e["model_usage"] for e in bench.events if e["type"] == "span.model_request_end"]
    usage = next(e["usage"] for e in bench.events if e["type"] == "session.usage")
    assert len(spans) == 2
    assert usage["output_tokens"] == sum(span["output_tokens"] for span in spans) > 0
    assert usage["input_tokens"] == sum(span["input_tokens"] for span in spans)
    assert bench.head.usage["output_tokens"] == usage["output_tokens"]


class Metered:
    """Every request is metered, then ends as `end` says."""

    def __init__(self, end):
        self._end = end

    def open(self, request):
        return self

    def close(self):
        pass

    def __iter__(self):
        yield UsageSeen(Usage(input_tokens=100, output_tokens=7))
        self._end()
        raise ModelStopped


def test_a_failed_request_counts_what_it_has_used(tmp_path):
    def fail():
        raise ModelError("model_overloaded", "busy", retryable=True)

    bench = Bench(tmp_path, model=Metered(fail), max_model_retries=1)
    bench.say("Hello.")
    usage = bench.events[-2]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (200, 14)
    spans = [e["model_usage"] for e in bench.events if e["type"] == "span.model_request_end"]
    assert all(set(span.values()) == {0} for span in spans)
    assert bench.head.usage["input_tokens"] == 200


def test_an_interrupted_request_counts_what_it_has_used(tmp_path):
    bench = Bench(tmp_path, model=Metered(lambda: bench.send({"type": "user.interrupt"})))
    bench.say("Hello.")
    usage = bench.events[-2]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (100, 7)
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}


def test_an_overloaded_model_is_retried_and_then_answers(tmp_path):
    bench = Bench(tmp_path)
    bench.say(script({"error": "overloaded", "times": 2, "say": "At last."}))
    errors = [e["error"] for e in bench.events if e["type"] == "session.error"]
    assert [error["type"] for error in errors] == ["model_overloaded_error"] * 2
    assert [error["retry_status"]["type"] for error in errors] == ["retrying"] * 2
    kinds = bench.kinds()
    assert kinds.count("session.status_rescheduled") == 2
    assert kinds.count("session.status_running") == 3
    assert kinds.count("agent.message") == 1
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}


def test_exhausted_retries_idle_the_session_and_the_next_message_works(tmp_path):
    bench = Bench(tmp_path, max_model_retries=1)
    bench.say(script({"error": "overloaded"}))
    assert bench.events[-1]["stop_reason"] == {"type": "retries_exhausted"}
    last = [
        e["error"]["retry_status"]["type"] for e in bench.events if e["type"] == "session.error"
    ]
    assert last == ["retrying", "exhausted"]
    bench.say(script({"say": "Better."}))
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}


def test_an_error_that_no_retry_helps_is_exhausted_at_once(tmp_path):
    bench = Bench(tmp_path)
    bench.say(script({"error": "unauthorized"}))
    assert "session.status_rescheduled" not in bench.kinds()
    assert bench.events[-1]["stop_reason"] == {"type": "retries_exhausted"}


def test_a_refusal_stops_the_turn_with_its_details(tmp_path):
    bench = Bench(tmp_path)
    bench.say(script({"say": "No.", "refuse": {"category": "cyber", "explanation": "because"}}))
    idle = bench.events[-1]
    assert idle["stop_reason"] == {"type": "refusal"}
    assert idle["stop_details"] == {
        "type": "refusal",
        "category": "cyber",
        "explanation": "because",
    }


def test_a_lost_sandbox_is_a_result_that_says_the_outcome_is_unknown(tmp_path):
    bench = Bench(tmp_path)
    bench.sandbox.lost = True
    bench.say(script({"tool": "bash", "input": {"command": "true"}}, {"say": "Hm."}))
    result = next(e for e in bench.events if e["type"] == "agent.tool_result")
    assert result["is_error"] is True
    assert "Outcome unknown, not repeated" in result["content"][0]["text"]
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}


def test_tool_rounds_without_end_are_cut_off(tmp_path):
    bench = Bench(tmp_path, max_tool_rounds=3)
    bench.say(script(*[{"tool": "bash", "input": {"command": str(n)}} for n in range(9)]))
    assert len(bench.model.requests) == 4
    error = next(e["error"] for e in bench.events if e["type"] == "session.error")
    assert error["type"] == "tool_use_limit_reached_error"
    assert bench.events[-1]["stop_reason"] == {"type": "retries_exhausted"}


def test_output_without_words_does_not_poison_the_conversation(tmp_path):
    bench = Bench(tmp_path)
    silent = {"tool": "bash", "input": {"command": ""}}
    bench.say(script({"say": "\n\n", **silent}, {"say": "Nothing came."}))
    bench.say("And now?")
    result = bench.model.requests[1].messages[-1]["content"][0]
    assert result["content"] == [{"type": "text", "text": "(no output)"}]
    for request in bench.model.requests:
        blocks = [b for message in request.messages for b in message["content"]]
        assert all(b["text"].strip() for b in blocks if b["type"] == "text")


def test_a_reply_without_words_leaves_one_user_turn(tmp_path):
    bench = Bench(tmp_path)
    bench.say(script({"tool": "bash", "input": {"command": "true"}}, {"say": " "}))
    bench.say(script({"say": "Here."}))
    roles = [message["role"] for message in bench.model.requests[-1].messages]
    assert roles == ["user", "assistant", "user"]
    kinds = [block["type"] for block in bench.model.requests[-1].messages[-1]["content"]]
    assert kinds == ["tool_result", "text"]


def test_a_defect_that_repeats_itself_ends_the_turn_and_not_the_session(tmp_path):
    bench = Bench(tmp_path, max_model_retries=2)
    bench.say("Hello.", drain=False)
    for _ in range(2):
        run = bench.runs.waiting.pop(0)
        assert recovery.release(bench.app, run, failed=True)
    assert not recovery.release(bench.app, bench.runs.waiting.pop(0), failed=True)
    assert bench.events[-1]["stop_reason"] == {"type": "retries_exhausted"}
    error = next(e["error"] for e in bench.events if e["type"] == "session.error")
    assert error["type"] == "unknown_error"
    assert not bench.runs.waiting
    bench.say(script({"say": "Again."}))
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}


def test_a_killed_process_counts_for_no_attempt(tmp_path):
    bench = Bench(tmp_path, max_model_retries=0)
    bench.say(script({"say": "Hello."}), drain=False)
    for _ in range(5):
        assert recovery.release(bench.app, bench.runs.waiting.pop(0))
    bench.runs.drain(bench.app)
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}


def test_an_interrupt_of_a_thread_that_is_not_there_is_refused_and_nothing_is_written(tmp_path):
    bench = Bench(tmp_path)
    before = bench.head.version
    with pytest.raises(NotFound):
        bench.send({"type": "user.interrupt", "session_thread_id": new_id("sthr")})
    assert bench.head.version == before


def test_an_interrupt_and_a_message_in_one_request_stop_and_go_on(tmp_path):
    bench = Bench(tmp_path)
    bench.say(script({"say": "Never said."}), drain=False)
    content = [{"type": "text", "text": script({"say": "Instead."})}]
    bench.send({"type": "user.interrupt"}, {"type": "user.message", "content": content})
    bench.runs.drain(bench.app)
    said = [e["content"][0]["text"] for e in bench.events if e["type"] == "agent.message"]
    assert said == ["Instead."]
    assert bench.kinds().count("session.status_idle") == 2


def test_a_message_that_arrives_mid_turn_gets_its_own_reply(tmp_path):
    bench = Bench(tmp_path)
    inner = bench.model.model

    class Interjecting:
        def open(self, request):
            bench.model.model = inner
            bench.say(script({"say": "Second."}), drain=False)
            return inner.open(request)

    bench.model.model = Interjecting()
    bench.say(script({"say": "First."}))
    said = [e["content"][0]["text"] for e in bench.events if e["type"] == "agent.message"]
    assert said == ["First.", "Second."]
    assert bench.kinds().count("session.status_idle") == 1
    roles = [m["role"] for m in bench.model.requests[-1].messages]
    assert roles == ["user", "assistant", "user"]


def test_consecutive_requests_share_their_bytes_up_to_what_is_new(tmp_path):
    bench = Bench(tmp_path)
    rounds = [{"say": f"{n}", "tool": "bash", "input": {"command": f"echo {n}"}} for n in range(6)]
    bench.say(script(*rounds, {"say": "Done."}))
    bench.say("More.")
    requests = [_canonical(request) for request in bench.model.requests]
    assert len(requests) == 8
    for earlier, later in pairwise(requests):
        assert later.startswith(earlier)


def test_a_request_marks_at_most_four_breakpoints_and_the_last_turn_among_them(tmp_path):
    bench = Bench(tmp_path)
    bench.say(script({"tool": "bash", "input": {}}, {"tool": "bash", "input": {}}, {"say": "x"}))
    for request in bench.model.requests:
        marked = json.dumps([request.system, request.tools, request.messages])
        assert 1 <= marked.count("cache_control") <= 4
        assert "cache_control" in request.messages[-1]["content"][-1]


def test_an_hour_of_cache_is_asked_for_where_the_operator_says_so(tmp_path):
    bench = Bench(tmp_path, cache_ttl="1h")
    bench.say(script({"tool": "bash", "input": {}}, {"say": "x"}))
    bench.judge()
    for request in bench.model.requests:
        points = [part.ttl for part in segments(request) if part.ttl]
        assert len(points) >= 2
        assert set(points) == {"1h"}
    created = bench.events[-2]["usage"]["cache_creation"]
    assert created["ephemeral_1h_input_tokens"] > 0 == created["ephemeral_5m_input_tokens"]


def _canonical(request):
    """The request in the order the prompt cache reads it, without the marks themselves."""
    parts = [request.tools, request.system, *request.messages]
    text = "".join(json.dumps(part, sort_keys=True) for part in parts)
    return text.replace(', "cache_control": {"type": "ephemeral"}', "").replace(
        '"cache_control": {"type": "ephemeral"}, ', ""
    )
