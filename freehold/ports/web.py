"""The public web, as tools of the control plane see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from freehold.ports.model import Usage
from freehold.toolset import ToolResult


class WebCall(Protocol):
    """One call of a web tool. Ask for its result once, from one thread."""

    @property
    def usage(self) -> Usage:
        """What it spent of the model so far."""

    def result(self) -> ToolResult:
        """What the model is shown; a call that fails for reasons of its own is an error result.

        Raises WebCallStopped once `close` was called.
        """

    def close(self) -> None:
        """Ends it at once. Any thread, any number of times, before or after the end."""


class Web(Protocol):
    """The public web as the control plane sees it. Nothing is sent before `result`; a call may be
    repeated, since it only reads.

    `permits` says of a URL whether the agent may reach it. It is asked of every URL before anything
    is sent to it, redirects included; a search leaves out what it refuses.
    """

    @property
    def tools(self) -> tuple[str, ...]:
        """Names of `toolset.WEB_TOOLS` that can be carried out."""

    def fetch(self, url: str, *, permits: Callable[[str], bool], max_tokens: int | None) -> WebCall:
        """The page, document or image at `url`. `max_tokens` caps text."""

    def search(
        self,
        query: str,
        *,
        permits: Callable[[str], bool],
        domains: Sequence[str],
        location: Mapping[str, str],
        model: str,
    ) -> WebCall:
        """`search_result` blocks. `domains` are the only ones wanted, if any; `location` has the
        fields of `user_location` that are set; `model` is the agent's, should one be asked.
        """
