"""Why a web call fails, in the words of the model."""

from __future__ import annotations

from typing import Literal

from freehold.toolset import ToolResult

Code = Literal[
    "invalid_tool_input",
    "url_too_long",
    "url_not_allowed",
    "url_not_accessible",
    "unsupported_content_type",
    "content_too_large",
    "too_many_requests",
    "unavailable",
]
"""The codes of the Messages API's own web tools."""


class Failed(Exception):
    """Becomes an error result that begins with the code. It never holds what an answer said, nor an
    address that a name resolved to.
    """

    def __init__(self, code: Code, why: str) -> None:
        super().__init__(f"{code}: {why}")

    def result(self) -> ToolResult:
        return ToolResult.text(str(self), is_error=True)
