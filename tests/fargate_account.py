"""ECS and EFS as far as sandboxes need them: clients that are boto3's own, checked against AWS's
description of each call, and behind `RunTask` a real supervisor in a process of its own.

A task listens on an address of its own in 127.0.0.0/8, as a task in a network would.
"""

from __future__ import annotations

import copy
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import boto3
from botocore import xform_name
from botocore.validate import ParamValidator

from freehold.adapters.subprocess_sandbox import programs
from sandbox_task import settings as supervisor_settings
from tests.ministack import ACCOUNT, CREDENTIALS, REGION

PORT = 18080
RELAY_PORT = 3127
FILE_SYSTEM = "fs-00000001"
_numbers = count(1)


class Refused(Exception):
    """An error of AWS: its code, and more fields of the answer."""

    def __init__(self, code, status=400, **fields):
        super().__init__(code)
        self.code, self.status, self.fields = code, status, fields


@dataclass(eq=False)
class Task:
    """One that was asked for. Without a process it has not come to run, or never will."""

    arn: str
    slot_id: str
    token: str
    asked: dict
    address: str
    process: subprocess.Popen | None = None
    looks: int = 0
    looks_left: int | None = None
    """Until it has stopped; None where nobody told it to."""
    is_stopped: bool = False

    def end(self, how=signal.SIGTERM):
        """Waits for its end: of the process, and of all that it started."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.is_stopped = True


@dataclass
class Account:
    """What there is of ECS, EFS and Lambda. Tests look at it and break it."""

    directory: Path
    port: int = PORT
    tasks: dict = field(default_factory=dict)
    families: dict = field(default_factory=dict)
    access_points: dict = field(default_factory=dict)
    functions: dict = field(default_factory=dict)
    calls: list = field(default_factory=list)
    looks_until_running: int = 0
    looks_until_stopped: int = 0
    refuse: list = field(default_factory=list)
    """(operation, code) in turn: the next such call is refused instead."""
    lose: list = field(default_factory=list)
    """Operations whose next call is carried out and answered with 500."""
    internet: dict = field(default_factory=dict)
    """What the egress proxy finds there: tests/egress_task.py."""
    has_processes: bool = True
    """Else a task is only said to run, and `listening` answers for its supervisor."""
    visible: list = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    # ------------------------------------------------------------ clients
    def client(self, service):
        made = boto3.client(service, region_name=REGION, **CREDENTIALS)
        made.meta.events.register("before-parameter-build", self._note)
        made.meta.events.register("before-call", self._answer)
        return made

    @staticmethod
    def _note(params, context, **_):
        context["asked"] = copy.deepcopy(params)

    def _answer(self, model, context, **_):
        try:
            answer = self.answer(model.name, context["asked"])
        except Refused as refused:
            error = {"Error": {"Code": refused.code, "Message": "said the test"}}
            metadata = {"ResponseMetadata": {"HTTPStatusCode": refused.status, "RequestId": "1"}}
            return SimpleNamespace(status_code=refused.status), error | metadata | refused.fields
        if model.output_shape is not None:
            report = ParamValidator().validate(answer, model.output_shape)
            assert not report.has_errors(), report.generate_report()
        return SimpleNamespace(status_code=200), answer

    def answer(self, operation, asked):
        """The parsed answer to a call. Raises Refused."""
        if operation == "Invoke":
            return self.invoke(asked)
        with self.lock:
            self.calls.append((operation, asked))
            for refusal in self.refuse:
                if refusal[0] == operation:
                    self.refuse.remove(refusal)
                    raise Refused(refusal[1])
            answer = getattr(self, xform_name(operation))(asked)
            if operation in self.lose:
                self.lose.remove(operation)
                raise Refused("InternalServerError", 500)
            return answer

    def invoke(self, asked):
        handler = self.functions[asked["FunctionName"]]
        try:
            answer = handler(json.loads(asked["Payload"]), None)
        except Exception as error:  # noqa: BLE001 - as Lambda
            body = json.dumps({"errorType": type(error).__name__}).encode()
            return {"StatusCode": 200, "FunctionError": "Unhandled", "Payload": io.BytesIO(body)}
        if asked.get("InvocationType") == "Event":
            return {"StatusCode": 202, "Payload": io.BytesIO(b"")}
        return {"StatusCode": 200, "Payload": io.BytesIO(json.dumps(answer).encode())}

    # ------------------------------------------------------------ ECS
    def register_task_definition(self, asked):
        revisions = self.families.setdefault(asked["family"], [])
        arn = (
            f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{asked['family']}:{len(revisions) + 1}"
        )
        revisions.append({"arn": arn, "status": "ACTIVE", **asked})
        return {"taskDefinition": {"taskDefinitionArn": arn}}

    def list_task_definition_families(self, asked):
        return {
            "families": [
                family
                for family, revisions in self.families.items()
                if family.startswith(asked["familyPrefix"])
                and any(revision["status"] == "ACTIVE" for revision in revisions)
            ]
        }

    def list_task_definitions(self, asked):
        revisions = self.families.get(asked["familyPrefix"], [])
        found = [r["arn"] for r in revisions if r["status"] == asked["status"]]
        return {"taskDefinitionArns": found}

    def deregister_task_definition(self, asked):
        self._revision(asked["taskDefinition"])["status"] = "INACTIVE"
        return {"taskDefinition": {"taskDefinitionArn": asked["taskDefinition"]}}

    def delete_task_definitions(self, asked):
        for arn in asked["taskDefinitions"]:
            revision = self._revision(arn)
            assert revision["status"] == "INACTIVE"
            self.families[revision["family"]].remove(revision)
            if not self.families[revision["family"]]:
                del self.families[revision["family"]]
        return {}

    def _revision(self, arn):
        every = [r for revisions in self.families.values() for r in revisions]
        return next(revision for revision in every if revision["arn"] == arn)

    def run_task(self, asked):
        for task in self.tasks.values():
            if task.token == asked["clientToken"]:
                if task.asked != asked:
                    raise Refused("ConflictException")
                return {"tasks": [self._described(task)], "failures": []}
        if not self.families.get(asked["taskDefinition"]):
            raise Refused("ClientException")
        definition = self.families[asked["taskDefinition"]][-1]
        number = next(_numbers)
        network = 99 if asked["startedBy"] == "egress" else 88
        task = Task(
            arn=f"{asked['cluster'].replace(':cluster/', ':task/')}/{number}",
            slot_id=asked["startedBy"],
            token=asked["clientToken"],
            asked=asked,
            address=f"127.{network}.{number // 200}.{number % 200 + 1}",
        )
        self.tasks[task.arn] = task
        (override,) = asked["overrides"]["containerOverrides"]
        (argument,) = override["command"]
        start = self._start_proxy if override["name"] == "egress" else self._start
        task.process = start(task, definition, json.loads(argument))
        return {"tasks": [self._described(task)], "failures": []}

    def _start_proxy(self, task, _definition, given):
        """The egress proxy as its image would run it, on an address of its own, with names and
        addresses of the test's.
        """
        assert task.asked["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"] == (
            "ENABLED"
        )
        settings = dict(given)
        for name in ("control", "listen"):
            host, _, port = given[name].rpartition(":")
            assert host == "0.0.0.0"
            settings[name] = f"{task.address}:{port}"
        return subprocess.Popen(
            [sys.executable, "-m", "tests.egress_task", json.dumps(settings)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "EGRESS_INTERNET": json.dumps(self.internet)},
            cwd=Path(__file__).parents[1],
            start_new_session=True,
        )

    def _start(self, task, definition, given):
        """The supervisor as its image would run it, but for what takes a container."""
        told = supervisor_settings.parse(json.dumps(given))
        assert (told.identity, told.listen, told.ends_with) == (
            "user",
            f"0.0.0.0:{self.port}",
            "signal",
        )
        state = self.directory / "tasks" / told.boot_id
        (state / "results").mkdir(parents=True, exist_ok=True)
        for name in ("uploads", "packages", "tmp"):
            (state / name).mkdir(exist_ok=True)
        places = {"uploads": str(state / "uploads"), "results": str(state / "results")}
        places["temporary"] = str(state / "tmp")
        for volume in definition["volumes"]:
            mounted = self._mounted(volume)
            if mounted is None:  # as a task whose volume cannot be mounted
                task.is_stopped = True
                return None
            places[volume["name"]] = str(mounted)
        if not self.has_processes:
            return None
        settings = {
            **given,
            "identity": "none",
            "packages": str(state / "packages"),
            "state": str(state),
            "listen": f"{task.address}:{self.port}",
            "relay": f"{task.address}:{RELAY_PORT}",
            "egress": given["egress"] and self._visible(),
            "tool_host": programs.on_host("sandbox_task.tool_host"),
            "environment": programs.tool_environment(
                os.environ["PATH"], places["workspace"], "/tmp"
            ),
            "places": places,
        }
        with (state / "stderr").open("wb") as stderr:
            return subprocess.Popen(
                [*programs.on_host("sandbox_task.__main__"), json.dumps(settings)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env={"LANG": "C.UTF-8"},
                cwd="/",
                start_new_session=True,
            )

    def _visible(self):
        """A directory that the relay can read, which is nobody: the test's own are for nobody."""
        path = tempfile.mkdtemp(prefix="egress-")
        self.visible.append(path)
        Path(path).chmod(0o755)
        return path

    def _mounted(self, volume):
        efs = volume["efsVolumeConfiguration"]
        point = self.access_points.get(efs["authorizationConfig"]["accessPointId"])
        if point is None or efs["transitEncryption"] != "ENABLED":
            return None
        root = self.files(efs["fileSystemId"]) / point["RootDirectory"]["Path"].strip("/")
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return root

    def files(self, file_system=FILE_SYSTEM):
        """The top of a file system."""
        root = self.directory / file_system
        root.mkdir(exist_ok=True)
        return root

    def describe_tasks(self, asked):
        found = [self.tasks[arn] for arn in asked["tasks"] if arn in self.tasks]
        missing = [arn for arn in asked["tasks"] if arn not in self.tasks]
        for task in found:
            task.looks += 1
            if task.looks_left is not None:
                task.looks_left -= 1
                if task.looks_left < 0:
                    task.end()
        return {
            "tasks": [self._described(task) for task in found],
            "failures": [{"arn": arn, "reason": "MISSING"} for arn in missing],
        }

    def _described(self, task):
        if task.process is not None and task.process.poll() is not None:
            task.is_stopped = True
        is_running = task.looks > self.looks_until_running
        status = "STOPPED" if task.is_stopped else "RUNNING" if is_running else "PENDING"
        address = [{"name": "privateIPv4Address", "value": task.address}] if is_running else []
        return {
            "taskArn": task.arn,
            "lastStatus": status,
            "startedBy": task.slot_id,
            "tags": task.asked["tags"],
            "attachments": [{"type": "ElasticNetworkInterface", "details": address}],
        }

    def stop_task(self, asked):
        if asked["task"] not in self.tasks:
            raise Refused("InvalidParameterException")
        task = self.tasks[asked["task"]]
        if self.looks_until_stopped and task.looks_left is None:
            task.looks_left = self.looks_until_stopped
        elif not self.looks_until_stopped:
            task.end()
        return {"task": self._described(self.tasks[asked["task"]])}

    def list_tasks(self, asked):
        for task in self.tasks.values():
            self._described(task)
        return {"taskArns": [arn for arn, task in self.tasks.items() if not task.is_stopped]}

    # ------------------------------------------------------------ EFS
    def create_access_point(self, asked):
        for identity, point in self.access_points.items():
            if point["ClientToken"] == asked["ClientToken"]:
                known = {"ErrorCode": "AccessPointAlreadyExists", "AccessPointId": identity}
                raise Refused("AccessPointAlreadyExists", 409, **known)
        identity = f"fsap-{next(_numbers):017x}"
        self.access_points[identity] = {**asked, "AccessPointId": identity}
        return {"AccessPointId": identity}

    def describe_access_points(self, asked):
        points = [p for p in self.access_points.values() if asked["FileSystemId"] in str(p)]
        return {"AccessPoints": points}

    def delete_access_point(self, asked):
        if self.access_points.pop(asked["AccessPointId"], None) is None:
            raise Refused("AccessPointNotFound", 404)
        return {}

    # ------------------------------------------------------------ the end
    def running(self):
        return [task for task in self.tasks.values() if not task.is_stopped]

    def listening(self, event, _context):
        """`dispatch`, where tasks have no processes."""
        task = next(task for task in self.tasks.values() if task.address == event["address"])
        if task.is_stopped:
            return {"unreachable": "ConnectionRefusedError"}
        health = json.dumps({"session_id": task.slot_id, "boot_id": task.token}).encode()
        return {"status": 200, "body": b64encode(health).decode()}

    def close(self):
        for task in self.tasks.values():
            task.end(signal.SIGKILL)
        for path in self.visible:
            shutil.rmtree(path, ignore_errors=True)
