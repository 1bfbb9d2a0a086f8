"""One emulated account with the stacks deployed in it, for all tests of this folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from freehold.adapters.dynamodb import DynamoRecords
from freehold.adapters.s3_blobs import S3Blobs
from freehold.domain import chain
from freehold.event_log import EventLog
from freehold.keys import SessionKey
from tests.e2e.deployment import Deployment, deploy
from tests.e2e.program import aws_variables
from tests.e2e.sandbox_host import sandbox_host
from tests.infra.synthesis import ROOT, synthesize
from tests.infra.templates import ALWAYS
from tests.ministack import ministack
from tests.servers import Server

PROGRAMS = ("stream",)
"""Functions that the emulator cannot run: they are child processes (tests/e2e/program.py)."""
LAYER = ROOT / "build" / "layer-e2e"


@dataclass(frozen=True)
class Account(Server):
    """The deployed API as any other server of the tests, and what lies behind it."""

    deployment: Deployment = None
    directory: Path = None

    def recorded(self):
        """What the functions wrote: where they started, and their calls of AWS."""
        lines = (self.directory / "calls.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def workers(self, folder):
        """Processes that were started for a function; some have ended."""
        started = [line for line in self.recorded() if "pid" in line]
        return [line["pid"] for line in started if line["function"] == folder]

    def log_numbers(self, session_id):
        """The numbers of a session's events as the log in the table has them, its chain checked."""
        table = self.deployment.output("Data", "TableName")
        clients = self.deployment.clients
        records = DynamoRecords(clients("dynamodb"), table)
        bucket = self.deployment.resource("Data", "AWS::S3::Bucket")
        log = EventLog(records, S3Blobs(clients("s3"), bucket), None)
        key = SessionKey("wrkspc_default", session_id)
        thread_id = log.read(key, every=True).session.primary_id
        previous = chain.genesis(session_id, thread_id)
        for entry in log.history(key, thread_id):
            assert entry.prev_hash == previous
            previous = entry.hash
        return [event.seq for event in log.scan(key, thread_id, beyond=0)]

    def sweep(self):
        """What the rule of the engine's stack does every minute."""
        self.deployment.clients("lambda").invoke(
            FunctionName=self.deployment.function_name("reaper"), Payload=b"{}"
        )

    def stored(self, marker):
        """Names in the bucket, and keys in the table, that hold an id."""
        clients = self.deployment.clients
        bucket = self.deployment.resource("Data", "AWS::S3::Bucket")
        blobs = clients("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
        items = (
            clients("dynamodb")
            .get_paginator("scan")
            .paginate(TableName=self.deployment.output("Data", "TableName"), ConsistentRead=True)
        )
        keys = [item["pk"]["S"] + item["sk"]["S"] for page in items for item in page["Items"]]
        return [name for name in [*keys, *(b["Key"] for b in blobs)] if marker in name]


@pytest.fixture(scope="session")
def account(tmp_path_factory):
    """The scripted model, the layer of this machine's platform, and entry points that are watched
    (tests/e2e/worker/recorded.py); otherwise what `cdk deploy` would make.
    """
    directory = tmp_path_factory.mktemp("account")
    service = {
        "stream_service": True,
        "stream_service_certificate_arn": "arn:aws:acm:us-east-1:000000000000:certificate/1",
    }
    with (
        sandbox_host(directory) as port,
        opened_account(directory, {"E2E_SANDBOX_PORT": str(port)}, **service) as opened,
    ):
        yield opened


@contextmanager
def opened_account(directory, environment, folders=ALWAYS, **context):
    """An account with `folders` of `functions/` deployed. `environment` is for the workers,
    `context` for the synthesis.
    """
    (architecture,) = [path.name for path in LAYER.glob("*") if path.is_dir()] or [None]
    if architecture is None:
        pytest.skip("waits for build/layer-e2e, which scripts/e2e_environment.sh makes")
    given = {
        "PYTHONPATH": str(Path(__file__).parent / "worker"),
        "E2E_DIRECTORY": str(directory),
        **environment,
    }
    with ministack(given) as endpoint, httpx2.Client(trust_env=False, timeout=60) as http:
        assembly = synthesize(
            directory / "assembly",
            architecture=architecture,
            layer=str(LAYER.relative_to(ROOT)),
            model="scripted",
            retain_data=False,
            **context,
        )
        deployment = deploy(assembly, endpoint.client, endpoint.url)
        for folder in sorted(set(folders) - set(PROGRAMS)):
            deployment.watch(folder)
        key = create_key(endpoint.url)
        yield Account(deployment.base_url, key, http, deployment=deployment, directory=directory)


def create_key(url, *options):
    """An API key of the installation, by the command that an operator types."""
    made = run_freehold(url, "keys", "create", "--stack", "Freehold-Data", *options)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def run_freehold(url, *arguments, given=None, key=None):
    """The command line with credentials of the emulated account, and a client's `key`."""
    return subprocess.run(
        [sys.executable, "-m", "freehold.cli", *arguments],
        env={
            **os.environ,
            **aws_variables(url),
            **({} if key is None else {"FREEHOLD_API_KEY": key}),
        },
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def client(account):
    """The official SDK, strict, on the deployed URL."""
    return account.client()


def pytest_collection_modifyitems(items):
    """What looks back on the whole folder comes last in it."""
    items.sort(key=lambda item: item.path.name == "test_calls.py")
