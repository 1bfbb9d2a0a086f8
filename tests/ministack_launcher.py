"""Starts MiniStack, corrected. Runs in `.venv-ministack`; tests/ministack.py calls it.

What it corrects has private names, so the version is pinned and everything that is replaced is
looked for first: a release that has it otherwise stops here. tests/contract/test_ministack.py tells
what is corrected.
"""

from __future__ import annotations

import contextvars
import json
import os
import sys
import threading
from typing import Any

import ministack.app
from ministack.core import lambda_runtime
from ministack.services import apigateway, dynamodb, lambda_svc, stepfunctions

_RAISED = '"status": "error", "error": str(e), "trace"'


def replace(module: Any, name: str, new: Any) -> Any:
    """Puts `new` in the place of what is there; answers the old one."""
    old = getattr(module, name)
    setattr(module, name, new)
    return old


def name_errors() -> None:
    """Lambda answers with the class of the exception as `errorType`, which Retry and Catch match,
    and with `Runtime.ExitError` where the process ended; MiniStack always says HandlerError.
    """
    worker = lambda_runtime._PYTHON_WORKER_SCRIPT
    if worker.count(_RAISED) != 1:
        sys.exit("ministack: the worker reports exceptions in another way")
    named = _RAISED.replace('"error": str(e)', '"error": str(e), "type": type(e).__name__')
    lambda_runtime._PYTHON_WORKER_SCRIPT = worker.replace(_RAISED, named)
    types: dict[str, str] = {}
    """By request: the answer of a worker passes through a function that drops it."""

    def invoke(self: Any, event: Any, request_id: str, **given: Any) -> Any:
        answer = worker_invoke(self, event, request_id, **given)
        if answer.get("status") == "error":
            types[request_id] = answer.get("type", "Runtime.ExitError")
        return answer

    def execute(func: Any, event: Any, request_id: str) -> Any:
        answer = execute_warm(func, event, request_id)
        body, kind = answer.get("body"), types.pop(request_id, None)
        if kind and isinstance(body, dict) and body.get("errorType") == "Runtime.HandlerError":
            body["errorType"] = kind
        return answer

    worker_invoke = replace(lambda_runtime.Worker, "invoke", invoke)
    execute_warm = replace(lambda_svc, "_execute_function_warm", execute)


def fail_callbacks() -> None:
    """A task that waits for a token fails with its function; MiniStack waits on for the token."""
    waiting = threading.local()

    def invoke(resource: Any, data: Any, token: str, state: Any) -> Any:
        waiting.token = token
        try:
            return invoke_with_callback(resource, data, token, state)
        finally:
            del waiting.token

    def call(function: Any, event: Any) -> Any:
        try:
            return call_lambda(function, event)
        except stepfunctions._ExecutionError as error:
            token = getattr(waiting, "token", None)
            if token is not None:
                task = stepfunctions._task_tokens[token]
                task["error"] = {"Error": error.error, "Cause": error.cause}
                task["event"].set()
            raise

    invoke_with_callback = replace(stepfunctions, "_invoke_with_callback", invoke)
    call_lambda = replace(stepfunctions, "_call_lambda", call)


def start_executions_once() -> None:
    """Starting an open execution again, with the same input, answers it as if it began now; only a
    closed one is refused. MiniStack refuses both.
    """

    def start(data: Any) -> Any:
        status, headers, body = start_execution(data)
        refusal = json.loads(body)
        if refusal.get("__type") != "ExecutionAlreadyExists":
            return status, headers, body
        arn = refusal["message"].split("'")[1]
        execution = stepfunctions._executions[arn]
        if execution["status"] != "RUNNING" or execution["input"] != data.get("input", "{}"):
            return status, headers, body
        return stepfunctions.json_response(
            {"executionArn": arn, "startDate": execution["startDate"]}
        )

    start_execution = replace(stepfunctions, "_start_execution", start)


def answer_handshakes() -> None:
    """A client that `$connect` refuses is answered its status and body, and one that it lets in the
    subprotocol that it chose. MiniStack answers every refusal 403, and chooses none.
    """
    answers: contextvars.ContextVar[dict[str, Any]] = contextvars.ContextVar("answers")

    async def invoke(*given: Any, **named: Any) -> Any:
        answer = await invoke_lambda(*given, **named)
        if "CONNECT" in given:
            answers.get()["connect"] = answer
        return answer

    async def handle(scope: Any, receive: Any, send: Any, *given: Any, **named: Any) -> None:
        found: dict[str, Any] = {}
        answers.set(found)

        async def say(message: Any) -> None:
            answer = found.pop("connect", None) or {}
            if message["type"] == "websocket.accept" and answer:
                chosen = answer.get("headers", {}).get("Sec-WebSocket-Protocol")
                message = {**message, "subprotocol": chosen}
            if message["type"] == "websocket.close" and answer:
                await refuse(send, answer)
            else:
                await send(message)

        await handle_websocket(scope, receive, say, *given, **named)

    async def refuse(send: Any, answer: Any) -> None:
        headers = [(n.lower().encode(), v.encode()) for n, v in answer.get("headers", {}).items()]
        start = {"type": "websocket.http.response.start", "status": answer["statusCode"]}
        await send({**start, "headers": headers})
        body = answer.get("body", "").encode()
        await send({"type": "websocket.http.response.body", "body": body})

    invoke_lambda = replace(apigateway, "_invoke_ws_lambda", invoke)
    handle_websocket = replace(apigateway, "handle_websocket", handle)


def stop_waiting_for_logs() -> None:
    """Every invocation that logs nothing waits 50 ms for a line."""

    def drain(self: Any, *_: Any, **__: Any) -> str:
        return str(self._drain_stderr())

    replace(lambda_runtime.Worker, "_drain_stderr_bounded", drain)


def choose_python() -> None:
    """Of the Lambda workers; MiniStack takes the one it runs under itself."""

    def detect(runtime: str) -> tuple[str, str]:
        binary, script = detect_binary(runtime)
        return os.environ["LAMBDA_PYTHON"] if binary == sys.executable else binary, script

    detect_binary = replace(lambda_runtime, "_detect_runtime_binary", detect)


def count_transactions_as_items() -> None:
    """The 4 MB of a transaction are its items'; MiniStack counts the request's JSON, in which a
    byte string is a third longer.
    """
    replace(dynamodb, "_DDB_TXN_MAX_BYTES", dynamodb._DDB_TXN_MAX_BYTES * 3 // 2)


if __name__ == "__main__":
    name_errors()
    count_transactions_as_items()
    fail_callbacks()
    start_executions_once()
    answer_handshakes()
    stop_waiting_for_logs()
    if "LAMBDA_PYTHON" in os.environ:
        choose_python()
    sys.argv = sys.argv[:1]
    ministack.app.main()
