"""Processes that start from one snapshot are strangers to each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from freehold.settings_aws import TurnEnvironment
from freehold.testing.messages_server import MessagesServer
from tests.loopback import LoopbackServer, QuietHandler

FOLDER = Path(__file__).parent / "snapshot"
_ARN = "arn:aws:service:eu-west-1:123456789012"


@contextmanager
def secrets_manager(value):
    """Answers each `GetSecretValue`; the URL, and the list of who asked."""
    asked = []

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def serve(self, _):
            asked.append(self.client_address)
            self.answer_json({"SecretString": value})

    with LoopbackServer(Handler) as server:
        yield server.url, asked


def environment(api, secrets, **more):
    variables = TurnEnvironment(
        state_machine_arn=f"{_ARN}:stateMachine:Session",
        table_name="Table",
        bucket_name="blobs",
        key_arn=f"{_ARN}:key/1",
        model="anthropic",
        model_key_secret_arn=f"{_ARN}:secret:ModelKey",
        model_base_url=api,
    ).variables()
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(FOLDER), str(FOLDER.parents[2])]),
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_ENDPOINT_URL": secrets,
        **variables,
        **more,
    }


@pytest.fixture(scope="module")
def snapshot():
    """What was said before the snapshot, by two processes restored from it, and by two whose hooks
    were left out; and who asked the model and the secret.
    """
    with MessagesServer(api_key="sk-test") as api, secrets_manager("sk-test") as (url, asked):
        done = subprocess.run(
            [sys.executable, str(FOLDER / "restored_twice.py")],
            env=environment(api.url, url, AWS_LAMBDA_INITIALIZATION_TYPE="snap-start"),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        said = [json.loads(line) for line in done.stdout.splitlines()]
        yield said, [request.client for request in api.requests], asked


def test_processes_restored_from_one_snapshot_mint_different_ids_tokens_and_pauses(snapshot):
    (_, one, other, *_), _, _ = snapshot
    for name in ("id", "token", "jitter"):
        assert one[name] != other[name], name


def test_without_the_hooks_they_would_pause_alike(snapshot):
    """The imitation is faithful: what the hooks are for does happen without them."""
    (*_, one, other), _, _ = snapshot
    assert one["jitter"] == other["jitter"]


def test_no_connection_is_in_the_snapshot(snapshot):
    (before, one, other, *_), clients, asked = snapshot
    assert before["used"] >= 2  # the model and the secret
    assert (before["kept"], one["inherited"], other["inherited"]) == (0, 0, 0)
    assert len(set(clients)) == len(clients) == 5
    assert len(set(asked)) == len(asked) >= 3


def test_a_process_that_starts_without_a_snapshot_needs_no_hooks():
    program = (
        "import sys, functions.run_turn.index\nassert 'snapshot_restore_py' not in sys.modules"
    )
    with MessagesServer(api_key="sk-test") as api, secrets_manager("sk-test") as (url, _):
        given = environment(api.url, url, AWS_LAMBDA_INITIALIZATION_TYPE="on-demand")
        subprocess.run([sys.executable, "-c", program], env=given, check=True, timeout=60)
