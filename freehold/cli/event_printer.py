"""Prints a session's events as they arrive: one line each for a person, or one JSON object each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from rich.text import Text

from freehold.cli.event_text import STYLES, event_text
from freehold.cli.terminal import print_json, printable

if TYPE_CHECKING:
    from anthropic.types.beta.sessions import BetaManagedAgentsStreamSessionEvents as Event
    from rich.console import Console

    from freehold.toolset import JsonObject

_TYPE_WIDTH = 30
_LONGEST_LINE = 160


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
        body = cast("JsonObject", event.to_dict(mode="json"))
        if self._screen is None:
            print_json(body)
            return
        event_id = getattr(event, "id", None)
        if event_id in self._seen:
            return
        if event_id is not None:
            self._seen.add(event_id)
        since = f"{time.monotonic() - self._began:7.2f}s  "
        style = STYLES.get(event.type, "dim")
        lines = [line[:_LONGEST_LINE] for line in printable(event_text(body)).splitlines()] or [""]
        indent = " " * (len(since) + _TYPE_WIDTH)
        self._screen.print(
            Text(since, style="dim")
            + Text(f"{event.type:<{_TYPE_WIDTH}}", style=style)
            + Text(lines[0])
        )
        for line in lines[1:]:
            self._screen.print(Text(indent + line))
