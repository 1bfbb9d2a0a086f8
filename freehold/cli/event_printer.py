"""Prints a session's events as they arrive: one line each for a person, or one JSON object each."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, cast

from rich.text import Text

from freehold.cli.terminal import print_json, printable

if TYPE_CHECKING:
    from anthropic.types.beta.sessions import BetaManagedAgentsStreamSessionEvents as Event
    from anthropic.types.beta.sessions.beta_managed_agents_session_status_idle_event import (
        StopReason,
    )
    from rich.console import Console

    from freehold.toolset import JsonObject

_TYPE_WIDTH = 30
_LONGEST_LINE = 160
_MOST_RESULT_LINES = 6
_STYLES = {
    "agent.message": "bold",
    "agent.tool_use": "cyan",
    "agent.custom_tool_use": "cyan",
    "agent.tool_result": "green",
    "user.custom_tool_result": "green",
    "session.error": "red",
}


class EventPrinter:
    """With a console one readable line per event; without one, JSON lines."""

    def __init__(self, screen: Console | None) -> None:
        self._screen = screen
        self._began = time.monotonic()
        self._seen: set[str] = set()

    def created(self, agent_id: str, environment_id: str, session_id: str) -> None:
        """Says which objects the session is made of."""
        if self._screen is None:
            print_json({"agent": agent_id, "environment": environment_id, "session": session_id})
            return
        for kind, name in (
            ("agent", agent_id),
            ("environment", environment_id),
            ("session", session_id),
        ):
            self._screen.print(f"{kind:<12} {name}", style="dim")
        self._screen.print()

    def event(self, event: Event) -> None:
        """Prints one event.

        A queued message comes twice, queued and processed; a person sees it once.
        """
        if self._screen is None:
            print_json(cast("JsonObject", event.to_dict(mode="json")))
            return
        event_id = getattr(event, "id", None)
        if event_id in self._seen:
            return
        if event_id is not None:
            self._seen.add(event_id)
        since = f"{time.monotonic() - self._began:7.2f}s  "
        style = _STYLES.get(event.type, "dim")
        lines = [line[:_LONGEST_LINE] for line in printable(_detail(event)).splitlines()] or [""]
        indent = " " * (len(since) + _TYPE_WIDTH)
        self._screen.print(
            Text(since, style="dim")
            + Text(f"{event.type:<{_TYPE_WIDTH}}", style=style)
            + Text(lines[0])
        )
        for line in lines[1:]:
            self._screen.print(Text(indent + line))


def _detail(event: Event) -> str:
    """What a person wants to know of an event beyond its type."""
    match event.type:
        case "user.message" | "agent.message":
            detail = "\n".join(block.text for block in event.content if block.type == "text")
        case "agent.tool_use" | "agent.custom_tool_use":
            detail = f"{event.name} {json.dumps(event.input, ensure_ascii=False)}"
        case "user.tool_confirmation":
            detail = f"{event.result} {event.tool_use_id}"
        case "agent.tool_result" | "user.custom_tool_result":
            blocks = event.content or ()
            text = "\n".join(block.text for block in blocks if block.type == "text")
            detail = ("error: " if event.is_error else "") + _shortened(text)
        case "session.status_idle":
            detail = _reason(event.stop_reason)
        case "session.error":
            detail = f"{event.error.message} ({event.error.retry_status.type})"
        case "span.model_request_end":
            usage = event.model_usage
            cached = usage.cache_read_input_tokens
            detail = f"{usage.input_tokens} in, {cached} cached, {usage.output_tokens} out"
        case _:
            detail = ""
    return detail


def _reason(reason: StopReason) -> str:
    """Why the session stopped, and for whose answer it waits."""
    return " ".join([reason.type, *getattr(reason, "event_ids", ())])


def _shortened(text: str) -> str:
    lines = text.splitlines()
    if len(lines) <= _MOST_RESULT_LINES:
        return text
    left_out = len(lines) - _MOST_RESULT_LINES
    return "\n".join([*lines[:_MOST_RESULT_LINES], f"({left_out} more lines)"])
