"""Networks of sandboxes on Fargate: the proxy is a task, here a process with addresses of its own;
names and what is behind them are the test's (tests/egress_task.py).
"""

from __future__ import annotations

import signal
from contextlib import closing
from datetime import timedelta

import pytest

from freehold.errors import SandboxStarting
from freehold.ports import Network
from freehold.testing.sandbox_calls import bash, finish, said, text_of
from functions.dispatch.handler import NotForDispatch
from tests.clocks import Clock
from tests.egress import PUBLIC, Recorder, Server
from tests.fargate import DISPATCH, EGRESS, Patient, installation
from tests.servers import wait_for

OPEN, LISTED = Network(hosts=None), Network(hosts=("ok.example",))
ASK = "curl -s -o /dev/null -w '%{http_code}' --max-time 20 "


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


def test_a_token_is_good_from_the_address_of_its_own_task_alone(installed, sandboxes):
    mine, other = granted(installed, LISTED), granted(installed, OPEN)
    stolen = said(sandboxes, other, bash("echo ${http_proxy%@*}")).strip()
    assert status(sandboxes, mine, "other.example") == "403"
    through = f"-x {stolen}@$(echo ${{http_proxy#*@}})"
    assert status(sandboxes, mine, "other.example", through) == "407"
    assert status(sandboxes, other, "other.example") == "200"


def test_a_prewarmed_sandbox_finds_its_proxy_running(installed, sandboxes):
    ref = granted(installed, OPEN)
    installed.sandboxes().prewarm(ref)
    wait_for(lambda: len(proxies(installed)) == 1 and len(installed.account.running()) == 2)
    (started,) = proxies(installed)
    assert status(sandboxes, ref, "ok.example") == "200"
    assert proxies(installed) == [started]


# ---------------------------------------------------------------- what dies
def test_a_killed_proxy_is_replaced_and_knows_the_sandbox_again(installed, sandboxes):
    ref = granted(installed, LISTED)
    assert status(sandboxes, ref, "ok.example") == "200"
    (first,) = proxies(installed)
    boot_id = sandboxes.boot(ref)
    made = bash(
        f"touch ready; until [ -e go ]; do sleep 0.05; done; {ASK} http://ok.example/ || true"
    )
    assert sandboxes.execute(ref, boot_id, made) is None
    first.end(signal.SIGKILL)
    (ready,) = wait_for(lambda: list(installed.account.directory.rglob("ready")))
    ready.with_name("go").touch()
    # Under the call that ran nobody is there: it reaches nothing, and goes on.
    assert text_of(finish(sandboxes, ref, boot_id, made)) == "000"
    assert sandboxes.boot(ref) == boot_id
    (second,) = proxies(installed)
    assert second is not first
    # The shell is the one that knew the first proxy.
    assert status(sandboxes, ref, "ok.example") == "200"
    assert status(sandboxes, ref, "other.example") == "403"


def test_another_process_finds_a_new_proxy_and_tells_it_of_every_sandbox(installed, sandboxes):
    refs = [granted(installed, LISTED), granted(installed, OPEN)]
    for ref in refs:
        assert status(sandboxes, ref, "ok.example") == "200"
    proxies(installed)[0].end(signal.SIGKILL)
    later = Patient(installed.sandboxes(), installed.tick)
    for ref in refs:
        assert status(later, ref, "ok.example") == "200"
    assert status(later, refs[0], "other.example") == "403"
    assert len(proxies(installed)) == 1


def test_a_proxy_that_does_not_come_up_leaves_a_sandbox_without_a_network(installed, sandboxes):
    del installed.account.families["Freehold-egress"]
    ref = granted(installed, OPEN)
    assert said(sandboxes, ref, bash("echo works")).strip() == "works"
    assert said(sandboxes, ref, bash("echo ${http_proxy:-none}")).strip() == "none"
    installed.account.families["Freehold-egress"] = [{"arn": "egress:2", "status": "ACTIVE"}]
    said(sandboxes, ref, bash("true", restart=True))
    assert status(sandboxes, ref, "ok.example") == "200"


# ---------------------------------------------------------------- the end
def test_the_proxy_forgets_a_sandbox_before_its_task_stops(installed, sandboxes):
    ref = granted(installed, OPEN)
    assert status(sandboxes, ref, "ok.example") == "200"
    carry, account = installed.account.functions[DISPATCH], installed.account

    def watched(event, context):
        account.calls.append((event["method"], event["path"]))
        return carry(event, context)

    account.functions[DISPATCH] = watched
    slot = next(s for s in installed.world.slots.all().values() if s.session_id == ref.session_id)
    account.calls.clear()
    installed.world.boots.stopped(slot)
    names = [name for name, _ in account.calls]
    assert names.index("DELETE") < names.index("StopTask")
    assert dict(account.calls)["DELETE"] == f"/sessions/{slot.slot_id}"
    assert installed.world.slots.get(slot.slot_id).egress == ""


def test_a_task_is_not_stopped_while_the_proxy_may_know_it(installed, sandboxes):
    ref = granted(installed, OPEN)
    sandboxes.boot(ref)
    carry, account = installed.account.functions[DISPATCH], installed.account

    def broken(event, context):
        raise RuntimeError("no function")

    account.functions[DISPATCH] = broken
    slot = next(s for s in installed.world.slots.all().values() if s.session_id == ref.session_id)
    with pytest.raises(SandboxStarting):
        installed.world.boots.stopped(slot)
    assert slot.slot_id in {task.slot_id for task in account.running()}
    account.functions[DISPATCH] = carry
    installed.world.boots.down(installed.world.slots.get(slot.slot_id))
    assert slot.slot_id not in {task.slot_id for task in account.running()}


def test_the_proxy_runs_for_as_long_as_a_sandbox_does(installed, sandboxes, clock):
    ref = granted(installed, OPEN)
    boot_id = sandboxes.boot(ref)
    for _ in range(4):  # more than the idle time of both
        clock.ahead += timedelta(seconds=400)
        assert sandboxes.boot(ref) == boot_id
        installed.tick()
        assert len(proxies(installed)) == 1
    clock.ahead += timedelta(seconds=1000)
    for _ in range(4):
        installed.tick()
        clock.ahead += timedelta(seconds=40)
    assert installed.account.running() == []
    assert status(sandboxes, ref, "ok.example") == "200"


def test_the_inventory_knows_the_proxy_and_ends_one_that_nobody_knows(installed, sandboxes):
    ref = granted(installed, OPEN)
    sandboxes.boot(ref)
    (own,) = proxies(installed)
    installed.account.run_task({**own.asked, "clientToken": "late"})
    assert len(proxies(installed)) == 2
    assert installed.inventory.compare() == 1
    assert proxies(installed) == [own]


@pytest.mark.parametrize(
    ("address", "method", "path"),
    [
        ("127.99.0.1", "POST", "/execute"),
        ("127.99.0.1", "GET", "/sessions/slot_1"),
        ("127.99.0.1", "PUT", "/sessions/../healthz"),
        ("127.88.0.1", "PUT", "/sessions/slot_1"),
        ("127.88.0.1", "DELETE", "/files"),
    ],
)
def test_dispatch_asks_the_proxy_and_supervisors_for_what_each_is_for(
    installed, address, method, path
):
    asked = {"address": address, "method": method, "path": path, "headers": {}}
    with pytest.raises(NotForDispatch):
        installed.account.functions[DISPATCH]({**asked, "answer_object": "transfers/a"}, None)
