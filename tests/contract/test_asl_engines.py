"""The state machine's file means the same wherever it is executed: in the same scenario each engine
calls the same functions with the same payloads, in the same order, and ends the same way.

Two of them stand for Step Functions itself, and their gaps differ: moto's interpreter as a library,
MiniStack with functions in processes of their own.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import asdict

import pytest

from freehold.local.runs import DEFINITION
from freehold.testing.runs_contract import new_run
from tests.contract.engines import SUCCEEDED, Emulated, Laptop, VirtualTime, moto_engine
from tests.contract.test_asl import LAMBDA_ERRORS

TEXT = DEFINITION.read_text()
IMPATIENT = TEXT.replace('"TimeoutSeconds": 930', '"TimeoutSeconds": 1')


def answers(next_, seconds=0, **more):
    return {"answers": {"next": next_, "seconds": seconds, "turns": 1}, **more}


def raises(name):
    return {"raises": name}


RELEASED = {"answers": {"released": True}}

SCENARIOS = {
    "tools": ([answers("tools"), answers("turn"), answers("idle")], "turn tools turn"),
    "turns": ([answers("turn"), answers("turn"), answers("idle")], "turn turn turn"),
    "tools again": ([answers("tools"), answers("tools"), answers("idle")], "turn tools tools"),
    "wait": ([answers("wait", seconds=1), answers("idle")], "turn turn"),
    "no wait": ([answers("wait", seconds=0), answers("idle")], "turn turn"),
    "taken": ([answers("taken")], "turn"),
    "successor": ([answers("successor")], "turn"),
    "idle": ([answers("idle")], "turn"),
    "taken by tools": ([answers("tools"), answers("taken")], "turn tools"),
    "an error releases": ([raises("ValueError"), RELEASED], "turn release"),
    "tools fail": ([answers("tools"), raises("KeyError"), RELEASED], "turn tools release"),
    "no answer of a release": ([raises("ValueError"), {"answers": None}], "turn release"),
    "an unknown error of Lambda": ([raises("Lambda.Unknown"), RELEASED], "turn release"),
    "a process ends": ([answers("tools"), {"dies": True}, RELEASED], "turn tools release"),
    "tools retried": (
        [answers("tools"), raises(LAMBDA_ERRORS[0]), answers("idle")],
        "turn tools tools",
    ),
    "a release retried": (
        [raises("ValueError"), raises(LAMBDA_ERRORS[0]), RELEASED],
        "turn release release",
    ),
    **{f"{name} retried": ([raises(name), answers("idle")], "turn turn") for name in LAMBDA_ERRORS},
}
"""What the functions answer in turn, and the functions that are called."""

FAILURES = {
    "a release fails": ([raises("ValueError"), raises("Broken")], "turn release", "Broken"),
    "no choice": ([answers("dance")], "turn", "States.NoChoiceMatched"),
    "no next": ([{"answers": {"seconds": 0, "turns": 1}}], "turn", "States.Runtime"),
    "no object": ([{"answers": None}], "turn", "States.Runtime"),
    "no seconds": ([{"answers": {"next": "wait", "turns": 1}}], "turn", "States.Runtime"),
}
"""The same with the error that the execution fails with."""

GAPS = {
    ("moto", "no choice"): "States.Runtime",
    ("ministack", "no next"): "States.NoChoiceMatched",
    ("ministack", "no object"): "States.NoChoiceMatched",
}
"""What an engine says instead where it is not as Step Functions."""

UNSTOPPED = {("ministack", "no seconds")}
"""MiniStack does not wait then and goes on."""

ENGINES = ("virtual time", "laptop", "moto", "ministack")
NAMES = {"turn": "run_turn", "tools": "run_tools", "release": "reaper"}


@pytest.fixture(scope="module")
def opened(tmp_path_factory, request):
    """Opens an engine by name with a definition; all are closed in the end."""
    with ExitStack() as stack:

        def open_(name, definition):
            scripts = tmp_path_factory.mktemp("scripts")
            if name == "ministack":
                return Emulated(scripts, definition, request.getfixturevalue("emulated_aws"))
            if name == "moto":
                return stack.enter_context(moto_engine(scripts, definition))
            if name == "laptop":
                return stack.enter_context(closing(Laptop(scripts, definition)))
            return VirtualTime(scripts, definition)

        yield open_


@pytest.fixture(scope="module", params=ENGINES)
def engine(request, opened):
    return opened(request.param, TEXT)


def said(engine, script):
    """What is called with the ids of a new run, and how its execution ends."""
    run = new_run()
    engine.write(run, script)
    assert engine.start(run)
    end = engine.closed(run)
    return run, engine.calls(run), end


def words(run, functions):
    """Of each function its name and payload, ids alone."""
    ids = asdict(run)
    return [[NAMES[f], {"release": ids} if f == "release" else ids] for f in functions.split()]


@pytest.mark.parametrize(("script", "functions"), SCENARIOS.values(), ids=SCENARIOS.keys())
def test_every_engine_calls_the_same_and_succeeds(engine, script, functions):
    run, calls, end = said(engine, script)
    assert [call[:2] for call in calls] == words(run, functions)
    assert end == SUCCEEDED


@pytest.mark.parametrize(
    ("engine", "name"),
    [(e, n) for e in ENGINES for n in FAILURES if (e, n) not in UNSTOPPED],
    indirect=["engine"],
)
def test_every_engine_fails_the_same(request, engine, name):
    script, functions, error = FAILURES[name]
    run, calls, end = said(engine, script)
    assert [call[:2] for call in calls] == words(run, functions)
    engine_name = request.node.callspec.params["engine"]
    assert end == ("FAILED", GAPS.get((engine_name, name), error))


def test_a_wait_lasts_as_long_as_the_outcome_says(engine):
    _, calls, _ = said(engine, [answers("wait", seconds=2), answers("idle")])
    (first, second) = [at for _, _, at in calls]
    assert second - first >= 2 * engine.second


@pytest.mark.parametrize("engine", ["virtual time", "moto", "ministack"], indirect=True)
def test_a_service_that_stays_in_trouble_is_asked_six_times_more(engine):
    """On a laptop it would be half a minute."""
    run, calls, end = said(engine, [*[raises(LAMBDA_ERRORS[0])] * 7, RELEASED])
    assert [call[:2] for call in calls] == words(run, "turn " * 7 + "release")
    assert end == SUCCEEDED


@pytest.mark.parametrize("name", ["laptop", "moto", "ministack"])
def test_a_function_that_overruns_is_given_up(opened, name):
    """One second takes the place of fifteen minutes."""
    engine = opened(name, IMPATIENT)
    run = new_run()
    engine.write(run, [answers("tools"), answers("turn", gate="gate"), RELEASED])
    assert engine.start(run)
    assert engine.closed(run) == SUCCEEDED
    engine.open_gate(run)
    assert [call[:2] for call in engine.calls(run)] == words(run, "turn tools release")
