"""Task definitions and tasks: the calls of ECS that sandboxes need."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError  # type: ignore[import-untyped]  # publishes no types

from freehold.adapters.aws_answers import answered, code
from freehold.adapters.fargate_sandbox.fleet import Blueprint, Fleet
from freehold.adapters.fargate_sandbox.slot import DIRECTORIES, Slot
from freehold.errors import Unavailable
from freehold.toolset import JsonObject

CONTAINER = "sandbox"
SLOT_TAG = "freehold:slot"
INSTALLATION_TAG = "installation"
"""As the stacks tag what they make: by it an operator finds what is left."""
_SLOT = "slot_"
"""Begins the ids of slots."""
_BATCH = 100
_DELETED_AT_ONCE = 10
_STOP_SECONDS = 5
_NEEDLESS = (
    *("AUDIT_WRITE", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "NET_BIND_SERVICE"),
    *("NET_RAW", "SETFCAP", "SETPCAP", "SYS_CHROOT"),
)
"""Of the capabilities that a container has by itself. The supervisor keeps CHOWN, KILL, SETGID and
SETUID: it starts tools as another user, and kills them.
"""
_GONE = {"InvalidParameterException", "ClientException"}
_CONCURRENT = "Too many concurrent attempts"


class NotStarted(Exception):
    """ECS takes the request and starts nothing: no capacity, or a definition that cannot run."""


@dataclass(frozen=True, slots=True)
class Task:
    """What ECS says of one. `address` is empty until it has one."""

    arn: str
    slot_id: str
    is_stopped: bool
    is_running: bool
    address: str


@dataclass(frozen=True, slots=True)
class Start:
    """What to start: the boot of a slot, or of what else is a task. `network` is its
    `awsvpcConfiguration`.
    """

    slot_id: str
    boot_id: str
    family: str
    container: str
    network: dict[str, Any]


class Tasks:
    """Every method raises Unavailable when ECS is too busy or does not answer: what was asked for
    may have been done then.
    """

    def __init__(self, client: Any, fleet: Fleet) -> None:
        """`client` is boto3's for ECS. Sends nothing yet."""
        self._client = client
        self._fleet = fleet

    # ------------------------------------------------------------ tasks
    def run(self, slot: Slot, settings: JsonObject) -> str:
        """The ARN of the slot's task for its boot id, started by the first of these calls; the
        others are answered the same. Raises NotStarted, also where ECS refuses the request.
        """
        network = {
            "subnets": list(self._fleet.subnets),
            "securityGroups": [self._fleet.security_group],
            "assignPublicIp": "DISABLED",
        }
        family = self._family(slot.slot_id)
        return self.start(Start(slot.slot_id, slot.boot_id, family, CONTAINER, network), settings)

    def start(self, start: Start, settings: JsonObject) -> str:
        """As `run`, of any family."""
        try:
            answer = self._run(start, settings)
        except ClientError as error:
            raise NotStarted(str(error)) from error
        for task in answer["tasks"]:
            arn: str = task["taskArn"]
            return arn
        reasons = "; ".join(str(one.get("reason")) for one in answer.get("failures", ()))
        raise NotStarted(reasons or "no task and no reason")

    def look(self, arn: str) -> Task | None:
        """None where ECS knows it no more, an hour after it stopped."""
        found = self._described([arn])
        return found[0] if found else None

    def stop(self, arn: str) -> None:
        """Begins to stop it; no-op for one that has stopped or is forgotten."""
        try:
            with _answered():
                self._client.stop_task(cluster=self._fleet.cluster, task=arn, reason="Freehold")
        except ClientError as error:
            if code(error) not in _GONE:
                raise

    def running(self) -> list[Task]:
        """Every task of the cluster that was not stopped."""
        with _answered():
            pages = self._client.get_paginator("list_tasks").paginate(
                cluster=self._fleet.cluster, desiredStatus="RUNNING"
            )
            arns = [arn for page in pages for arn in page["taskArns"]]
        return [task for some in _batches(arns, _BATCH) for task in self._described(some)]

    # ------------------------------------------------------------ definitions
    def register(self, slot: Slot, blueprint: Blueprint) -> None:
        """The slot's family. Registered once more it has one more revision, of the same content."""
        with _answered():
            self._client.register_task_definition(
                family=self._family(slot.slot_id),
                tags=self._tags(slot.slot_id),
                **_definition(slot, blueprint, self._fleet.port),
            )

    def deregister(self, slot_id: str) -> None:
        """Every revision of the slot's family goes; no-op where there is none."""
        for status in ("ACTIVE", "INACTIVE"):
            arns = self._revisions(slot_id, status)
            for arn in arns if status == "ACTIVE" else ():
                with _answered():
                    self._client.deregister_task_definition(taskDefinition=arn)
            for some in _batches(arns, _DELETED_AT_ONCE):
                with _answered():
                    self._client.delete_task_definitions(taskDefinitions=list(some))

    def families(self) -> Iterator[str]:
        """The ids of slots that have a family. Other families may begin with the installation's
        name: that of the proxy, and those of an installation whose name is longer.
        """
        prefix = self._family("")
        with _answered():
            pages = self._client.get_paginator("list_task_definition_families").paginate(
                familyPrefix=self._family(_SLOT), status="ACTIVE"
            )
            for page in pages:
                for family in page["families"]:
                    yield family.removeprefix(prefix)

    # ------------------------------------------------------------ parts
    def _run(self, start: Start, settings: JsonObject) -> Any:
        command = {"name": start.container, "command": [json.dumps(settings)]}
        with _answered():
            return self._client.run_task(
                cluster=self._fleet.cluster,
                taskDefinition=start.family,
                launchType="FARGATE",
                platformVersion="1.4.0",
                count=1,
                clientToken=start.boot_id,
                startedBy=start.slot_id,
                enableExecuteCommand=False,
                networkConfiguration={"awsvpcConfiguration": start.network},
                overrides={"containerOverrides": [command]},
                tags=self._tags(start.slot_id),
            )

    def _family(self, slot_id: str) -> str:
        return f"{self._fleet.family_prefix}-{slot_id}"

    def _tags(self, slot_id: str) -> list[dict[str, str]]:
        named = {SLOT_TAG: slot_id, INSTALLATION_TAG: self._fleet.family_prefix}
        return [{"key": name, "value": value} for name, value in named.items()]

    def _revisions(self, slot_id: str, status: str) -> list[str]:
        with _answered():
            pages = self._client.get_paginator("list_task_definitions").paginate(
                familyPrefix=self._family(slot_id), status=status
            )
            return [arn for page in pages for arn in page["taskDefinitionArns"]]

    def _described(self, arns: Sequence[str]) -> list[Task]:
        with _answered():
            answer = self._client.describe_tasks(
                cluster=self._fleet.cluster, tasks=list(arns), include=["TAGS"]
            )
        return [_task(found) for found in answer["tasks"]]


@contextmanager
def _answered() -> Iterator[None]:
    """`answered`, and what ECS calls by another name: two registrations of one family at once."""
    try:
        with answered("ECS"):
            yield
    except ClientError as error:
        if _CONCURRENT in str(error):
            raise Unavailable("ECS is too busy.", retry_after=1) from error
        raise


def _task(found: Any) -> Task:
    details = [
        detail["value"]
        for attachment in found.get("attachments", ())
        for detail in attachment.get("details", ())
        if detail.get("name") == "privateIPv4Address"
    ]
    tags = {tag["key"]: tag["value"] for tag in found.get("tags", ())}
    return Task(
        arn=found["taskArn"],
        slot_id=tags.get(SLOT_TAG, found.get("startedBy", "")),
        is_stopped=found["lastStatus"] == "STOPPED",
        is_running=found["lastStatus"] == "RUNNING",
        address=details[0] if details else "",
    )


def _batches(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]


def _definition(slot: Slot, blueprint: Blueprint, port: int) -> dict[str, Any]:
    """No task role: what runs in there can ask AWS for nothing."""
    return {
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": str(blueprint.cpu),
        "memory": str(blueprint.memory_mib),
        "ephemeralStorage": {"sizeInGiB": blueprint.disk_gib},
        "runtimePlatform": {
            "cpuArchitecture": blueprint.architecture.upper(),
            "operatingSystemFamily": "LINUX",
        },
        "executionRoleArn": blueprint.execution_role,
        "volumes": [
            _volume(name, slot.file_system, access_point)
            for name, access_point in zip(DIRECTORIES, slot.access_points, strict=True)
        ],
        "containerDefinitions": [_container(blueprint, port)],
    }


def _volume(name: str, file_system: str, access_point: str) -> dict[str, Any]:
    return {
        "name": name,
        "efsVolumeConfiguration": {
            "fileSystemId": file_system,
            "transitEncryption": "ENABLED",
            "authorizationConfig": {"accessPointId": access_point, "iam": "DISABLED"},
        },
    }


def _container(blueprint: Blueprint, port: int) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "image": blueprint.image,
        "essential": True,
        "portMappings": [{"containerPort": port, "protocol": "tcp"}],
        "mountPoints": [
            {"sourceVolume": name, "containerPath": path, "readOnly": False}
            for name, path in DIRECTORIES.items()
        ],
        "linuxParameters": {
            "capabilities": {"drop": list(_NEEDLESS)},
            "initProcessEnabled": True,  # adopts the relay, which is no child of the supervisor
        },
        "stopTimeout": _STOP_SECONDS,
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": blueprint.log_group,
                "awslogs-region": blueprint.region,
                "awslogs-stream-prefix": CONTAINER,
            },
        },
    }
