"""`Web` where most processes never fetch a page: what reads pages is loaded by the first call."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from freehold.ports import Web, WebCall


class LateWeb:
    """`build` makes the adapter, whose `tools` will be these."""

    def __init__(self, tools: Sequence[str], build: Callable[[], Web]) -> None:
        self._tools = tuple(tools)
        self._build = build

    @property
    def tools(self) -> tuple[str, ...]:
        """See `Web`."""
        return self._tools

    def fetch(self, url: str, *, permits: Callable[[str], bool], max_tokens: int | None) -> WebCall:
        """See `Web`."""
        return self._web.fetch(url, permits=permits, max_tokens=max_tokens)

    def search(
        self,
        query: str,
        *,
        permits: Callable[[str], bool],
        domains: Sequence[str],
        location: Mapping[str, str],
        model: str,
    ) -> WebCall:
        """See `Web`."""
        return self._web.search(
            query, permits=permits, domains=domains, location=location, model=model
        )

    @cached_property
    def _web(self) -> Web:
        web = self._build()
        assert web.tools == self._tools
        return web
