"""The emulated account with a meter in every function, for what counts rather than checks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.e2e.conftest import LAYER, create_key
from tests.e2e.deployment import Deployment, deploy
from tests.e2e.sandbox_host import sandbox_host
from tests.infra.synthesis import ROOT, synthesize
from tests.ministack import ministack
from tests.servers import Server

FUNCTIONS = ("api", "run_turn", "run_tools", "wake")


class NoLayer(Exception):
    """`scripts/e2e` makes it."""


@dataclass(frozen=True)
class MeteredAccount(Server):
    """The deployed API, and what its functions did."""

    deployment: Deployment = None
    directory: Path = None

    def lines(self) -> list[dict[str, Any]]:
        """One for each invocation and each call of AWS, in the order of their ends."""
        file = self.directory / "meter.jsonl"
        text = file.read_text() if file.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def executions(self) -> list[str]:
        """ARNs of what the state machine ran."""
        states = self.deployment.clients("stepfunctions")
        (machine,) = states.list_state_machines()["stateMachines"]
        pages = states.get_paginator("list_executions").paginate(
            stateMachineArn=machine["stateMachineArn"]
        )
        return [found["executionArn"] for page in pages for found in page["executions"]]

    def has_succeeded(self, execution: str) -> bool:
        states = self.deployment.clients("stepfunctions")
        found = states.describe_execution(executionArn=execution)["status"]
        assert found in {"RUNNING", "SUCCEEDED"}, found
        return found == "SUCCEEDED"

    def entered(self, execution: str) -> list[str]:
        """The states that an execution entered."""
        states = self.deployment.clients("stepfunctions")
        pages = states.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [
            event["stateEnteredEventDetails"]["name"]
            for page in pages
            for event in page["events"]
            if event["type"].endswith("StateEntered")
        ]


@contextmanager
def metered_account(directory: Path) -> Iterator[MeteredAccount]:
    """As `cdk deploy` makes it with the scripted model. Raises NoLayer."""
    architectures = [path.name for path in LAYER.glob("*") if path.is_dir()]
    if not architectures:
        raise NoLayer("build/layer-e2e is not there: run ./scripts/e2e once")
    with sandbox_host(directory) as port:
        environment = {
            "PYTHONPATH": str(Path(__file__).parent / "worker"),
            "E2E_DIRECTORY": str(directory),
            "E2E_SANDBOX_PORT": str(port),
            "POWERTOOLS_LOG_LEVEL": "INFO",
        }
        with ministack(environment) as endpoint, httpx2.Client(trust_env=False, timeout=60) as http:
            assembly = synthesize(
                directory / "assembly",
                architecture=architectures[0],
                layer=str(LAYER.relative_to(ROOT)),
                model="scripted",
                retain_data=False,
            )
            deployment = deploy(assembly, endpoint.client, endpoint.url)
            for folder in FUNCTIONS:
                deployment.watch(folder, "metered")
            key = create_key(endpoint.url)
            yield MeteredAccount(
                deployment.base_url, key, http, deployment=deployment, directory=directory
            )
