"""Networks of sandboxes on Fargate: the proxy is a task, here a process with addresses of its own;
names and what is behind them are the test's (tests/egress_task.py).
"""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta

import pytest

from freehold.ids import now
from freehold.ports import Network
from freehold.testing.sandbox_calls import bash, said
from tests.egress import PUBLIC, Recorder, Server
from tests.fargate import EGRESS, Patient, installation

OPEN, LISTED = Network(hosts=None), Network(hosts=("ok.example",))
INNER = {"inner.example": ["10.1.2.3"]}
ASK = "curl -s -o /dev/null -w '%{http_code}' --max-time 20 "


class Clock:
    """The time, and what a test adds to it."""

    def __init__(self):
        self.added = timedelta()

    def __call__(self):
        return now() + self.added


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def installed(tmp_path, clock):
    recorder = Recorder()
    with (
        closing(Server(recorder)) as plain,
        installation(tmp_path / "aws", clock=clock, egress=EGRESS) as made,
    ):
        made.account.internet.update(
            hosts={
                "ok.example": [PUBLIC],
                "other.example": [PUBLIC],
                "inner.example": ["10.1.2.3"],
            },
            servers={f"{PUBLIC}:80": plain.port},
        )
        made.tick()
        yield made


@pytest.fixture
def sandboxes(installed):
    return Patient(installed.sandboxes(), installed.tick)


def granted(installed, network):
    ref, _ = installed.session()
    installed.networks[ref.session_id] = network
    return ref


def proxies(installed):
    return [task for task in installed.account.running() if task.slot_id == "egress"]


def status(sandboxes, ref, host, options=""):
    return said(sandboxes, ref, bash(f"{ASK} {options} http://{host}/ || true"))


# ---------------------------------------------------------------- what is reached
def test_a_sandbox_reaches_what_its_environment_grants_and_nothing_else(installed, sandboxes):
    ref = granted(installed, LISTED)
    assert status(sandboxes, ref, "ok.example") == "200"
    assert status(sandboxes, ref, "other.example") == "403"
    open_ = granted(installed, OPEN)
    assert status(sandboxes, open_, "other.example") == "200"
    assert status(sandboxes, open_, "inner.example") == "403"
    assert len(proxies(installed)) == 1


def test_without_a_grant_there_is_no_proxy_and_no_way(installed, sandboxes):
    ref = granted(installed, Network())
    assert "proxy" not in said(sandboxes, ref, bash("env | grep -i _proxy || true"))
    assert proxies(installed) == []
