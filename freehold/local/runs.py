"""Executions of the state machine in this process: `ports.Runs` on the laptop."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from freehold.local.alarms import Alarms
from freehold.local.asl import Call, End, Machine, Pause, Step
from freehold.local.workers import Workers
from freehold.ports import Run
from freehold.toolset import Json, JsonObject

_log = logging.getLogger("freehold.runs")

Function = Callable[[Any, Any], Any]
"""A Lambda handler: `(event, context) -> result`."""

DEFINITION = Path(__file__).parents[2] / "statemachines" / "session.asl.json"
FUNCTIONS = {
    "RunTurnFunctionArn": "run_turn",
    "RunToolsFunctionArn": "run_tools",
    "ReaperFunctionArn": "reaper",
}
_REMEMBERED = 10_000
_OVERDUE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class LocalContext:
    """The part of a Lambda context that handlers use."""

    function_name: str
    until: float

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the task is given up."""
        return max(0, int((self.until - time.monotonic()) * 1000))


@dataclass(slots=True, eq=False)
class _Execution:
    """`step` counts answers taken, so that a function that returns after its timeout is not
    listened to.
    """

    name: str
    step: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class _Running:
    """A function that was invoked and has not answered. `at` is the step that its answer would be
    taken for.
    """

    at: int
    call: Call
    until: float


class LocalRuns:
    """Starts executions and drives them on worker threads; waits cost no thread.

    Names are remembered while open and, for the last ten thousand, after they closed. A forgotten
    one belongs to an epoch or leg that its thread has left long ago; started again, it finds a
    newer head and ends as `taken`. Nothing here survives the process, and nothing needs to: what
    was running is released at the next start.
    """

    def __init__(
        self, definition: str | None = None, placeholders: Mapping[str, str] = FUNCTIONS
    ) -> None:
        """Loads the state machine. Raises UnsupportedDefinition."""
        text = DEFINITION.read_text() if definition is None else definition
        self._machine = Machine(text, placeholders)
        self._functions: Mapping[str, Function] = {}
        self._workers = Workers("run")
        self._alarms = Alarms(self._workers.run)
        self._lock = threading.Lock()
        self._ended = threading.Condition(self._lock)
        self._open: dict[str, _Execution] = {}
        self._closed_names: OrderedDict[str, None] = OrderedDict()
        self._running: dict[_Execution, _Running] = {}
        self._is_open = False
        self._closing = threading.Event()

    def open(self, functions: Mapping[str, Function]) -> None:
        """Gives the functions by name, and with them the permission to start. They need an App,
        which needs this.
        """
        self._functions = functions
        self._is_open = True
        self._alarms.every(_OVERDUE_SECONDS, self._give_up_overdue)

    def start(self, run: Run) -> bool:
        """As `ports.Runs`. While closing, and before `open`, nothing starts: recovery finds the run
        at the next start.
        """
        with self._lock:
            if run.name in self._closed_names:
                return False
            if run.name in self._open or self._closing.is_set() or not self._is_open:
                return True
            execution = self._open[run.name] = _Execution(run.name)
        data: JsonObject = {
            "workspace_id": run.workspace_id,
            "session_id": run.session_id,
            "thread_id": run.thread_id,
            "epoch": run.epoch,
            "leg": run.leg,
        }
        self._workers.run(lambda: self._drive(execution, 0, lambda: self._machine.begin(data)))
        return True

    def close(self, grace_seconds: float = 1.0) -> bool:
        """Starts nothing more, ends every wait, and gives running functions this long. Whether all
        of them ended.
        """
        self._alarms.close()
        with self._lock:
            self._closing.set()
            return self._ended.wait_for(lambda: not self._running, timeout=grace_seconds)

    def _drive(self, execution: _Execution, at: int, answer: Callable[[], Step]) -> None:
        """Takes one answer, if it is the one waited for, and goes on until time must pass or the
        execution closes.
        """
        while True:
            with execution.lock:
                if execution.step != at:
                    return
                execution.step = at = at + 1
            step = answer()
            if isinstance(step, End):
                self._end(execution, step)
                return
            if isinstance(step, Pause):
                self._pause(execution, at, step)
                return
            taken = self._invoke(execution, at, step)
            if taken is None:
                return
            answer = taken

    def _pause(self, execution: _Execution, at: int, pause: Pause) -> None:
        def resume() -> None:
            self._drive(execution, at, lambda: self._machine.resume(pause))

        self._alarms.after(pause.seconds, resume)

    def _invoke(self, execution: _Execution, at: int, call: Call) -> Callable[[], Step] | None:
        """Runs the function: what it answered, as a step to take. None when closing."""
        running = _Running(at, call, time.monotonic() + call.timeout_seconds)
        with self._lock:
            if self._closing.is_set():
                return None
            self._running[execution] = running
        try:
            result = self._result(call, running.until)
        except Exception as error:  # noqa: BLE001 - as Lambda: whatever it raises has a name
            return self._failed(execution, call, error)
        finally:
            with self._lock:
                if self._running.get(execution) is running:
                    del self._running[execution]
                if self._closing.is_set():
                    self._ended.notify_all()
        return lambda: self._machine.succeed(call, result)

    def _result(self, call: Call, until: float) -> Json:
        """Through JSON both ways, as on Lambda: a value that does not survive it fails here too."""
        payload = json.loads(json.dumps(call.payload))
        context = LocalContext(call.resource, until)
        answer: Json = json.loads(json.dumps(self._functions[call.resource](payload, context)))
        return answer

    def _failed(
        self, execution: _Execution, call: Call, error: Exception
    ) -> Callable[[], Step] | None:
        if self._closing.is_set():
            return None  # the store is being closed under it; the next start releases the run
        name = type(error).__name__
        fields = {"run": execution.name, "function": call.resource, "error": name}
        _log.error("function_failed", extra=fields, exc_info=error)
        return lambda: self._machine.fail(call, name)

    def _give_up_overdue(self) -> None:
        """States.Timeout: the function may go on, as a Lambda may, but nobody listens to it any
        more.
        """
        with self._lock:
            now = time.monotonic()
            overdue = [(e, r) for e, r in self._running.items() if r.until <= now]
            for execution, _ in overdue:
                del self._running[execution]
        for execution, running in overdue:
            fields = {"run": execution.name, "function": running.call.resource}
            _log.error("function_timed_out", extra=fields)
            self._workers.run(partial(self._time_out, execution, running))

    def _time_out(self, execution: _Execution, running: _Running) -> None:
        call = running.call
        self._drive(execution, running.at, lambda: self._machine.fail(call, "States.Timeout"))

    def _end(self, execution: _Execution, end: End) -> None:
        if end.error is not None:
            _log.error("execution_failed", extra={"run": execution.name, "error": end.error})
        with self._lock:
            del self._open[execution.name]
            self._closed_names[execution.name] = None
            while len(self._closed_names) > _REMEMBERED:
                self._closed_names.popitem(last=False)
