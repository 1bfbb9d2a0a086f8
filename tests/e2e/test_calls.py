"""What the functions called on AWS during the other tests of this folder, against their roles."""

from __future__ import annotations

import pytest

from tests.e2e.deployment import ACCOUNT, REGION
from tests.e2e.policies import Need, allows, needs, statements_of
from tests.infra.templates import ALWAYS, listed

TELEMETRY = ("logs:", "xray:")
UNUSED = {
    "Lambda itself reads the stream with the role of the function that it calls.": {
        (folder, f"dynamodb:{action}")
        for folder in ("wake", "fan_out")
        for action in ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")
    },
    "Lambda itself tells the queue of records that it gives up, with the same role.": {
        ("fan_out", "sqs:GetQueueAttributes"),
        ("fan_out", "sqs:GetQueueUrl"),
        ("fan_out", "sqs:SendMessage"),
    },
    "S3 says that a blob is absent only to who may list; to others it is forbidden.": {
        ("api", "s3:ListBucket"),
        ("fan_out", "s3:ListBucket"),
        ("websocket", "s3:ListBucket"),
        ("run_tools", "s3:ListBucket"),
        ("run_turn", "s3:ListBucket"),
        ("stream", "s3:ListBucket"),
    },
    "The first seal of an installation makes the key; whoever settles first makes it.": {
        ("api", "kms:GenerateDataKey"),
        ("websocket", "kms:GenerateDataKey"),
        ("reaper", "kms:GenerateDataKey"),
        ("run_tools", "kms:GenerateDataKey"),
    },
    "A run released for the last time settles, and a settled feed is sealed.": {
        ("reaper", "kms:Decrypt"),
    },
    "An interrupt sent to a parked thread settles it, and a settled feed is sealed.": {
        ("websocket", "kms:Decrypt"),
    },
    "The commit of a release may be too large for an item, as any may.": {
        ("reaper", "s3:GetObject"),
        ("reaper", "s3:PutObject"),
    },
    "The results of tools and the snapshot of an agent may be too large for an item.": {
        ("run_tools", "s3:GetObject"),
        ("run_tools", "s3:PutObject"),
        ("websocket", "s3:GetObject"),
        ("websocket", "s3:PutObject"),
    },
    "The sweep finishes what an interrupt of many threads has begun.": {
        ("reaper", "dynamodb:UpdateItem"),
    },
    "A leg of 400 turns starts its successor, and an interrupt with a message the next run.": {
        ("run_tools", "states:StartExecution"),
        ("run_turn", "states:StartExecution"),
    },
}
"""Permissions that no test here uses, by the reason why their functions have them."""


@pytest.fixture(scope="module")
def statements(account):
    """Of each function's role, as deployed."""
    clients = account.deployment.clients
    found = {}
    for folder in ALWAYS:
        name = account.deployment.function_name(folder)
        role = clients("lambda").get_function_configuration(FunctionName=name)["Role"]
        found[folder] = statements_of(clients("iam"), role.rpartition("/")[2])
    # Its stack is not deployed; tests/infra/test_stream_service.py has it that they are the same.
    found["service"] = found["api"]
    return found


@pytest.fixture(scope="module")
def used(account):
    return {need for call in account.recorded() if "operation" in call for need in needs(call)}


def test_a_policy_is_read_as_iam_would():
    table = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/t"
    statement = {"Action": "dynamodb:GetItem", "Resource": [table]}
    assert allows([statement], Need("api", "dynamodb:GetItem", table))
    assert not allows([statement], Need("api", "dynamodb:PutItem", table))
    assert not allows([statement], Need("api", "dynamodb:GetItem", table + "/index/due"))
    assert not allows([], Need("api", "dynamodb:GetItem", table))
    leading = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["*/listeners/*"]}}
    statement = {"Action": "dynamodb:PutItem", "Resource": table, "Condition": leading}
    assert allows([statement], Need("api", "dynamodb:PutItem", table, "w/listeners/t"))
    assert not allows([statement], Need("api", "dynamodb:PutItem", table, "w/feed/t"))


def test_every_call_is_allowed_by_the_role_of_its_function(used, statements):
    assert {need.function for need in used} == {*ALWAYS, "service"}
    refused = {need for need in used if not allows(statements[need.function], need)}
    assert refused == set()


def test_what_is_allowed_is_used_or_has_its_reason(used, statements):
    idle = {
        (folder, action)
        for folder, found in statements.items()
        if folder != "service"
        for statement in found
        for action in listed(statement["Action"])
        if not action.startswith(TELEMETRY)
    } - {(need.function, need.action) for need in used}
    assert sorted(idle) == sorted(set().union(*UNUSED.values()))
