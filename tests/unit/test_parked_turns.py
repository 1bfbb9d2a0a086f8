"""Turns that wait for a client: what they cost, what the model is shown, what ends them."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from freehold.testing.script import script
from tests.judge import judge
from tests.unit.sessions import Bench

CALLS = [{"tool": "bash", "input": {"command": "ran"}}, {"tool": "write"}, {"tool": "lookup"}]


def parked(tmp_path, *then, **settings):
    bench = Bench(tmp_path, **settings)
    bench.say(script({"tools": CALLS}, *then))
    assert bench.head.status == "requires_action"
    return bench


def answers(bench, result="allow"):
    """An answer to every call that asks, in their order."""
    found = []
    for use in bench.head.uses:
        if use.state == "ask" and use.custom:
            kind = {"type": "user.custom_tool_result", "custom_tool_use_id": use.event_id}
            found.append({**kind, "content": [{"type": "text", "text": "found"}]})
        elif use.state == "ask":
            kind = {"type": "user.tool_confirmation", "tool_use_id": use.event_id}
            found.append({**kind, "result": result})
    return found


def test_a_parked_session_costs_nothing(tmp_path):
    bench = parked(tmp_path)
    assert bench.runs.waiting == []
    assert bench.snapshot.claims == {}
    assert bench.records.due("busy/") == ()
    assert bench.sweep() == 0
    session = bench.snapshot.session
    assert (session.running, session.running_since, session.asks) == (0, None, 1)


def test_a_parked_session_waits_over_a_restart(tmp_path):
    bench = Bench(tmp_path, path=tmp_path / "freehold.db")
    bench.say(script({"tools": CALLS}, {"say": "Done."}))
    asked = bench.snapshot.session.asked
    bench.records.close()
    again = Bench(tmp_path, path=tmp_path / "freehold.db")
    again.key, again.caller, again.thread_id = bench.key, bench.caller, bench.thread_id
    assert again.sweep() == 0
    assert again.snapshot.session.asked == asked
    again.send(*answers(again))
    again.runs.drain(again.app)
    assert again.events[-1]["stop_reason"] == {"type": "end_turn"}
    again.records.close()


@pytest.mark.parametrize("result", ["allow", "deny"])
def test_answers_are_shown_in_the_models_order_whatever_theirs(tmp_path, result):
    bench = parked(tmp_path, {"say": "Done."})
    bench.send(*reversed(answers(bench, result)))
    bench.runs.drain(bench.app)
    turn = bench.model.requests[-1].messages[-1]["content"]
    uses = [b["id"] for b in bench.model.requests[-1].messages[-2]["content"]]
    assert [block["tool_use_id"] for block in turn] == uses
    assert [block["is_error"] for block in turn] == [False, result == "deny", False]


def test_requests_around_an_answer_share_their_bytes(tmp_path):
    bench = parked(tmp_path, {"tools": CALLS}, {"say": "Done."})
    for _ in range(2):
        for answer in answers(bench):
            bench.send(answer)
        bench.runs.drain(bench.app)
    bench.say("More.")
    requests = [_bare(request) for request in bench.model.requests]
    assert len(requests) == 4
    for earlier, later in pairwise(requests):
        assert later[: len(earlier)] == earlier
    for request in bench.model.requests:
        judge(request)
        assert [tool["name"] for tool in request.tools] == ["bash", "write", "lookup"]


def test_a_limit_on_rounds_answers_every_call_that_waits(tmp_path):
    """Also those of the client's, in the kind of result it looks for."""
    bench = Bench(tmp_path, max_tool_rounds=1)
    bench.say(script({"tools": CALLS[:1]}, {"tools": CALLS}))
    assert bench.events[-1]["stop_reason"] == {"type": "retries_exhausted"}
    uses = [e["id"] for e in bench.events if e["type"].endswith("tool_use")]
    results = [
        e.get("tool_use_id") or e["custom_tool_use_id"]
        for e in bench.events
        if e["type"].endswith("tool_result")
    ]
    assert results == uses
    assert "user.custom_tool_result" in bench.kinds()
    bench.say(script({"say": "Again."}))
    judge(bench.model.requests[-1])
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}


def _bare(request):
    """The request's parts without the marks of the prompt cache."""
    text = json.dumps([*request.tools, *request.system, *_blocks(request)])
    return [{k: v for k, v in part.items() if k != "cache_control"} for part in json.loads(text)]


def _blocks(request):
    return [{**b, "role": m["role"]} for m in request.messages for b in m["content"]]
