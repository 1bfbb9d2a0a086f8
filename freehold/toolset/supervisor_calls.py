"""What the server asks of a supervisor and how it reads the answer, over whatever line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.errors import SandboxLost, ToolError
from freehold.toolset.results import parse_result

if TYPE_CHECKING:
    from freehold.toolset import JsonObject, ToolCall, ToolResult

_OK, _CONFLICT = 200, 409


def named(call: ToolCall) -> JsonObject:
    """The call as `/cancel` takes it."""
    return {"thread_id": call.thread_id, "event_id": call.event_id, "digest": call.digest}


def asked(call: ToolCall, wait: float) -> JsonObject:
    """The call as `/execute` takes it; `wait` is in seconds."""
    return {**named(call), "name": call.name, "input": call.input, "wait": wait}


def outcome(status: int, answer: JsonObject) -> ToolResult | None:
    """What an answer to `/execute` says; None while the call runs. Raises SandboxLost and
    ToolError.
    """
    if status == _OK:
        return None if answer.get("status") == "running" else parse_result(answer)
    if status == _CONFLICT and answer.get("error") == "digest":
        raise ToolError("A call of this id was made before, with another input.")
    raise SandboxLost("The sandbox refused the call.")
