"""Updates of a session beside the work that goes on in it (BEHAVIOUR 5.4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freehold.errors import InvalidRequest
from freehold.services.session_updates import update_session
from freehold.testing.script import script
from freehold.wire.sessions import UpdateSession
from tests.unit.sessions import Bench

NO_TOOLS = {"agent": {"tools": []}}


def update(bench, body, app=None):
    request = UpdateSession.model_validate(body)
    return update_session(app or bench.app, bench.caller, bench.key.session_id, request)


def acting_meanwhile(bench, act):
    """An app that does something once, between reading the session and writing it: the clock is
    read in between.
    """
    left = [act]

    def clock():
        while left:
            left.pop()()
        return bench.app.clock()

    return replace(bench.app, clock=clock)


def tool_names(request):
    return [tool["name"] for tool in request.tools]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_a_message_that_comes_between_the_look_and_the_write_refuses_the_update(bench):
    app = acting_meanwhile(bench, lambda: bench.say("Hm.", drain=False))
    with pytest.raises(InvalidRequest, match="while the session is idle"):
        update(bench, {"title": "Never", **NO_TOOLS}, app)
    assert "session.updated" not in bench.kinds()
    bench.runs.drain(bench.app)
    assert tool_names(bench.model.requests[0]) == ["bash", "write", "lookup"]


def test_two_updates_at_once_are_both_kept(bench):
    app = acting_meanwhile(bench, lambda: update(bench, {"metadata": {"a": "1"}}))
    changed = update(bench, {"metadata": {"b": "2"}}, app)
    assert changed.metadata == {"a": "1", "b": "2"}
    told = [e["metadata"] for e in bench.events if e["type"] == "session.updated"]
    assert told == [{"a": "1"}, {"a": "1", "b": "2"}]


def test_a_call_that_waits_is_answered_under_the_tools_it_was_made_with(bench):
    bench.say(script({"tool": "write", "input": {"command": "x"}}, {"say": "Done."}))
    assert update(bench, NO_TOOLS).agent.tools == []
    use = next(e["id"] for e in bench.events if e["type"] == "agent.tool_use")
    bench.send({"type": "user.tool_confirmation", "tool_use_id": use, "result": "allow"})
    bench.runs.drain(bench.app)
    assert len(bench.sandbox.calls) == 1
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}
    assert tool_names(bench.model.requests[-1]) == []


def test_a_tool_taken_away_is_denied_in_the_next_turn(bench):
    update(bench, NO_TOOLS)
    bench.say(script({"tool": "bash", "input": {"command": "x"}}, {"say": "Then not."}))
    assert bench.sandbox.calls == []
    use = next(e for e in bench.events if e["type"] == "agent.tool_use")
    assert use["evaluated_permission"] == "deny"


def test_a_no_op_writes_nothing(bench):
    update(bench, {"title": "T", **NO_TOOLS})
    version = bench.head.version
    told = bench.kinds().count("session.updated")
    for body in ({"title": "T", "metadata": {"x": None}, **NO_TOOLS}, {}, {"agent": {}}):
        assert update(bench, body).title == "T"
    assert (bench.head.version, bench.kinds().count("session.updated")) == (version, told)
