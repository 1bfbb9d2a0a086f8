"""What the functions did, as IAM would have to allow it, against what their roles allow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from tests.e2e.deployment import ACCOUNT, REGION
from tests.infra.templates import listed

KINDS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}
"""A transaction needs the permission of each kind of write in it."""
S3 = {
    "HeadObject": "GetObject",
    "ListObjectsV2": "ListBucket",
    "DeleteObjects": "DeleteObject",
}
"""Where the operation is not named as its action."""


@dataclass(frozen=True)
class Need:
    """One action on one resource, asked by a function."""

    function: str
    action: str
    resource: str
    partition: str = ""
    """Of the table, where one item is written."""


def needs(call: dict[str, Any]) -> set[Need]:
    """What one recorded call needs. Raises KeyError for a service that no function should call."""
    found = _NEEDS[call["service"]](call)
    return {Need(call["function"], *wanted) for wanted in found}


def _dynamodb(call: dict[str, Any]) -> list[tuple[str, ...]]:
    def table(name: str) -> str:
        return f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"

    if "items" in call:
        return [(f"dynamodb:{KINDS[kind]}", table(name), pk) for kind, name, pk in call["items"]]
    if call["tables"]:
        return [(f"dynamodb:{call['operation']}", table(name)) for name in call["tables"]]
    index = f"/index/{call['IndexName']}" if "IndexName" in call else ""
    return [(f"dynamodb:{call['operation']}", table(call["TableName"]) + index)]


def _s3(call: dict[str, Any]) -> list[tuple[str, str]]:
    action = S3.get(call["operation"], call["operation"])
    bucket = f"arn:aws:s3:::{call['Bucket']}"
    if action == "ListBucket":
        return [("s3:ListBucket", bucket)]
    return [(f"s3:{action}", f"{bucket}/{call.get('Key', 'x')}")]


def _connections(call: dict[str, Any]) -> list[tuple[str, str]]:
    method = {"PostToConnection": "POST", "DeleteConnection": "DELETE"}[call["operation"]]
    arn = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{call['api']}/live/{method}/@connections/"
    return [("execute-api:ManageConnections", arn + call["ConnectionId"])]


def _named(action: str, argument: str) -> Any:
    return lambda call: [(f"{action}:{call['operation']}", call.get(argument, "*"))]


def _ecs(call: dict[str, Any]) -> list[tuple[str, str]]:
    operation = call["operation"]
    action = f"ecs:{operation}"
    here = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
    if operation == "RunTask":
        cluster = call["cluster"].rpartition("/")[2]
        return [
            (action, f"{here}:task-definition/{call['taskDefinition']}:1"),
            ("ecs:TagResource", f"{here}:task/{cluster}/x"),
            ("iam:PassRole", "*"),
        ]
    if operation == "RegisterTaskDefinition":
        family = f"{here}:task-definition/{call['family']}:1"
        passed = call["executionRoleArn"]
        return [(action, "*"), ("ecs:TagResource", family), ("iam:PassRole", passed)]
    named = [call["task"]] if "task" in call else call.get("tasks", call.get("taskDefinitions"))
    return [(action, name) for name in named or ["*"]]


def _efs(call: dict[str, Any]) -> list[tuple[str, str]]:
    action = f"elasticfilesystem:{call['operation']}"
    here = f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}"
    if "AccessPointId" in call:
        return [(action, f"{here}:access-point/{call['AccessPointId']}")]
    file_system = f"{here}:file-system/{call['FileSystemId']}"
    tagged = [("elasticfilesystem:TagResource", file_system)]
    return [(action, file_system), *(tagged if action.endswith("CreateAccessPoint") else [])]


def _lambda(call: dict[str, Any]) -> list[tuple[str, str]]:
    return [("lambda:InvokeFunction", call["FunctionName"])]


_NEEDS = {
    "dynamodb": _dynamodb,
    "execute-api": _connections,
    "ecs": _ecs,
    "elasticfilesystem": _efs,
    "lambda": _lambda,
    "s3": _s3,
    "kms": _named("kms", "KeyId"),
    "states": _named("states", "stateMachineArn"),
    "secretsmanager": _named("secretsmanager", "SecretId"),
}


def allows(statements: list[dict[str, Any]], need: Need) -> bool:
    """Whether one of these statements allows it. None of ours denies."""
    return any(
        any(fnmatchcase(need.action, action) for action in listed(statement["Action"]))
        and any(
            need.resource == "*" or fnmatchcase(need.resource, resource)
            for resource in listed(statement["Resource"])
        )
        and _holds(statement.get("Condition"), need)
        for statement in statements
    )


def _holds(condition: Any, need: Need) -> bool:
    """The one condition that there is: on the partition of what is written."""
    if condition is None:
        return True
    ((keys,),) = [list(found) for found in [condition["ForAllValues:StringLike"].items()]]
    assert list(condition) == ["ForAllValues:StringLike"]
    assert keys[0] == "dynamodb:LeadingKeys"
    return any(fnmatchcase(need.partition, pattern) for pattern in listed(keys[1]))


def statements_of(iam: Any, role: str) -> list[dict[str, Any]]:
    """Of the inline policies of a deployed role; its references are resolved."""
    found = []
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        document = json.loads(document) if isinstance(document, str) else document
        assert all(statement["Effect"] == "Allow" for statement in document["Statement"])
        found += document["Statement"]
    return found
