"""`web_fetch`: one page, wherever its redirects lead, each of them checked like the first URL."""

from __future__ import annotations

from collections.abc import Callable

from freehold.adapters.web.connections import Connections
from freehold.adapters.web.content import blocks_of
from freehold.adapters.web.exchange import Answer, get
from freehold.adapters.web.failure import Failed
from freehold.adapters.web.lifeline import Lifeline
from freehold.adapters.web.page_text import PageReader
from freehold.adapters.web.web_url import WebUrl, parse_public
from freehold.ports import Usage
from freehold.toolset import ToolResult

MAX_REDIRECTS = 5
HEADERS = {
    "User-Agent": "Freehold (web_fetch, on behalf of an agent)",
    "Accept": "text/html,application/xhtml+xml,text/*;q=0.9,application/json;q=0.9,"
    "application/pdf;q=0.8,image/*;q=0.8,*/*;q=0.1",
}
_TOO_MANY_REQUESTS = 429


class Fetch:
    """A `WebCall`. Sends no cookie, no credential and no referrer."""

    def __init__(
        self,
        url: str,
        *,
        permits: Callable[[str], bool],
        max_tokens: int | None,
        connections: Connections,
        reader: PageReader,
        seconds: float,
    ) -> None:
        self._url = url
        self._permits = permits
        self._max_tokens = max_tokens
        self._connections = connections
        self._reader = reader
        self._lifeline = Lifeline(seconds)

    @property
    def usage(self) -> Usage:
        """See `WebCall`."""
        return Usage()

    def close(self) -> None:
        """See `WebCall`."""
        self._lifeline.close()

    def result(self) -> ToolResult:
        """See `WebCall`."""
        try:
            with self._lifeline.running():
                answer = self._follow(parse_public(self._url))
                blocks = blocks_of(answer, self._max_tokens, self._reader, self._lifeline)
        except Failed as failed:
            return failed.result()
        return ToolResult(tuple(blocks))

    def _follow(self, url: WebUrl) -> Answer:
        for _ in range(MAX_REDIRECTS + 1):
            if not self._permits(str(url)):
                raise Failed("url_not_allowed", f"{url.host} may not be reached")
            answer = get(url, self._connections, self._lifeline, HEADERS)
            if answer.location is None:
                return _checked(answer)
            url = url.join(answer.location)
        raise Failed("url_not_accessible", f"it redirects more than {MAX_REDIRECTS} times")


def _checked(answer: Answer) -> Answer:
    if answer.status == _TOO_MANY_REQUESTS:
        raise Failed("too_many_requests", "the server asks for a pause")
    if not 200 <= answer.status < 300:  # noqa: PLR2004 - success, in HTTP
        raise Failed("url_not_accessible", f"the server answered {answer.status}")
    return answer
