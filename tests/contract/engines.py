"""What executes `statemachines/session.asl.json`: the laptop's driver, moto's interpreter and the
emulated account, each with scripted functions (tests/contract/scripted_function.py).
"""

from __future__ import annotations

import json
import logging
import re
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import pytest

from freehold.adapters.step_functions import StepFunctionsRuns
from freehold.ids import new_id
from freehold.local.asl import Call, End, Machine
from freehold.local.runs import FUNCTIONS, LocalRuns
from tests.contract import scripted_function
from tests.emulated_functions import (
    ROLE,
    closed_execution,
    create_function,
    create_state_machine_stack,
)
from tests.loopback import LoopbackServer, QuietHandler
from tests.ministack import ACCOUNT, REGION
from tests.servers import wait_for

SUCCEEDED = ("SUCCEEDED", None)


class Died(Exception):
    """How the platforms without workers of their own say that one has ended."""


Died.__name__ = "Runtime.ExitError"


def _die():
    raise Died


class Engine:
    """One way to execute the definition. `second` is how long it takes for one, in seconds."""

    second = 1.0

    def __init__(self, scripts: Path, definition: str) -> None:
        self.scripts = scripts
        self.definition = definition

    def write(self, run, lines):
        """The script of a run, before it is started."""
        place = self.scripts / run.name
        place.mkdir()
        (place / "script.json").write_text(json.dumps(lines))

    def open_gate(self, run, gate="gate"):
        (self.scripts / run.name / gate).touch()

    def calls(self, run):
        """(function, payload, time) of each call so far, in order."""
        place = self.scripts / run.name
        return [json.loads((place / f"{n}.call").read_text()) for n in range(len(self._noted(run)))]

    def _noted(self, run):
        return list((self.scripts / run.name).glob("*.call"))

    def start(self, run):
        raise NotImplementedError

    def closed(self, run):
        """Status and error of the execution, once it has closed."""
        raise NotImplementedError

    def answer(self, function, event, context=None):
        return scripted_function.answer(self.scripts, function, event, die=_die)


class VirtualTime(Engine):
    """The laptop's interpreter with time that passes by itself."""

    second = 0.0

    def __init__(self, scripts, definition):
        super().__init__(scripts, definition)
        self._machine = Machine(definition, FUNCTIONS)
        self._ends = {}

    def start(self, run):
        data = json.loads(json.dumps({name: getattr(run, name) for name in run.__slots__}))
        step = self._machine.begin(data)
        while not isinstance(step, End):
            step = self._taken(step) if isinstance(step, Call) else self._machine.resume(step)
        self._ends[run] = step
        return True

    def _taken(self, call):
        try:
            answer = self.answer(call.resource, call.payload)
        except Exception as error:  # noqa: BLE001 - whatever it raises has a name
            return self._machine.fail(call, type(error).__name__)
        return self._machine.succeed(call, answer)

    def closed(self, run):
        error = self._ends[run].error
        return SUCCEEDED if error is None else ("FAILED", error)


class Laptop(Engine):
    """`LocalRuns` as the server has it."""

    def __init__(self, scripts, definition):
        super().__init__(scripts, definition)
        self.runs = LocalRuns(definition)
        self.runs.open({name: partial(self.answer, name) for name in FUNCTIONS.values()})
        self._failures = {}
        self._listener = logging.Handler()
        self._listener.emit = self._note_failure
        logging.getLogger("freehold.runs").addHandler(self._listener)

    def _note_failure(self, record):
        if record.msg == "execution_failed":
            self._failures[record.run] = record.error

    def start(self, run):
        return self.runs.start(run)

    def closed(self, run):
        wait_for(lambda: not self.runs.start(run), seconds=60)
        return ("FAILED", self._failures[run.name]) if run.name in self._failures else SUCCEEDED

    def close(self):
        logging.getLogger("freehold.runs").removeHandler(self._listener)
        self.runs.close()


class Emulated(Engine):
    """The emulated account, through `StepFunctionsRuns`; its functions are processes."""

    second = 0.01

    def __init__(self, scripts, definition, endpoint):
        super().__init__(scripts, definition)
        source = Path(scripted_function.__file__).read_text()
        functions = {
            placeholder: create_function(
                endpoint, source, {"SCRIPTS": str(scripts), "FUNCTION": function}
            )
            for placeholder, function in FUNCTIONS.items()
        }
        self._client = endpoint.client("stepfunctions")
        self._arn = create_state_machine_stack(endpoint, definition, functions)
        self.runs = StepFunctionsRuns(self._client, self._arn)

    def start(self, run):
        return self.runs.start(run)

    def closed(self, run):
        arn = self._arn.replace(":stateMachine:", ":execution:")
        found = closed_execution(self._client, f"{arn}:{run.name}")
        return found["status"], found.get("error")


class Moto(Engine):
    """moto's interpreter; its functions are behind HTTP, where it looks for Lambda."""

    def __init__(self, scripts, definition, backend):
        super().__init__(scripts, definition)
        arn = "arn:aws:lambda:us-east-1:000000000000:function:{}"
        text = re.sub(r"\$\{(\w+)\}", lambda found: arn.format(FUNCTIONS[found[1]]), definition)
        self._backend = backend
        self._machine = backend.create_state_machine(new_id("machine"), text, ROLE)
        self._executions = {}

    def start(self, run):
        data = json.dumps({name: getattr(run, name) for name in run.__slots__})
        self._executions[run] = self._backend.start_execution(self._machine.arn, run.name, data)
        return True

    def closed(self, run):
        execution = self._executions[run]
        wait_for(lambda: execution.status != "RUNNING", seconds=60)
        return execution.status, execution.error


@contextmanager
def moto_engine(scripts, definition):
    """moto's interpreter in a world of its own, whose retries wait a hundredth of their pauses."""
    from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
    from moto.stepfunctions.parser.models import StepFunctionsParserBackend

    engine = Moto(scripts, definition, StepFunctionsParserBackend(REGION, ACCOUNT))
    fast = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 100))
    with pytest.MonkeyPatch.context() as patched, LoopbackServer(_LambdaRequest) as functions:
        functions.answer = engine.answer
        patched.setattr(retrier_decl, "time", fast)
        patched.setenv("MOTO_PORT", str(functions.server_port))
        yield engine


class _LambdaRequest(QuietHandler):
    protocol_version = "HTTP/1.1"

    def serve(self, body):
        function = unquote(self.path).split("/")[3].rpartition(":")[2]
        event = json.loads(body)
        try:
            answer = self.server.answer(function, event)
        except Exception as error:  # noqa: BLE001 - as above
            failure = {"errorType": type(error).__name__, "errorMessage": str(error)}
            self.answer_json(failure, X_Amz_Function_Error="Unhandled")
        else:
            self.answer_json(answer)
