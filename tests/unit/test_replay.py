"""A recorded session, run again: the same events, and the first one that a regression changes."""

from __future__ import annotations

import pytest

from freehold.domain import permissions
from freehold.engine import recovery
from freehold.services.erasure import erase_event
from freehold.services.session_updates import update_session
from freehold.services.sessions import archive_session
from freehold.testing.faulty_records import Killed
from freehold.testing.replay import NotReplayable, replay_session
from freehold.testing.script import script
from freehold.testing.scripted_model import ScriptedModel
from freehold.views.thread_log import ThreadLog
from freehold.wire.sessions import UpdateSession
from tests.unit.sessions import Bench
from tests.unit.test_compaction import Then, rounds, small

HI = script({"say": "Hi."})


def replay(bench):
    thread = ThreadLog(bench.thread_id, None, "tester", bench.entries)
    return replay_session(bench.app, bench.key, [thread])


def assert_same(bench):
    found = replay(bench)
    assert found.difference is None, found.difference
    assert found.events == len(bench.events)
    return found


def confirmation(bench, **fields):
    use = [e for e in bench.events if e["type"] == "agent.tool_use"][-1]
    return {"type": "user.tool_confirmation", "tool_use_id": use["id"], **fields}


def interrupting(bench, at):
    """Has the bench's model or sandbox interrupted while it answers."""

    def interrupt():
        bench.send({"type": "user.interrupt"})

    if at == "model":
        bench.model.model = Meanwhile(bench.model.model, interrupt)
    else:
        execute = bench.sandbox.execute

        def answer(*call):
            interrupt()
            return execute(*call)

        bench.sandbox.execute = answer


class Meanwhile:
    """A model that has something done once each time it is asked."""

    def __init__(self, model, *acts):
        self.model = model
        self.acts = list(acts)

    def open(self, request):
        if self.acts:
            self.acts.pop(0)()
        return self.model.open(request)


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.records.close()


def test_turns_and_calls(bench):
    bench.say(HI)
    calls = [{"tool": "bash", "input": {"command": f"{n}"}} for n in range(3)]
    bench.say(script({"think": "Hm.", "say": ["A.", "B."], "tools": calls}, {"say": "{result}"}))
    found = assert_same(bench)
    assert (found.threads, found.is_at_rest) == (1, True)


@pytest.mark.parametrize("answer", [{"result": "allow"}, {"result": "deny", "deny_message": "No."}])
def test_approvals(bench, answer):
    given = {"file_path": "/a", "content": "b"}
    bench.say(script({"tool": "write", "input": given}, {"say": "Done."}))
    assert_same(bench)
    bench.send(confirmation(bench, **answer))
    bench.runs.drain(bench.app)
    assert_same(bench)


def test_results_of_clients(bench):
    bench.say(script({"tool": "lookup", "input": {"q": "x"}}, {"say": "Done."}))
    use = [e for e in bench.events if e["type"] == "agent.custom_tool_use"][-1]
    content = [{"type": "text", "text": "found"}]
    answer = {"type": "user.custom_tool_result", "custom_tool_use_id": use["id"]}
    bench.send({**answer, "content": content})
    bench.runs.drain(bench.app)
    assert_same(bench)


def test_messages_in_mid_turn(bench):
    bench.model.model = Meanwhile(bench.model.model, lambda: bench.say("And this.", drain=False))
    bench.say(HI)
    assert bench.kinds().count("agent.message") == 2
    assert_same(bench)


@pytest.mark.parametrize("at", ["model", "sandbox"])
def test_interrupts(bench, at):
    interrupting(bench, at)
    bench.say(script({"say": "I.", "tool": "bash", "input": {"command": "x"}}, {"say": "Done."}))
    bench.say(HI)
    assert "interrupted" in str([entry.private for entry in bench.entries])
    assert_same(bench)


@pytest.mark.parametrize(
    "element",
    [
        {"error": "overloaded", "times": 2, "say": "Yes."},
        {"cut": True, "times": 1, "say": "Yes."},
        {"error": "billing"},
        {"error": "invalid"},
        {"refuse": {"category": "cyber", "explanation": "No."}, "say": "I cannot."},
        {"stop_reason": "max_tokens", "say": "Half"},
    ],
    ids="-".join,
)
def test_what_a_model_does_wrong(bench, element):
    bench.say(script(element))
    bench.say(HI)
    assert_same(bench)


def test_a_worker_that_died_and_the_run_that_followed(bench):
    def die():
        raise Killed

    bench.model.model = Meanwhile(ScriptedModel(), die)
    bench.say(HI, drain=False)
    (run,) = bench.runs.waiting
    with pytest.raises(Killed):
        bench.runs.drain(bench.app)
    recovery.release(bench.app, run)
    bench.runs.drain(bench.app)
    assert bench.events[-1]["type"] == "session.status_idle"
    assert bench.kinds().count("span.model_request_start") == 2
    assert_same(bench)


def test_a_session_that_was_renamed_and_archived(bench):
    bench.say(HI)
    update_session(
        bench.app, bench.caller, bench.key.session_id, UpdateSession.model_validate({"title": "T"})
    )
    archive_session(bench.app, bench.caller, bench.key.session_id)
    assert bench.events[-1]["type"] == "session.status_terminated"
    assert_same(bench)


def test_a_session_that_runs_is_compared_as_far_as_it_is(bench):
    bench.say(HI)
    bench.say(HI, drain=False)
    found = assert_same(bench)
    assert not found.is_at_rest


def test_nothing_is_written_where_the_recording_lies(bench):
    bench.say(HI)
    version = bench.head.version
    replay(bench)
    assert bench.head.version == version
    assert bench.sandbox.calls == []


# ---------------------------------------------------------------- what it is for
def test_a_regression_is_named_where_it_first_shows(bench, monkeypatch):
    bench.say(script({"tool": "bash", "input": {"command": "x"}}, {"say": "Done."}))
    bench.say(HI)
    use = next(n for n, kind in enumerate(bench.kinds(), 1) if kind == "agent.tool_use")
    asks = permissions.Decision("ask", None)
    monkeypatch.setattr(permissions, "evaluate", lambda *_: asks)
    found = replay(bench).difference
    assert found.seq == use
    assert found.recorded["evaluated_permission"] == "allow"
    assert found.replayed["evaluated_permission"] == "ask"


def test_an_engine_that_never_comes_to_an_end(bench, monkeypatch):
    bench.say(HI)
    monkeypatch.setattr("freehold.domain.turn.after", lambda *_, **__: "turn")
    found = replay(bench).difference
    assert found.recorded["type"] == "session.thread_status_idle"
    assert found.replayed is None


def test_a_recording_that_was_changed_differs_there(bench):
    bench.say(script({"tool": "bash", "input": {"command": "x"}}, {"say": "Done."}))
    entries = bench.entries
    place = next(n for n, kind in enumerate(bench.kinds(), 1) if kind == "agent.tool_use")
    event = bench.events[place - 1]
    event["evaluated_permission"] = "ask"
    thread = ThreadLog(bench.thread_id, None, "tester", entries)
    found = replay_session(bench.app, bench.key, [thread]).difference
    assert found.seq == place
    assert found.replayed["evaluated_permission"] == "allow"


def test_what_cannot_be_replayed_says_so(bench):
    bench.say(HI)
    thread = ThreadLog(bench.thread_id, None, "tester", bench.entries)
    with pytest.raises(NotReplayable, match="several threads"):
        replay_session(bench.app, bench.key, [thread, thread])
    message = next(e["id"] for e in bench.events if e["type"] == "agent.message")
    erase_event(bench.app, bench.key, message)
    with pytest.raises(NotReplayable, match="erased"):
        replay(bench)


def test_a_session_that_was_summarized_says_so(tmp_path):
    bench = Bench(tmp_path, model=ScriptedModel(), context_window=2_000)
    while "agent.thread_context_compacted" not in bench.kinds():
        bench.say("x " * 1_000 + HI)
    with pytest.raises(NotReplayable, match="shortened"):
        replay(bench)


def test_a_session_whose_summary_was_interrupted_says_so(tmp_path):
    bench = small(tmp_path)
    Then(bench, lambda: bench.send({"type": "user.interrupt"}))
    bench.say(script(*rounds(40)))
    assert "agent.thread_context_compacted" not in bench.kinds()
    with pytest.raises(NotReplayable, match="shortened"):
        replay(bench)


def test_a_session_that_paused_at_a_budget_says_so(bench):
    bench.say(HI)
    idle = [e for e in bench.events if e["type"] == "session.thread_status_idle"][-1]
    entries = bench.entries
    for entry in entries:
        for event in entry.events:
            if event["id"] == idle["id"]:
                event["stop_reason"] = {"type": "budget_reached"}
    thread = ThreadLog(bench.thread_id, None, "tester", entries)
    with pytest.raises(NotReplayable, match="budget"):
        replay_session(bench.app, bench.key, [thread])
