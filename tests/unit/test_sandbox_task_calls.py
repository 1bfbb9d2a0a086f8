"""Start or join, cancel, journal: the supervisor's bookkeeping with tools that wait to be told."""

from __future__ import annotations

import json
import threading

import pytest

from freehold.toolset import INTERRUPTED
from sandbox_task.calls import Calls, DigestDiffers, UnknownCall
from sandbox_task.journal import CallKey, Journal
from sandbox_task.output import LongResults
from sandbox_task.shell import Killed

KEY = CallKey("sthr_1", "sevt_1")


def result(text, *, is_error=False):
    return {"content": [{"type": "text", "text": text}], "is_error": is_error}


class PatientTools:
    """Carries a call out when `go` is set; `begun` tells that one waits."""

    def __init__(self, answer="done"):
        self.count = 0
        self.begun = threading.Event()
        self.go = threading.Event()
        self.answer = answer

    def run(self, running, thread_id, name, given):
        self.count += 1
        self.begun.set()
        assert self.go.wait(10)
        try:
            running.attach(Tree())
        except Killed as killed:
            return result(str(killed), is_error=True)
        if isinstance(self.answer, Exception):
            raise self.answer
        return result(self.answer)


class Tree:
    def __init__(self):
        self.reasons = []

    def kill(self, reason):
        self.reasons.append(reason)


def make(tmp_path, tools):
    results = tmp_path / "results"
    results.mkdir()
    return Calls(Journal(str(tmp_path / "journal")), tools, LongResults(str(results)))


def entries(tmp_path):
    return [json.loads(line) for line in (tmp_path / "journal").read_text().splitlines()]


def test_a_call_is_journalled_before_it_is_carried_out(tmp_path):
    tools = PatientTools()
    calls = make(tmp_path, tools)
    assert calls.execute(KEY, "d", "bash", {}, 0.0) is None
    assert tools.begun.wait(10)
    assert [entry["what"] for entry in entries(tmp_path)] == ["started"]
    assert entries(tmp_path)[0]["digest"] == "d"
    tools.go.set()
    assert calls.execute(KEY, "d", "bash", {}, 10.0) == result("done")
    assert calls.result(KEY) == result("done")
    assert tools.count == 1
    assert [entry["what"] for entry in entries(tmp_path)] == ["started", "done"]


def test_what_cannot_be_journalled_is_not_carried_out(tmp_path, monkeypatch):
    tools = PatientTools()
    calls = make(tmp_path, tools)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sandbox_task.journal.os.write", full)
    with pytest.raises(OSError, match="No space"):
        calls.execute(KEY, "d", "bash", {}, 0.0)
    assert tools.count == 0


def test_a_result_that_cannot_be_kept_is_an_error_not_an_endless_call(tmp_path, monkeypatch):
    tools = PatientTools()
    calls = make(tmp_path, tools)
    assert calls.execute(KEY, "d", "bash", {}, 0.0) is None
    monkeypatch.setattr(calls._journal, "put_result", _raise_full)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    tools.go.set()
    assert calls.execute(KEY, "d", "bash", {}, 10.0)["is_error"]


def _raise_full(*_):
    raise OSError(28, "No space left on device")


def test_a_defect_of_a_tool_is_an_error_result(tmp_path, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    tools = PatientTools(RuntimeError("defect"))
    calls = make(tmp_path, tools)
    tools.go.set()
    assert calls.execute(KEY, "d", "read", {}, 10.0) == result(
        "read: the supervisor failed", is_error=True
    )


def test_another_digest_is_another_call(tmp_path):
    tools = PatientTools()
    calls = make(tmp_path, tools)
    tools.go.set()
    calls.execute(KEY, "d", "bash", {}, 10.0)
    with pytest.raises(DigestDiffers):
        calls.execute(KEY, "e", "bash", {}, 10.0)
    with pytest.raises(DigestDiffers):
        calls.cancel(KEY, "e")
    assert calls.result(KEY) == result("done")


def test_a_cancelled_call_answers_at_once_and_its_late_result_is_dropped(tmp_path):
    tools = PatientTools()
    calls = make(tmp_path, tools)
    assert calls.execute(KEY, "d", "bash", {}, 0.0) is None
    assert tools.begun.wait(10)
    calls.cancel(KEY, "d")
    interrupted = result(INTERRUPTED, is_error=True)
    assert calls.execute(KEY, "d", "bash", {}, 0.0) == interrupted
    tools.go.set()
    for thread in threading.enumerate():
        if thread.name == "call":
            thread.join(10)
    assert calls.result(KEY) == interrupted
    assert [entry["what"] for entry in entries(tmp_path)] == ["started", "cancelled", "done"]


def test_a_call_cancelled_before_it_came_is_refused_when_it_comes(tmp_path):
    tools = PatientTools()
    calls = make(tmp_path, tools)
    calls.cancel(KEY, "d")
    assert calls.execute(KEY, "d", "bash", {}, 10.0) == result(INTERRUPTED, is_error=True)
    assert tools.count == 0
    calls.cancel(KEY, "d")
    assert [entry["what"] for entry in entries(tmp_path)] == ["cancelled", "done"]


def test_a_tree_that_comes_after_the_cancellation_is_not_used(tmp_path):
    calls = make(tmp_path, PatientTools())
    calls.cancel(KEY, "d")
    with pytest.raises(Killed):
        calls._calls[KEY].attach(Tree())


def test_an_unknown_call_is_unknown(tmp_path):
    with pytest.raises(UnknownCall):
        make(tmp_path, PatientTools()).result(KEY)


def test_a_journal_is_of_one_boot(tmp_path):
    Journal(str(tmp_path / "journal"))
    with pytest.raises(FileExistsError):
        Journal(str(tmp_path / "journal"))


def test_results_are_kept_in_the_file(tmp_path):
    journal = Journal(str(tmp_path / "journal"))
    keys = [CallKey("sthr_1", f"sevt_{i}") for i in range(20)]
    for number, key in enumerate(keys):
        journal.note("started", key, "d")
        journal.put_result(key, result("ä\n" * number * 1000))
    for number, key in enumerate(keys):
        assert journal.result(key) == result("ä\n" * number * 1000)
    assert journal.result(CallKey("sthr_1", "sevt_x")) is None
