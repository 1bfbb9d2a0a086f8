"""The tools of `agent_toolset_20260401` as data: names, inputs, results, limits. Shared by the core and the sandbox."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TypeAlias

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"
JsonObject: TypeAlias = dict[str, Json]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a sandbox tool, named by the event id of its `agent.tool_use`."""

    thread_id: str
    event_id: str
    name: str
    input: JsonObject

    @property
    def digest(self) -> str:
        """SHA-256 of name and input. The same event id with another digest is another call, and a defect."""
        body = json.dumps(
            [self.name, self.input], sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        return hashlib.sha256(body.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ToolResult:
    """Content blocks as `agent.tool_result` carries them."""

    content: tuple[JsonObject, ...]
    is_error: bool = False

    @classmethod
    def text(cls, text: str, *, is_error: bool = False) -> ToolResult:
        return cls(({"type": "text", "text": text},), is_error)
