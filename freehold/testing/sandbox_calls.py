"""Calls to a sandbox as tests make them: short to write, and joined until they end."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count

from freehold.errors import SandboxStarting
from freehold.ids import new_id
from freehold.ports import Sandboxes, SandboxRef
from freehold.toolset import Json, ToolCall, ToolResult

THREAD = "sthr_main"
_PATIENCE = 20.0
_START_PATIENCE = 60.0
"""Packages may have to be installed before."""
_numbers = count()


def new_sandbox() -> SandboxRef:
    """The sandbox of a session nobody else has."""
    return SandboxRef("wrkspc_contract", new_id("sesn"))


def call(name: str, thread_id: str = THREAD, **given: Json) -> ToolCall:
    """A call with an event id of its own."""
    return ToolCall(thread_id, f"sevt_{next(_numbers)}", name, given)


def bash(command: str, thread_id: str = THREAD, **given: Json) -> ToolCall:
    return call("bash", thread_id, command=command, **given)


def finish(sandboxes: Sandboxes, sandbox: SandboxRef, boot_id: str, made: ToolCall) -> ToolResult:
    """The result of a call, however often it must be joined."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        result = sandboxes.execute(sandbox, boot_id, made)
        if result is not None:
            return result
    raise AssertionError(f"{made.name} did not end within {_PATIENCE} s")


def booted(sandboxes: Sandboxes, sandbox: SandboxRef) -> str:
    """The boot id, however often it must be asked for."""
    deadline = time.monotonic() + _START_PATIENCE
    while True:
        try:
            return sandboxes.boot(sandbox)
        except SandboxStarting:
            assert time.monotonic() < deadline, f"did not start within {_START_PATIENCE} s"


def run(sandboxes: Sandboxes, sandbox: SandboxRef, made: ToolCall) -> ToolResult:
    """Boots if need be, and carries the call out."""
    return finish(sandboxes, sandbox, booted(sandboxes, sandbox), made)


def text_of(result: ToolResult) -> str:
    """The text of a result that is one block of text."""
    (block,) = result.content
    text = block["text"]
    assert isinstance(text, str)
    return text


def said(sandboxes: Sandboxes, sandbox: SandboxRef, made: ToolCall) -> str:
    """The text of a call that succeeds."""
    result = run(sandboxes, sandbox, made)
    assert not result.is_error, text_of(result)
    return text_of(result)


def failed(sandboxes: Sandboxes, sandbox: SandboxRef, made: ToolCall) -> str:
    """The text of a call that fails."""
    result = run(sandboxes, sandbox, made)
    assert result.is_error, text_of(result)
    return text_of(result)


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "did not come to hold"
        time.sleep(0.01)
