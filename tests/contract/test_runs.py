"""All runs face the same contract."""

from __future__ import annotations

from contextlib import closing
from threading import Lock

import pytest

from freehold.adapters.step_functions import StepFunctionsRuns
from freehold.local.runs import DEFINITION
from freehold.testing.runs_contract import CONTRACT
from tests.contract.engines import Emulated, Laptop
from tests.contract.moto_account import moto_account
from tests.emulated_functions import ROLE

TEXT = DEFINITION.read_text()


class EngineStage:
    """The state machine's file, whose first function waits until it is told to end the run."""

    def __init__(self, engine):
        self._engine = engine
        self.runs = self
        self._scripted = set()
        self._writing = Lock()

    def start(self, run):
        with self._writing:  # of those who start it at once, none does before its script is there
            if run not in self._scripted:
                self._scripted.add(run)
                answer = {"next": "idle", "seconds": 0, "turns": 1}
                self._engine.write(run, [{"answers": answer, "gate": "end"}] * 10)
        return self._engine.runs.start(run)

    def close(self, run):
        self._engine.open_gate(run, "end")
        self._engine.closed(run)

    def executions(self, run):
        return len(self._engine.calls(run))


class MotoStage:
    """moto's Step Functions, in which an execution stays open until it is stopped."""

    def __init__(self, client):
        self._client = client
        made = client.create_state_machine(name="runs", definition=TEXT, roleArn=ROLE)
        self._arn = made["stateMachineArn"]
        self.runs = StepFunctionsRuns(client, self._arn)

    def close(self, run):
        (arn,) = self._named(run)
        self._client.stop_execution(executionArn=arn)

    def executions(self, run):
        return len(self._named(run))

    def _named(self, run):
        found = self._client.list_executions(stateMachineArn=self._arn)["executions"]
        return [each["executionArn"] for each in found if each["name"] == run.name]


@pytest.fixture(scope="module", params=["laptop", "moto", "ministack"])
def stage(request, tmp_path_factory):
    scripts = tmp_path_factory.mktemp("scripts")
    if request.param == "laptop":
        with closing(Laptop(scripts, TEXT)) as engine:
            yield EngineStage(engine)
    elif request.param == "moto":
        with moto_account() as account:
            yield MotoStage(account.client("stepfunctions"))
    else:
        yield EngineStage(Emulated(scripts, TEXT, request.getfixturevalue("emulated_aws")))


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_contract(check, stage):
    check(stage)
