"""An event in a line or a few: what a person wants to know of it beyond its type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freehold.toolset import JsonObject

_MOST_RESULT_LINES = 6
STYLES = {
    "agent.message": "bold",
    "agent.tool_use": "cyan",
    "agent.custom_tool_use": "cyan",
    "agent.tool_result": "green",
    "user.custom_tool_result": "green",
    "session.error": "red",
}


def event_text(body: JsonObject) -> str:
    """Of an event of the API, as JSON has it."""
    event: Any = body
    match event["type"]:
        case "user.message" | "agent.message":
            detail = _words(event)
        case "agent.tool_use" | "agent.custom_tool_use":
            detail = f"{event['name']} {json.dumps(event['input'], ensure_ascii=False)}"
        case "user.tool_confirmation":
            detail = f"{event['result']} {event['tool_use_id']}"
        case "agent.tool_result" | "user.custom_tool_result":
            detail = ("error: " if event.get("is_error") else "") + shortened(_words(event))
        case "session.status_idle":
            reason = event["stop_reason"]
            detail = " ".join([reason["type"], *reason.get("event_ids", ())])
        case "session.error":
            error = event["error"]
            detail = f"{error['message']} ({error['retry_status']['type']})"
        case "span.model_request_end":
            usage = event["model_usage"]
            cached = usage["cache_read_input_tokens"]
            detail = f"{usage['input_tokens']} in, {cached} cached, {usage['output_tokens']} out"
        case _:
            detail = ""
    return detail


def shortened(text: str) -> str:
    """Its first lines, and how many were left out."""
    lines = text.splitlines()
    if len(lines) <= _MOST_RESULT_LINES:
        return text
    left_out = len(lines) - _MOST_RESULT_LINES
    return "\n".join([*lines[:_MOST_RESULT_LINES], f"({left_out} more lines)"])


def _words(event: Any) -> str:
    blocks = event.get("content") or ()
    kinds = {"text": "text", "redacted": "type"}
    return "\n".join(b[kinds[b["type"]]] for b in blocks if b["type"] in kinds)
