"""The state machine as a file, its interpreter, and its executions in process."""

from __future__ import annotations

import copy
import json
import threading
import time

import pytest

from freehold.local.asl import Call, End, Machine, Pause, UnsupportedDefinition
from freehold.local.runs import DEFINITION, FUNCTIONS, LocalRuns
from freehold.ports import Run
from tests.servers import wait_for

IDS = {"workspace_id": "w", "session_id": "s", "thread_id": "t", "epoch": 3, "leg": 0}
RUN = Run("w", "s", "t", 3, 0)
TEXT = DEFINITION.read_text()
LAMBDA_ERRORS = [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
]


def outcome(next_, seconds=0, turns=1):
    return {"next": next_, "seconds": seconds, "turns": turns}


def machine():
    return Machine(TEXT, FUNCTIONS)


def begun():
    step = machine().begin(dict(IDS))
    assert isinstance(step, Call)
    return step


# ---------------------------------------------------------------- the file
def test_a_turn_with_tools_takes_four_transitions():
    transitions = 0
    state, wanted = "RunTurn", []
    definition = json.loads(TEXT)["States"]
    for result in ("tools", "turn"):
        wanted.append(state)
        transitions += 1
        state = definition[state]["Next"]
        rule = next(r for r in definition[state]["Choices"] if r["StringEquals"] == result)
        transitions += 1
        state = rule["Next"]
    assert (wanted, state, transitions) == (["RunTurn", "RunTools"], "RunTurn", 4)


def test_retries_are_for_lambda_service_errors_only():
    for state in json.loads(TEXT)["States"].values():
        for retrier in state.get("Retry", ()):
            assert retrier["ErrorEquals"] == LAMBDA_ERRORS


def test_every_function_receives_ids_and_nothing_else():
    m = machine()
    call = m.begin({**IDS, "content": "secret"})
    assert call.payload == IDS
    tools = m.succeed(call, outcome("tools"))
    assert (tools.resource, tools.payload) == ("run_tools", IDS)
    release = m.fail(tools, "Boom")
    assert (release.resource, release.payload) == ("reaper", {"release": IDS})


def test_the_state_carries_the_ids_and_the_last_outcome():
    m = machine()
    first = m.begin(dict(IDS))
    second = m.succeed(first, outcome("turn", turns=1))
    third = m.succeed(second, outcome("turn", turns=2))
    assert third.data == {**IDS, "outcome": outcome("turn", turns=2)}


# ---------------------------------------------------------------- semantics
@pytest.mark.parametrize("last", ["idle", "successor", "taken"])
def test_an_execution_ends_where_nothing_is_left_to_do(last):
    assert machine().succeed(begun(), outcome(last)) == End()


def test_a_wait_lasts_as_long_as_the_outcome_says_and_goes_back_to_the_model():
    m = machine()
    pause = m.succeed(begun(), outcome("wait", seconds=7))
    assert isinstance(pause, Pause)
    assert pause.seconds == 7
    assert m.resume(pause).resource == "run_turn"


def test_an_outcome_that_no_choice_knows_fails_the_execution():
    assert machine().succeed(begun(), outcome("dance")) == End("States.NoChoiceMatched")


@pytest.mark.parametrize("seconds", [None, "7", 1.5, -1, True])
def test_a_wait_without_whole_seconds_fails_the_execution(seconds):
    answer = {"next": "wait", "seconds": seconds, "turns": 0}
    assert machine().succeed(begun(), answer) == End("States.Runtime")


def test_an_outcome_without_next_fails_the_execution_and_is_not_caught():
    assert machine().succeed(begun(), {}) == End("States.Runtime")


def test_a_missing_id_fails_the_execution():
    assert machine().begin({"workspace_id": "w"}) == End("States.Runtime")


@pytest.mark.parametrize("error", ["ValueError", "States.Timeout", "SandboxLost"])
def test_any_error_of_a_task_releases_the_run(error):
    m = machine()
    release = m.fail(m.begin(dict(IDS)), error)
    assert release.state == "Release"
    assert release.data == IDS, "the error's text must not enter the state"
    assert m.succeed(release, {"anything": 1}) == End()


def test_a_release_that_fails_fails_the_execution():
    m = machine()
    assert m.fail(m.fail(m.begin(dict(IDS)), "X"), "Y") == End("Y")


@pytest.mark.parametrize("error", LAMBDA_ERRORS)
def test_service_errors_are_retried_with_growing_pauses_and_then_caught(error):
    m = machine()
    retrier = json.loads(TEXT)["States"]["RunTurn"]["Retry"][0]
    step = m.begin(dict(IDS))
    for attempt in range(retrier["MaxAttempts"]):
        pause = m.fail(step, error)
        assert isinstance(pause, Pause)
        assert 0 <= pause.seconds <= min(2**attempt, retrier["MaxDelaySeconds"])
        step = m.resume(pause)
        assert (step.state, step.payload) == ("RunTurn", IDS)
    assert m.fail(step, error).state == "Release"


def test_attempts_start_anew_when_a_state_is_entered_again():
    m = machine()
    retried = m.resume(m.fail(m.begin(dict(IDS)), LAMBDA_ERRORS[0]))
    assert retried.attempts == (1,)
    assert m.succeed(retried, outcome("turn")).attempts == (0,)


# ---------------------------------------------------------------- what is refused at load
def _put(path, value):
    def change(definition):
        place = definition
        for name in path[:-1]:
            place = place[name]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return change


REFUSED = {
    "state type": _put(("States", "Done", "Type"), "Fail"),
    "map state": _put(("States", "Done"), {"Type": "Map", "Next": "Next"}),
    "no type": _put(("States", "Done"), {}),
    "top-level field": _put(("TimeoutSeconds",), 5),
    "jsonata": _put(("QueryLanguage",), "JSONata"),
    "jsonata in a state": _put(("States", "Wait", "QueryLanguage"), "JSONata"),
    "task field": _put(("States", "RunTurn", "InputPath"), "$.x"),
    "result selector": _put(("States", "RunTurn", "ResultSelector"), {"a.$": "$.b"}),
    "heartbeat": _put(("States", "RunTurn", "HeartbeatSeconds"), 5),
    "no timeout": _put(("States", "RunTurn", "TimeoutSeconds"), None),
    "zero timeout": _put(("States", "RunTurn", "TimeoutSeconds"), 0),
    "end instead of next": _put(("States", "RunTurn", "End"), True),
    "comparator": _put(("States", "Next", "Choices", 0, "StringMatches"), "t*"),
    "not a string": _put(("States", "Next", "Choices", 0, "StringEquals"), 5),
    "boolean rule": _put(("States", "Next", "Choices", 0), {"Not": {}, "Next": "Done"}),
    "no choices": _put(("States", "Next", "Choices"), []),
    "default": _put(("States", "Next", "Default"), "Done"),
    "wait by timestamp": _put(("States", "Wait", "TimestampPath"), "$.x"),
    "intrinsic": _put(("States", "RunTurn", "Parameters", "epoch.$"), "States.UUID()"),
    "context object": _put(("States", "RunTurn", "Parameters", "epoch.$"), "$$.Execution.Id"),
    "index path": _put(("States", "RunTurn", "Parameters", "epoch.$"), "$.a[0]"),
    "whole input": _put(("States", "RunTurn", "Parameters", "epoch.$"), "$"),
    "wildcard": _put(("States", "Wait", "SecondsPath"), "$..seconds"),
    "deep result path": _put(("States", "RunTurn", "ResultPath"), "$.a.b"),
    "list parameter": _put(("States", "RunTurn", "Parameters", "x"), [1]),
    "retry field": _put(("States", "RunTurn", "Retry", 0, "Comment"), "x"),
    "no jitter": _put(("States", "RunTurn", "Retry", 0, "JitterStrategy"), "NONE"),
    "unknown reserved error": _put(
        ("States", "RunTurn", "Retry", 0, "ErrorEquals"), ["States.Permissions"]
    ),
    "all with others": _put(("States", "RunTurn", "Catch", 0, "ErrorEquals"), ["States.ALL", "X"]),
    "all before others": _put(
        ("States", "RunTurn", "Catch"),
        [
            {"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": "Release"},
            {"ErrorEquals": ["X"], "ResultPath": None, "Next": "Release"},
        ],
    ),
    "error in the state": _put(("States", "RunTurn", "Catch", 0, "ResultPath"), "$.error"),
    "unknown next": _put(("States", "RunTurn", "Next"), "Nowhere"),
    "unknown start": _put(("StartAt",), "Nowhere"),
    "unreachable state": _put(("States", "Spare"), {"Type": "Succeed"}),
    "states is a list": _put(("States",), []),
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED.keys())
def test_what_the_interpreter_does_not_know_is_refused_at_load(change):
    definition = copy.deepcopy(json.loads(TEXT))
    change(definition)
    with pytest.raises(UnsupportedDefinition):
        Machine(json.dumps(definition), FUNCTIONS)


@pytest.mark.parametrize(
    "functions", [{}, {**FUNCTIONS, "Extra": "x"}, {"RunTurnFunctionArn": "run_turn"}]
)
def test_placeholders_and_functions_must_agree(functions):
    with pytest.raises(UnsupportedDefinition):
        Machine(TEXT, functions)


# ---------------------------------------------------------------- executions in process
class Script:
    """Functions that answer from a list; `ended` is set by the last one."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.calls = []
        self.ended = threading.Event()
        self.lock = threading.Lock()

    def function(self, name):
        def call(event, context):
            with self.lock:
                self.calls.append((name, event))
                answer = self.answers.pop(0)
                if not self.answers:
                    self.ended.set()
            if isinstance(answer, Exception):
                raise answer
            return answer() if callable(answer) else answer

        return call

    def functions(self):
        return {name: self.function(name) for name in FUNCTIONS.values()}


@pytest.fixture
def local():
    opened = []

    def open_(script, **kwargs):
        runs = LocalRuns(**kwargs)
        runs.open(script.functions())
        opened.append(runs)
        return runs

    yield open_
    for runs in opened:
        runs.close()


def closed(runs, run):
    """Waits until the execution of `run` has closed: only then does its name answer False."""
    wait_for(lambda: not runs.start(run), every=0.001)
    return True


def test_a_run_goes_through_its_functions_and_closes_its_name(local):
    script = Script(outcome("tools"), outcome("turn"), outcome("idle"))
    runs = local(script)
    assert runs.start(RUN)
    assert closed(runs, RUN)
    assert [name for name, _ in script.calls] == ["run_turn", "run_tools", "run_turn"]
    assert all(event == IDS for _, event in script.calls)


def test_a_function_that_raises_has_its_run_released(local, caplog):
    script = Script(ValueError("broken"), None)
    runs = local(script)
    runs.start(RUN)
    assert closed(runs, RUN)
    assert script.calls[1] == ("reaper", {"release": IDS})
    assert "function_failed" in caplog.messages


def test_a_result_that_is_not_json_fails_as_it_would_on_lambda(local):
    script = Script(lambda: {"next": {1, 2}}, None)
    runs = local(script)
    runs.start(RUN)
    assert closed(runs, RUN)
    assert script.calls[1][0] == "reaper"


def test_a_function_that_overruns_is_given_up_and_not_listened_to(local):
    definition = json.loads(TEXT)
    definition["States"]["RunTurn"]["TimeoutSeconds"] = 0.05
    late, returned = threading.Event(), threading.Event()

    def overrun():
        late.wait(10)
        returned.set()
        return outcome("tools")

    script = Script(overrun, None)
    runs = local(script, definition=json.dumps(definition))
    runs.start(RUN)
    assert closed(runs, RUN)
    late.set()
    assert returned.wait(10)
    assert runs.close()
    assert [name for name, _ in script.calls] == ["run_turn", "reaper"]


def test_the_context_tells_how_much_time_is_left(local):
    seen = []
    runs = LocalRuns()

    def function(event, context):
        seen.append(context.get_remaining_time_in_millis())
        return outcome("idle")

    runs.open(dict.fromkeys(FUNCTIONS.values(), function))
    runs.start(RUN)
    assert closed(runs, RUN)
    assert 925_000 < seen[0] <= 930_000
    runs.close()


def test_waiting_runs_hold_no_thread_and_shutdown_does_not_wait_for_them(local):
    script = Script(*[outcome("wait", seconds=3600)] * 40)
    runs = local(script)
    before = threading.active_count()
    for epoch in range(40):
        runs.start(Run("w", "s", "t", epoch, 0))
        wait_for(lambda started=epoch + 1: len(script.calls) == started)
    assert threading.active_count() - before < 20
    started = time.monotonic()
    assert runs.close()
    assert time.monotonic() - started < 1


def test_a_wait_that_is_over_asks_the_model_again(local):
    script = Script(outcome("wait", seconds=0), outcome("idle"))
    runs = local(script)
    runs.start(RUN)
    assert closed(runs, RUN)
    assert len(script.calls) == 2


def test_shutdown_starts_nothing_more_and_gives_running_functions_time(local):
    entered, gate = threading.Event(), threading.Event()

    def slow():
        entered.set()
        gate.wait(10)
        return outcome("tools")

    script = Script(slow, outcome("idle"))
    runs = local(script)
    runs.start(RUN)
    assert entered.wait(10)
    assert not runs.close(grace_seconds=0.01), "a function was still running"
    gate.set()
    assert runs.close(grace_seconds=10)
    assert runs.start(Run("w", "s", "t", 9, 0)), "False would mean: this execution has closed"
    assert [name for name, _ in script.calls] == ["run_turn"]


def test_nothing_starts_before_the_functions_are_known():
    runs = LocalRuns()
    assert runs.start(RUN)
    script = Script(outcome("idle"))
    runs.open(script.functions())
    assert runs.start(RUN)
    assert closed(runs, RUN)
    runs.close()


def test_many_runs_at_once_do_not_wait_for_each_other(local):
    together = threading.Barrier(30)
    script = Script(*[lambda: (together.wait(20), outcome("idle"))[1]] * 30)
    runs = local(script)
    for epoch in range(30):
        runs.start(Run("w", "s", "t", epoch, 0))
    assert all(closed(runs, Run("w", "s", "t", epoch, 0)) for epoch in range(30))
