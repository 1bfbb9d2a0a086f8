"""Several steps of a run in one invocation (ADR 0014)."""

from __future__ import annotations

import math

import pytest

from freehold.engine import recovery
from freehold.engine.steps import run_steps
from freehold.engine.tools import run_tools
from freehold.testing.script import script
from tests.unit.sessions import Bench
from tests.unit.test_deadlines import soon
from tests.unit.test_web_calls import BASH, FETCH, WebBench, net

__all__ = ["net"]
CALL = {"tool": "bash", "input": {"command": "ran"}}
EVER = math.inf


def begun(bench, *elements):
    bench.say(script(*elements), drain=False)
    return bench.runs.waiting.pop()


def test_one_invocation_carries_a_run_to_its_end(tmp_path):
    bench = Bench(tmp_path)
    run = begun(bench, CALL, {"tools": [CALL, CALL]}, {"say": "Done."})
    assert run_steps(bench.app, run, seconds=EVER).next == "idle"
    assert len(bench.model.requests) == 3
    assert bench.kinds().count("agent.tool_result") == 3
    assert bench.kinds()[-1] == "session.status_idle"
    assert bench.runs.waiting == []


def test_without_time_to_go_on_it_makes_one_step(tmp_path):
    bench = Bench(tmp_path)
    run = begun(bench, CALL, {"say": "Done."})
    assert run_steps(bench.app, run, seconds=0).next == "tools"
    assert "agent.tool_result" not in bench.kinds()


def test_a_round_with_a_call_of_the_web_is_left_untouched(tmp_path, net):
    bench = WebBench(tmp_path, net)
    bench.ask({"tools": [BASH, FETCH]}, drain=False)
    run = bench.runs.waiting.pop()
    assert run_steps(bench.app, run, seconds=EVER).next == "tools"
    assert [use.state for use in bench.head.uses] == ["allow", "allow"]
    assert net.resolved == []
    assert run_tools(bench.app, run).next == "turn"
    assert run_steps(bench.app, run, seconds=EVER).next == "idle"


def test_a_round_that_found_no_time_is_left_to_the_state_machine(tmp_path):
    bench = Bench(tmp_path)
    bench.sandbox.execute = lambda *_: None
    run = begun(bench, CALL, {"say": "Done."})
    assert run_steps(bench.app, run, seconds=EVER, deadline=soon()).next == "tools"
    assert [use.state for use in bench.head.uses] == ["started"]


def test_a_failed_request_waits_in_the_state_machine(tmp_path):
    bench = Bench(tmp_path, retry_base_seconds=7.0)
    run = begun(bench, CALL, {"error": "overloaded"})
    outcome = run_steps(bench.app, run, seconds=EVER)
    assert (outcome.next, outcome.seconds) == ("wait", 7)
    assert bench.kinds().count("agent.tool_result") == 1


def test_who_lost_the_run_meanwhile_begins_no_further_step(tmp_path):
    bench = Bench(tmp_path)
    run = begun(bench, CALL, {"say": "Done."})
    execute = bench.sandbox.execute

    def release_and_execute(*given):
        recovery.release(bench.app, run)
        return execute(*given)

    bench.sandbox.execute = release_and_execute
    assert run_steps(bench.app, run, seconds=EVER).next == "taken"
    assert len(bench.model.requests) == 1


@pytest.mark.parametrize("leg_turns", [1, 2])
def test_a_run_that_is_long_enough_has_a_successor(tmp_path, leg_turns):
    bench = Bench(tmp_path, leg_turns=leg_turns)
    run = begun(bench, CALL, CALL, CALL, {"say": "Done."})
    assert run_steps(bench.app, run, seconds=EVER).next == "successor"
    assert len(bench.model.requests) == leg_turns
    assert [r.leg for r in bench.runs.waiting] == [run.leg + 1]
