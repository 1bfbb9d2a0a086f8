"""Sandboxes on Fargate when supervisors, tasks and `dispatch` die, and AWS loses answers."""

from __future__ import annotations

import json
import signal
from contextlib import suppress
from datetime import timedelta

import pytest

from freehold.engine.tools import UNKNOWN, run_tools
from freehold.engine.turn import run_turn
from freehold.errors import SandboxLost, SandboxStarting
from freehold.testing.sandbox_calls import bash, call, eventually, failed, finish, said, text_of
from functions.dispatch.handler import NotForDispatch
from tests.clocks import Clock
from tests.fargate import DISPATCH, Patient, installation
from tests.unit.sessions import Bench


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def installed(tmp_path, clock):
    with installation(tmp_path / "aws", clock=clock) as made:
        made.tick()
        yield made


@pytest.fixture
def sandboxes(installed):
    return Patient(installed.sandboxes(), installed.tick)


def running(installed, ref):
    """The task of a session's slot."""
    return next(task for task in installed.account.running() if _is_of(installed, task, ref))


def _is_of(installed, task, ref):
    slot = installed.world.slots.get(task.slot_id)
    return slot is not None and slot.session_id == ref.session_id


# ---------------------------------------------------------------- what dies
@pytest.mark.parametrize("how", ["supervisor", "task"])
def test_a_call_whose_task_dies_is_lost_and_a_fresh_task_has_the_files(installed, sandboxes, how):
    ref, _ = installed.session()
    first = sandboxes.boot(ref)
    made = bash("echo effect >> effects; while :; do sleep 0.05; done")
    assert sandboxes.execute(ref, first, made) is None
    task = running(installed, ref)
    if how == "supervisor":
        task.end(signal.SIGKILL)
    else:
        installed.world.tasks.stop(task.arn)
    with pytest.raises(SandboxLost):
        finish(sandboxes, ref, first, made)
    assert sandboxes.boot(ref) != first
    assert said(sandboxes, ref, call("read", file_path="effects")) == "effect\n"
    with pytest.raises(SandboxLost):
        sandboxes.execute(ref, first, made)
    assert said(sandboxes, ref, call("read", file_path="effects")) == "effect\n"


def test_a_task_that_died_between_two_rounds_costs_no_error(installed, sandboxes):
    ref, _ = installed.session()
    said(sandboxes, ref, bash("echo kept > file"))
    running(installed, ref).end(signal.SIGKILL)
    assert said(sandboxes, ref, call("read", file_path="file")) == "kept\n"


def test_another_instance_does_not_reach_the_boot_it_knew(installed, sandboxes):
    ref, _ = installed.session()
    first = sandboxes.boot(ref)
    other = installed.sandboxes()
    assert text_of(finish(other, ref, first, bash("echo here"))) == "here"
    running(installed, ref).end(signal.SIGKILL)
    assert sandboxes.boot(ref) != first
    with pytest.raises(SandboxLost):
        other.execute(ref, first, bash("echo there > file"))
    assert "no such file" in failed(sandboxes, ref, call("read", file_path="file"))


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_call_outlives_the_dispatch_that_carried_it(installed, sandboxes, moment):
    """Killed before it sent the request or after: the next one starts it or joins it."""
    ref, _ = installed.session()
    boot_id = sandboxes.boot(ref)
    carry, deaths = installed.account.functions[DISPATCH], []

    def dying(event, context):
        if len(deaths) < 2 and event["path"] == "/execute":
            deaths.append(event)
            if moment == "after":
                carry(event, context)
            raise RuntimeError("killed")
        return carry(event, context)

    installed.account.functions[DISPATCH] = dying
    made = bash("echo effect >> effects; cat effects")
    assert text_of(finish(sandboxes, ref, boot_id, made)) == "effect"
    assert len({event["headers"]["x-freehold-nonce"] for event in deaths}) == 2
    assert sandboxes.boot(ref) == boot_id


def test_a_dispatch_that_never_answers_loses_the_call_and_not_the_task(installed, sandboxes):
    ref, _ = installed.session()
    boot_id = sandboxes.boot(ref)
    carry = installed.account.functions.pop(DISPATCH)
    installed.account.functions[DISPATCH] = lambda *_: 1 / 0
    with pytest.raises(SandboxLost, match="cannot be reached"):
        sandboxes.execute(ref, boot_id, bash("echo never"))
    with pytest.raises(SandboxStarting):
        installed.sandboxes().boot(ref)
    sandboxes.cancel(ref, boot_id, [bash("echo never")])
    installed.account.functions[DISPATCH] = carry
    assert sandboxes.boot(ref) == boot_id


# ---------------------------------------------------------------- starting
def test_a_task_is_started_once_whatever_becomes_of_the_answers(installed, sandboxes):
    ref, _ = installed.session()
    installed.account.lose += ["RunTask", "RunTask"]
    boot_id = sandboxes.boot(ref)
    (task,) = installed.account.running()
    assert task.token == boot_id
    assert [name for name, _ in installed.account.calls].count("RunTask") == 3


def test_a_boot_waits_in_steps_and_never_in_the_call(installed, clock):
    """24 s of a task's start are as many answers that say when to come back."""
    installed.account.looks_until_running = 3
    ref, _ = installed.session()
    sandboxes = installed.sandboxes()
    seconds = []
    while not installed.account.running() or len(seconds) < 3:
        with pytest.raises(SandboxStarting) as starting:
            sandboxes.boot(ref)
        seconds.append(starting.value.seconds)
    assert all(1 <= pause <= 5 for pause in seconds)
    (task,) = installed.account.running()
    eventually(lambda: _has_booted(sandboxes, ref))
    assert sandboxes.boot(ref) == task.token


def _has_booted(sandboxes, ref):
    with suppress(SandboxStarting):
        return bool(sandboxes.boot(ref))
    return False


def test_a_sandbox_that_never_starts_is_lost_after_three_starts(installed, caplog):
    ref, _ = installed.session()
    installed.account.refuse += [("RunTask", "ClientException")] * 3
    with pytest.raises(SandboxLost, match="log says why"):
        installed.sandboxes().boot(ref)
    assert [r.reason for r in caplog.records if r.message == "sandbox_failed"]
    assert Patient(installed.sandboxes(), installed.tick).boot(ref)


def test_who_finds_no_free_slot_waits_and_after_ten_minutes_is_told(installed, clock):
    sandboxes = installed.sandboxes()
    for _ in range(2):
        ref, _ = installed.session()
        with suppress(SandboxStarting):
            sandboxes.boot(ref)
    ref, key = installed.session()
    with pytest.raises(SandboxStarting):
        sandboxes.boot(ref)
    clock.ahead += timedelta(minutes=11)
    with pytest.raises(SandboxLost, match="came free"):
        sandboxes.boot(ref)
    with pytest.raises(SandboxStarting):
        sandboxes.boot(ref)  # another call waits anew
    installed.upkeep.refill(lambda _: None)
    assert Patient(sandboxes, installed.tick).boot(ref)
    assert installed.world.slots.place(key).wanted_at == ""


def test_a_prewarmed_session_has_a_task_before_its_first_call(installed, sandboxes):
    ref, _ = installed.session()
    sandboxes.prewarm(ref)
    eventually(installed.account.running)
    (task,) = installed.account.running()
    assert sandboxes.boot(ref) == task.token


# ---------------------------------------------------------------- what is carried
def test_what_is_too_large_for_a_function_goes_through_the_bucket_and_is_gone(
    installed, sandboxes, tmp_path
):
    ref, _ = installed.session()
    text = "x" * 3_000_000
    events, carry = [], installed.account.functions[DISPATCH]

    def watched(event, context):
        answer = carry(event, context)
        events.append((event, answer))
        return answer

    installed.account.functions[DISPATCH] = watched
    said(sandboxes, ref, call("write", file_path="large", content=text))
    image = "head -c 2000000 /dev/urandom > noise; printf '\\x89PNG\\r\\n\\x1a\\n' > i.png"
    said(sandboxes, ref, bash(image + "; cat noise >> i.png"))
    finish(sandboxes, ref, sandboxes.boot(ref), call("read", file_path="i.png"))
    assert any("body_object" in event for event, _ in events)
    assert any("body_object" in answer for _, answer in events)
    assert all(len(str(event)) < 2_000_000 > len(str(answer)) for event, answer in events)
    assert not [path for path in (tmp_path / "aws" / "transfers").rglob("*") if path.is_file()]
    assert said(sandboxes, ref, bash("wc -c < large")) == "3000000"


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "169.254.169.254"},
        {"address": "10.1.2.3"},
        {"method": "DELETE"},
        {"path": "/shutdown"},
        {"path": "http://10.0.0.1/healthz"},
        {"headers": {"authorization": "x"}},
        {"answer_object": "archives/mine"},
        {"body_object": "archives/mine"},
    ],
    ids=str,
)
def test_dispatch_carries_to_supervisors_and_nowhere_else(installed, wrong):
    asked = {
        "address": "127.88.0.1",
        "method": "GET",
        "path": "/healthz",
        "headers": {},
        "body": "",
        "answer_object": "transfers/x",
    }
    with pytest.raises(NotForDispatch):
        installed.account.functions[DISPATCH]({**asked, **wrong}, None)


# ---------------------------------------------------------------- through the engine
@pytest.fixture
def bench(installed, tmp_path):
    """A session of the engine, whose sandbox is on Fargate."""
    made = Bench(tmp_path / "bench")
    object.__setattr__(made.app, "sandboxes", installed.sandboxes(wait_seconds=1.0))
    return made


def _drive(bench, installed, *, steps=20_000, until=None):
    """The state machine, whose waits take no time. The words it went by."""
    (run,) = bench.runs.waiting
    words, stage = [], "turn"
    while stage not in ("idle", "taken") and len(words) < steps:
        outcome = (run_tools if stage == "tools" else run_turn)(bench.app, run)
        stage = "turn" if outcome.next == "wait" else outcome.next
        words.append(outcome.next)
        if outcome.next == "wait":
            assert outcome.seconds >= 1
            assert not any(use.state == "started" for use in bench.head.uses)
            assert bench.snapshot.claims.get(bench.thread_id) is None
            if until is not None and until():
                return words
    bench.runs.waiting.clear()
    return words


def _results(bench):
    return [
        (event["content"][0]["text"], event["is_error"])
        for event in bench.events
        if event["type"] == "agent.tool_result"
    ]


def test_run_tools_waits_for_a_sandbox_without_a_claim_and_without_a_mark(bench, installed):
    installed.account.looks_until_running = 2
    bench.say(_script("echo once >> f; cat f"), drain=False)
    words = _drive(bench, installed)
    assert "wait" in words
    assert _results(bench) == [("once", False)]


def test_an_interrupt_does_not_wait_for_a_sandbox(bench, installed):
    installed.account.looks_until_running = 10_000
    bench.say(_script("echo never"), drain=False)
    waits = []
    _drive(bench, installed, until=lambda: waits.append(1) or len(waits) > 2)
    bench.send({"type": "user.interrupt"})
    bench.runs.waiting[1:] = []
    _drive(bench, installed)
    assert bench.head.status == "idle"
    ((text, is_error),) = _results(bench)
    assert is_error
    assert "interrupted" in text


def test_a_supervisor_that_dies_under_a_call_is_an_outcome_unknown_and_repeats_nothing(
    bench, installed
):
    bench.say(_script("echo effect >> f; kill -9 $PPID; sleep 5", "cat f"), drain=False)
    _drive(bench, installed)
    assert _results(bench) == [(UNKNOWN, True), ("effect", False)]


def _script(*commands):
    rounds = [{"tool": "bash", "input": {"command": command}} for command in commands]
    return "script: " + json.dumps([*rounds, {"say": "Done."}])
