"""Tools in tasks: the deployed functions as they are, with a process of this machine behind each
task that they start (tests/e2e/fargate_host.py).
"""

from __future__ import annotations

import json
import signal
from contextlib import closing

import pytest

from freehold.engine.tools import UNKNOWN
from freehold.settings_aws import FUNCTIONS, SANDBOX_PORT
from tests.e2e.conftest import opened_account
from tests.e2e.fargate_host import fargate_host
from tests.e2e.policies import allows, needs, statements_of
from tests.e2e.test_session import (
    NOWHERE,
    ask,
    bash,
    begin,
    kill,
    results,
    said,
    script,
    until,
    until_idle,
)
from tests.egress import PUBLIC, Recorder, Server
from tests.infra.templates import listed
from tests.servers import wait_for

pytestmark = pytest.mark.timeout(600)  # a second account is deployed

UNUSED = {
    "No task is started ahead here, nor is one found of which nobody knows whether it was.": {
        ("slots", "ecs:RunTask"),
    },
    "Nothing here is as large as 1 MB nor has packages, and a save or restore is for months of"
    " rest.": {
        ("dispatch", "s3:AbortMultipartUpload"),
        ("dispatch", "s3:GetObject"),
        ("dispatch", "s3:ListBucket"),
        ("dispatch", "s3:PutObject"),
        ("run_tools", "s3:DeleteObject"),
        ("run_turn", "s3:DeleteObject"),
        ("slots", "s3:DeleteObject"),
        ("slots", "s3:GetObject"),
        ("workspaces", "s3:AbortMultipartUpload"),
        ("workspaces", "s3:GetObject"),
        ("workspaces", "s3:ListBucket"),
        ("workspaces", "s3:PutObject"),
    },
    "`run_tools` meets a sandbox in rounds with calls of the web alone, and here it is up then.": {
        ("run_tools", "ecs:DescribeTasks"),
        ("run_tools", "ecs:RunTask"),
        ("run_tools", "ecs:StopTask"),
        ("run_tools", "ecs:TagResource"),
        ("run_tools", "iam:PassRole"),
    },
    "NFS is no call of an API.": {
        ("workspaces", "elasticfilesystem:ClientMount"),
        ("workspaces", "elasticfilesystem:ClientRootAccess"),
        ("workspaces", "elasticfilesystem:ClientWrite"),
    },
    "Lambda itself places a function in a network.": {
        (folder, f"ec2:{action}")
        for folder in ("dispatch", "workspaces")
        for action in (
            *("CreateNetworkInterface", "DeleteNetworkInterface", "DescribeNetworkInterfaces"),
            *("DescribeSubnets", "AssignPrivateIpAddresses", "UnassignPrivateIpAddresses"),
        )
    },
    "Whoever of all functions comes first makes the installation's key.": {
        ("slots", "kms:GenerateDataKey"),
    },
    "A transaction of slots that only checks is part of an adoption.": {
        ("slots", "dynamodb:ConditionCheckItem"),
    },
}
"""Permissions of what sandboxes add that no test here uses, by the reason why they are there."""


@pytest.fixture(scope="module")
def fargate(tmp_path_factory):
    """The account of tasks, and the emulated one that they are started from."""
    directory = tmp_path_factory.mktemp("fargate")
    with (
        closing(Server(Recorder())) as web,
        fargate_host(directory, SANDBOX_PORT) as (tasks, port),
    ):
        tasks.families["Freehold-egress"] = [{"arn": "egress:1", "status": "ACTIVE"}]
        tasks.internet.update(hosts={"ok.example": [PUBLIC]}, servers={f"{PUBLIC}:80": web.port})
        environment = {"E2E_FARGATE_PORT": str(port)}
        with opened_account(
            directory,
            environment,
            folders=FUNCTIONS,
            sandbox="fargate",
            sandbox_image="000000000000.dkr.ecr.us-east-1.amazonaws.com/freehold-sandbox:1",
            sandbox_s3_prefix_list="pl-63a5400a",
            egress_image="000000000000.dkr.ecr.us-east-1.amazonaws.com/freehold-egress:1",
            sandbox_pool=2,
        ) as account:
            file_system = account.deployment.resource("Sandboxes", "AWS::EFS::FileSystem")
            deployment = account.deployment
            deployment.watch(
                "dispatch",
                FREEHOLD_SANDBOX_NETWORK="127.88.0.0/16",
                FREEHOLD_SANDBOX_EGRESS_NETWORK="127.99.0.0/16",
            )
            deployment.watch("workspaces", FREEHOLD_MOUNT_PATH=str(tasks.files(file_system)))
            invoke(account, "slots")
            yield tasks, account


def invoke(account, folder, event=None):
    answer = account.deployment.clients("lambda").invoke(
        FunctionName=account.deployment.function_name(folder),
        Qualifier="live",
        Payload=json.dumps(event or {}).encode(),
    )
    assert "FunctionError" not in answer, answer["Payload"].read()


@pytest.fixture
def account(fargate):
    return fargate[1]


@pytest.fixture
def tasks(fargate):
    return fargate[0]


@pytest.fixture
def client(account):
    return account.client()


def test_tools_run_in_a_task_of_the_session(client, tasks):
    session = begin(client)
    work = (
        bash("echo forty-two > effects.txt"),
        {"tools": [bash("echo one"), bash("echo two")]},
        bash("cat effects.txt"),
        {"say": "It says {result}"},
    )
    events = ask(client, session, *work)
    assert said(events)[-1].startswith("It says forty-two")
    assert [is_error for _, is_error in results(events)] == [False] * len(results(events))
    (task,) = [task for task in tasks.running() if task.slot_id != "egress"]
    (definition,) = tasks.families[f"Freehold-{task.slot_id}"]
    assert definition["executionRoleArn"].startswith("arn:aws:iam::")
    assert task.asked["networkConfiguration"]["awsvpcConfiguration"]["securityGroups"]


def test_a_round_with_a_call_of_the_web_runs_in_the_same_task(account, client, tasks):
    session = begin(client)
    ask(client, session, bash("echo forty-two > answer"))
    events = ask(client, session, {"tools": [bash("cat answer"), NOWHERE]}, {"say": "Done."})
    assert [text.strip() for text, _ in results(events)][1] == "forty-two"
    assert account.workers("run_tools")


def test_a_task_that_dies_under_a_call_is_an_unknown_outcome_and_a_fresh_one_has_the_files(
    client, tasks
):
    session = begin(client)
    before = set(tasks.tasks)
    rounds = script(bash("echo effect >> once.txt; sleep 300"), bash("cat once.txt"))
    client.beta.sessions.events.send(session.id, events=[rounds])
    wait_for(lambda: list(tasks.directory.rglob("once.txt")), seconds=60)
    earlier = [tasks.tasks[arn] for arn in before]
    (task,) = [task for task in tasks.running() if task not in earlier and task.slot_id != "egress"]
    task.end(signal.SIGKILL)
    found = [(text.strip(), is_error) for text, is_error in results(until_idle(client, session))]
    assert found == [(UNKNOWN, True), ("effect", False)]


def test_a_worker_that_dies_under_a_call_repeats_no_effect(account, client, tasks):
    session = begin(client)
    rounds = script(
        bash("echo effect >> twice.txt; while [ ! -e go ]; do sleep 0.1; done; echo done"),
        bash("cat twice.txt"),
    )
    client.beta.sessions.events.send(session.id, events=[rounds])
    (effect,) = wait_for(lambda: list(tasks.directory.rglob("twice.txt")), seconds=60)
    kill(account, "run_turn")
    (effect.parent / "go").touch()
    found = [(text.strip(), is_error) for text, is_error in results(until_idle(client, session))]
    assert found == [("done", False), ("effect", False)]


def test_of_a_deleted_session_no_task_and_no_file_is_left(account, client, tasks):
    session = begin(client)
    ask(client, session, bash("echo marker > marker-of-this-session"))
    (marker,) = tasks.directory.rglob("marker-of-this-session")
    slot_id = marker.parent.name.partition("-")[0]
    client.beta.sessions.delete(session.id)
    account.sweep()
    invoke(account, "slots")
    invoke(account, "slots", {"inventory": True})
    assert not [task for task in tasks.running() if task.slot_id == slot_id]
    assert f"Freehold-{slot_id}" not in tasks.families
    assert not list(tasks.directory.rglob("marker-of-this-session"))
    assert account.stored(slot_id) == []


def test_a_tool_reaches_what_its_environment_grants_and_a_killed_proxy_is_replaced(client, tasks):
    session = begin(client)
    fetch = bash("curl -s -o /dev/null -w %{http_code} --max-time 20 http://ok.example/ || true")
    assert [text for text, _ in results(ask(client, session, fetch))] == ["200"]
    (first,) = [task for task in tasks.running() if task.slot_id == "egress"]
    first.end(signal.SIGKILL)
    assert results(ask(client, session, fetch))[-1] == ("200", False)
    (second,) = [task for task in tasks.running() if task.slot_id == "egress"]
    assert second is not first


def test_an_interrupt_ends_a_tool_that_runs_in_a_task(client):
    session = begin(client)
    client.beta.sessions.events.send(session.id, events=[script(bash("sleep 300"))])
    until(client, session, lambda events: any(e.type == "agent.tool_use" for e in events))
    client.beta.sessions.events.send(session.id, events=[{"type": "user.interrupt"}])
    ((text, is_error),) = results(until_idle(client, session))
    assert is_error
    assert text.startswith("Tool execution was interrupted")


# ---------------------------------------------------------------- permissions, last
@pytest.fixture
def statements(account):
    clients, found = account.deployment.clients, {}
    for folder in FUNCTIONS:
        name = account.deployment.function_name(folder)
        role = clients("lambda").get_function_configuration(FunctionName=name)["Role"]
        found[folder] = statements_of(clients("iam"), role.rpartition("/")[2])
    return found


def test_every_call_is_allowed_by_the_role_of_its_function(account, statements):
    used = {need for call in account.recorded() if "operation" in call for need in needs(call)}
    assert {"slots", "run_turn", "run_tools"} <= {need.function for need in used}
    assert {need for need in used if not allows(statements[need.function], need)} == set()


def test_what_sandboxes_are_allowed_is_used_or_has_its_reason(account, statements):
    used = {
        (need.function, need.action)
        for call in account.recorded()
        if "operation" in call
        for need in needs(call)
    }
    added = {
        (folder, action)
        for folder in ("slots", "dispatch", "workspaces", "run_tools", "run_turn")
        for statement in statements[folder]
        for action in listed(statement["Action"])
        if not action.startswith(("logs:", "xray:"))
        and (folder in {"slots", "dispatch", "workspaces"} or action.startswith(("ecs:", "iam:")))
    } | {
        (folder, action)
        for folder in ("run_tools", "run_turn")
        for action in ("s3:DeleteObject", "lambda:InvokeFunction")
    }
    assert sorted(added - used) == sorted(set().union(*UNUSED.values()))
