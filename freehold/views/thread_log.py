"""A thread's log as it was read, which every view is a fold of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freehold.ids import parse_timestamp

if TYPE_CHECKING:
    from freehold.domain.entry import Entry
    from freehold.toolset import JsonObject


@dataclass(frozen=True, slots=True)
class ThreadLog:
    """`entries` are oldest first. `parent_id` is None for the session's first thread."""

    thread_id: str
    parent_id: str | None
    agent_name: str
    entries: Sequence[Entry]


def text_of(event: JsonObject) -> str:
    """The words of an event's content; of an erased one `[erased]`, and nothing of images."""
    content = event.get("content")
    blocks = [b for b in content if isinstance(b, dict)] if isinstance(content, list) else []
    words = {"text": "text", "redacted": ""}
    found = [str(b.get("text", "[erased]")) for b in blocks if b.get("type") in words]
    return "\n".join(found)


def seconds_between(since: str | None, until: str | None) -> float | None:
    """To the millisecond, never negative: clocks may step. None where either is not known."""
    if since is None or until is None:
        return None
    passed = (parse_timestamp(until) - parse_timestamp(since)).total_seconds()
    return max(0.0, round(passed, 3))
