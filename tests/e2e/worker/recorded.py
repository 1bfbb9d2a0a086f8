"""The deployed entry points, watched: on the `PYTHONPATH` of the emulator's Lambda workers.

The handler `recorded.run_turn` is `functions.run_turn.index.handler` as it was deployed, with two
differences: each call of AWS is written to a file before it is sent, and sandboxes are processes
that outlive the workers, as tasks would: behind the port, or where there are tasks behind ECS.
"""

from __future__ import annotations

import importlib
import json
import os
from http.client import HTTPConnection
from types import SimpleNamespace
from typing import Any

_DIRECTORY = os.environ["E2E_DIRECTORY"]
_ABOUT = (
    *("TableName", "IndexName", "Bucket", "Key", "KeyId", "SecretId", "stateMachineArn", "name"),
    "ConnectionId",
    *("FunctionName", "FileSystemId", "AccessPointId"),
    *("cluster", "task", "taskDefinition", "family", "executionRoleArn"),
)


def __getattr__(folder: str) -> Any:
    """The handler of a folder of `functions/`."""
    if folder.startswith("_"):
        raise AttributeError(folder)
    write_line({"function": folder, "pid": os.getpid()})
    record_calls(folder)
    if "E2E_FARGATE_PORT" in os.environ:
        _redirect_fargate()
    elif folder in {"run_turn", "run_tools"}:
        _give_it_a_sandbox()
    return importlib.import_module(f"functions.{folder}.index").handler


def record_calls(folder: str) -> None:
    """From now on, in this process."""
    import botocore.handlers

    def record(params: dict[str, Any], model: Any, **_: Any) -> None:
        call = {name: params[name] for name in _ABOUT if isinstance(params.get(name), str)}
        for item in params.get("TransactItems", ()):
            ((kind, write),) = item.items()
            place = write.get("Key") or write["Item"]
            call.setdefault("items", []).append([kind, write["TableName"], place["pk"]["S"]])
        for name in ("tasks", "taskDefinitions"):
            if name in params:
                call[name] = list(params[name])
        call["tables"] = list(params.get("RequestItems", ()))
        service = model.service_model.signing_name
        if service == "execute-api":
            call["api"] = os.environ["FREEHOLD_CONNECTIONS_URL"].split("/")[-2]
        write_line({"function": folder, "service": service, "operation": model.name, **call})

    botocore.handlers.BUILTIN_HANDLERS.append(("before-parameter-build", record))


def _redirect_fargate() -> None:
    """Calls of ECS and EFS are answered by another process (tests/e2e/fargate_host.py)."""
    import botocore.handlers

    def note(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["asked"] = dict(params)

    def answer(model: Any, context: dict[str, Any], **_: Any) -> Any:
        connection = HTTPConnection("127.0.0.1", int(os.environ["E2E_FARGATE_PORT"]), timeout=60)
        try:
            asked = {"operation": model.name, "asked": context["asked"]}
            connection.request("POST", "/", json.dumps(asked))
            found = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "answer" in found:
            return SimpleNamespace(status_code=200), found["answer"]
        code, status, fields = found["refused"]
        error = {"Error": {"Code": code, "Message": "said the test"}}
        metadata = {"ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "none"}}
        return SimpleNamespace(status_code=status), error | metadata | fields

    for service in ("ecs", "efs"):
        botocore.handlers.BUILTIN_HANDLERS.append((f"before-parameter-build.{service}", note))
        botocore.handlers.BUILTIN_HANDLERS.append((f"before-call.{service}", answer))


def _give_it_a_sandbox() -> None:
    from loopback_sandboxes import LoopbackSandboxes

    from freehold import bootstrap_aws

    bootstrap_aws.NoSandbox = LoopbackSandboxes


def write_line(line: dict[str, Any], file: str = "calls.jsonl") -> None:
    """A line is one write, so that workers do not mix theirs."""
    descriptor = os.open(f"{_DIRECTORY}/{file}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, json.dumps(line).encode() + b"\n")
    finally:
        os.close(descriptor)
