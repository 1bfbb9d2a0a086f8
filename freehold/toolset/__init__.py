"""The tools of `agent_toolset_20260401` as data: names, inputs, results, limits. Shared by the core
and the sandbox.

The sandbox starts in milliseconds because this module is light: what needs pydantic is imported
when it is first used, and only the server uses it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]

SANDBOX_TOOLS = ("bash", "read", "write", "edit", "glob", "grep")
WEB_TOOLS = ("web_fetch", "web_search")
"""They run in the control plane, never in a sandbox (BEHAVIOUR 3.1)."""
TOOLS = (*SANDBOX_TOOLS, *WEB_TOOLS)
"""In the order in which they are offered to the model."""

BASH_TIMEOUT_MS = 120_000
BASH_TIMEOUT_CAP_MS = 600_000
MAX_RESULT_CHARACTERS = 100_000
"""A longer text goes to a file in the sandbox; the model gets a preview and the path (3.1)."""
PREVIEW_CHARACTERS = 10_000
"""Of the beginning, and as many of the end."""
MAX_KEPT_OUTPUT_BYTES = 16 * 1024 * 1024
"""Of one command. What lies between the first and the last half of it is dropped, and said so."""
MAX_TEXT_BYTES = 256 * 1024
"""Of a file that `read` or `edit` takes as a whole, and of a range that `read` returns."""
MAX_IMAGE_BASE64_BYTES = 5 * 1024 * 1024
MAX_PDF_BYTES = 20 * 1024 * 1024
MAX_MEDIA_CHARACTERS = 28_000_000
"""Of the images and documents of one request in base64, the largest PDF among them. The API takes
requests of 32 MB, and the rest is for words.
"""
MAX_GREP_CHARACTERS = 100 * 1024
MAX_GREP_LINE_BYTES = 2000
"""Longer lines are not searched: a regular expression of the model can take for ever on them."""
GREP_CPU_SECONDS = 30
MAX_GLOB_PATHS = 200
MAX_WALKED_ENTRIES = 50_000
INTERRUPTED = "Tool execution was interrupted before completion. Please retry."
"""The text of a call that an interrupt ended (BEHAVIOUR 7.3)."""
WAIT_SECONDS = 25.0
"""The longest time one request waits for a call that runs (DESIGN 7)."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a built-in tool, named by the event id of its `agent.tool_use`."""

    thread_id: str
    event_id: str
    name: str
    input: JsonObject

    @property
    def digest(self) -> str:
        """SHA-256 of name and input. The same event id with another digest is another call, and a
        defect.
        """
        body = json.dumps(
            [self.name, self.input], sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        return hashlib.sha256(body.encode(errors="surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class ToolResult:
    """Content blocks as `agent.tool_result` carries them."""

    content: tuple[JsonObject, ...]
    is_error: bool = False

    @classmethod
    def text(cls, text: str, *, is_error: bool = False) -> ToolResult:
        return cls(({"type": "text", "text": text},), is_error)


def tool_definitions(enabled: Sequence[str]) -> tuple[JsonObject, ...]:
    """The tools as a model request offers them: `name`, `description`, `input_schema`.

    In the order of `TOOLS` whatever the order of `enabled`, and byte for byte the same each time,
    since they begin the cached prefix of every request. Raises KeyError for a name that is no
    built-in tool.
    """
    from freehold.toolset.inputs import definition  # noqa: PLC0415 - pydantic, see above

    for name in enabled:
        if name not in TOOLS:
            raise KeyError(name)
    return tuple(definition(name) for name in TOOLS if name in enabled)


def refusal(call: ToolCall, among: Sequence[str] = SANDBOX_TOOLS) -> str | None:
    """Why a call is not carried out at all: no tool of those `among`, or an input that is not the
    tool's. None for a good one.

    The text is for the model.
    """
    from freehold.toolset.inputs import check  # noqa: PLC0415 - pydantic, see above

    if call.name not in among:
        return f"There is no tool named {call.name}."
    return check(call.name, call.input)


def excerpt(text: str, where: str) -> str:
    """The beginning and the end of a result that is too long for the model. `where` says what
    became of the rest, in words that follow "characters;".
    """
    return (
        f"[output truncated: {len(text)} characters; {where}]\n"
        f"{text[:PREVIEW_CHARACTERS]}\n[...]\n{text[-PREVIEW_CHARACTERS:]}"
    )
