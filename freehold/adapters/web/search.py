"""`web_search` by an endpoint that the operator names.

The endpoint is asked `GET {FREEHOLD_SEARCH_URL}?q=…&format=json`, with `city`, `country`, `region`
and `timezone` of the user where they are set, and answers `{"results": [{"url", "title",
"content"}]}`. That is how SearXNG answers. A key goes along as `Authorization: Bearer`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from freehold.adapters.web.connections import Connections
from freehold.adapters.web.exchange import get
from freehold.adapters.web.failure import Failed
from freehold.adapters.web.lifeline import Lifeline
from freehold.adapters.web.results import Found, search_results
from freehold.adapters.web.web_url import parse
from freehold.ports import Usage
from freehold.toolset import ToolResult

MAX_HINTED_DOMAINS = 8
_log = logging.getLogger("freehold.web")


class _Results(BaseModel):
    model_config = ConfigDict(extra="ignore")

    results: list[Found]


class SearchEndpoint:
    """Where searches go. It is the operator's own, so it may be on a private address, and it is
    never redirected.
    """

    def __init__(self, url: str, key: SecretStr | None, connections: Connections) -> None:
        self._url = url
        self._key = key
        self._connections = connections

    def ask(self, query: str, location: Mapping[str, str], lifeline: Lifeline) -> list[Found]:
        """Raises Failed, WebCallStopped."""
        given = {**location, "q": query, "format": "json"}
        joint = "&" if urlsplit(self._url).query else "?"
        url = parse(f"{self._url}{joint}{urlencode(given)}")
        headers = {
            "User-Agent": "Freehold (web_search)",
            "Accept": "application/json",
        }
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        try:
            answer = get(url, self._connections, lifeline, headers)
        except Failed as failed:
            _log.warning("search_failed", extra={"reason": str(failed)})
            raise Failed("unavailable", "the search endpoint cannot be reached") from None
        try:
            return _Results.model_validate_json(answer.body).results
        except ValidationError:
            _log.warning("search_failed", extra={"reason": f"status {answer.status}"})
            raise Failed(
                "unavailable", "the search endpoint does not answer as it should"
            ) from None


class Search:
    """A `WebCall`."""

    def __init__(
        self,
        query: str,
        *,
        permits: Callable[[str], bool],
        domains: Sequence[str],
        location: Mapping[str, str],
        endpoint: SearchEndpoint,
        seconds: float,
    ) -> None:
        self._query = query + _hint(domains)
        self._permits = permits
        self._location = location
        self._endpoint = endpoint
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
                found = self._endpoint.ask(self._query, self._location, self._lifeline)
        except Failed as failed:
            return failed.result()
        return search_results(found, self._permits)


def _hint(domains: Sequence[str]) -> str:
    """Tells the engines behind the endpoint what is wanted; what they give is looked at all the
    same.
    """
    if not 1 <= len(domains) <= MAX_HINTED_DOMAINS:
        return ""
    return f" ({' OR '.join(f'site:{domain}' for domain in domains)})"
