"""What an operator is shown, folded from logs that the engine wrote."""

from __future__ import annotations

import pytest

from freehold.services.sessions import archive_session
from freehold.testing.script import script
from freehold.views.calls import calls_of
from freehold.views.cost import cost_of
from freehold.views.progress import progress_of
from freehold.views.thread_log import ThreadLog, seconds_between
from tests.unit.sessions import Bench
from tests.unit.test_replay import Meanwhile

WRITE = {"tool": "write", "input": {"file_path": "/a", "content": "b"}}


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.records.close()


def logs(bench):
    return [ThreadLog(bench.thread_id, None, "tester", bench.entries)]


def calls(bench):
    return calls_of(logs(bench))


def answer(bench, call, **fields):
    bench.send({"type": "user.tool_confirmation", "tool_use_id": call.id, **fields})
    bench.runs.drain(bench.app)


@pytest.mark.parametrize(
    ("given", "outcome"), [({"result": "allow"}, "ok"), ({"result": "deny"}, "denied")]
)
def test_a_call_that_asked_names_who_decided(bench, given, outcome):
    bench.say(script({"say": "I write.", **WRITE}, {"say": "Done."}))
    (asked,) = calls(bench)
    assert (asked.outcome, asked.decided_by, asked.said) == ("waiting", None, "I write.")
    answer(bench, asked, **given)
    (call,) = calls(bench)
    assert (call.outcome, call.decision, call.decided_by) == (outcome, given["result"], "key_test")
    assert (call.started_at is None) == (call.seconds is None) == (outcome == "denied")


def test_a_call_that_runs_has_begun_and_one_that_is_permitted_has_not(bench):
    seen = []
    execute = bench.sandbox.execute

    def answer_late(*call):
        seen.extend(calls(bench))
        return execute(*call)

    bench.sandbox.execute = answer_late
    bench.say(script({"tool": "bash", "input": {"command": "x"}}, {"say": "Done."}))
    (running,) = seen
    assert running.outcome == "running"
    assert running.started_at is not None
    (done,) = calls(bench)
    assert (done.outcome, done.result) == ("ok", "x")


def test_an_interrupted_call_and_one_that_the_session_ended_over(bench):
    bench.say(script(WRITE))
    bench.send({"type": "user.interrupt"})
    assert [call.outcome for call in calls(bench)] == ["interrupted"]
    bench.say(script(WRITE))
    archive_session(bench.app, bench.caller, bench.key.session_id)
    assert [call.outcome for call in calls(bench)] == ["interrupted", "ended"]
    found = progress_of(logs(bench))
    assert (found.status, found.waiting) == ("terminated", ())


def test_what_a_client_carried_out(bench):
    bench.say(script({"tool": "lookup", "input": {"q": "x"}}, {"say": "Done."}))
    (asked,) = calls(bench)
    assert (asked.outcome, asked.permission) == ("waiting", None)
    content = [{"type": "text", "text": "found"}]
    given = {"type": "user.custom_tool_result", "custom_tool_use_id": asked.id, "content": content}
    bench.send(given)
    (call,) = calls(bench)
    assert (call.outcome, call.result, call.decided_by) == ("ok", "found", "key_test")


def test_text_of_an_earlier_message_does_not_precede_a_call(bench):
    bench.say(script({"say": "Of the first."}))
    bench.say(script({"tool": "bash", "input": {"command": "x"}}, {"say": "Done."}))
    assert calls(bench)[0].said is None


def test_errors_and_files_are_progress(bench):
    bench.say(script({"error": "billing"}))
    for _ in range(2):
        bench.say(script(WRITE, {"say": "Done."}))
        answer(bench, calls(bench)[-1], result="allow")
    found = progress_of(logs(bench))
    assert [(file.path, file.times) for file in found.files_written] == [("/a", 2)]
    assert [error.detail for error in found.errors] == [
        "billing_error: Your credit balance is too low."
    ]
    assert (found.status, found.calls, found.last_action.type) == ("idle", 2, "agent.message")


def test_an_open_request_has_no_usage_and_a_failed_one_zeros(bench):
    seen = []
    bench.model.model = Meanwhile(
        bench.model.model, lambda: seen.append((cost_of(logs(bench)), progress_of(logs(bench))))
    )
    bench.say(script({"error": "billing"}))
    (open_, progress) = seen[0]
    assert [(r.usage, r.is_error, r.seconds) for r in open_.requests] == [(None, None, None)]
    assert open_.usage is None
    assert progress.status == "running"
    (failed,) = cost_of(logs(bench)).requests
    assert failed.is_error
    assert set(failed.usage.values()) == {0}


def test_a_session_where_nothing_happened(bench):
    found = progress_of(logs(bench))
    assert (found.status, found.last_action, found.calls) == ("idle", None, 0)
    assert [thread.status for thread in found.threads] == ["created"]


def test_clocks_may_step():
    assert seconds_between("2026-11-21T10:00:01Z", "2026-11-21T10:00:00Z") == 0.0
    assert seconds_between(None, "2026-11-21T10:00:00Z") is None
