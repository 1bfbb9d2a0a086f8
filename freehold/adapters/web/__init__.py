"""`Web` in the control plane: public pages over HTTP, and the operator's search endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pydantic import SecretStr

from freehold.adapters.web.connections import Connections
from freehold.adapters.web.fetch import Fetch
from freehold.adapters.web.model_search import ModelSearch
from freehold.adapters.web.page_text import PageReader
from freehold.adapters.web.search import Search, SearchEndpoint
from freehold.errors import ToolError
from freehold.ports import Model, WebCall

CALL_SECONDS = 30.0
"""Of one call, from the name's resolution to the text of the page."""


class PublicWeb:
    """Searches go to the endpoint `search_url`; without one to `search_model`, where the model's
    provider searches; without either there is no `web_search`. `connections` are those to the
    public internet. Each of the pages read at a time may take 384 MB.
    """

    def __init__(
        self,
        search_url: str | None = None,
        search_key: SecretStr | None = None,
        *,
        search_model: Model | None = None,
        connections: Connections | None = None,
        seconds: float = CALL_SECONDS,
        pages_at_a_time: int = 2,
    ) -> None:
        self._connections = connections or Connections()
        self._seconds = seconds
        self._reader = PageReader(pages_at_a_time)
        self._model = search_model
        self._endpoint: SearchEndpoint | None = None
        if search_url is not None:
            own = Connections(lambda _: True)
            self._endpoint = SearchEndpoint(search_url, search_key, own)

    @property
    def tools(self) -> tuple[str, ...]:
        """See `Web`."""
        can_search = self._endpoint is not None or self._model is not None
        return ("web_fetch", "web_search") if can_search else ("web_fetch",)

    def fetch(self, url: str, *, permits: Callable[[str], bool], max_tokens: int | None) -> WebCall:
        """See `Web`."""
        return Fetch(
            url,
            permits=permits,
            max_tokens=max_tokens,
            connections=self._connections,
            reader=self._reader,
            seconds=self._seconds,
        )

    def search(
        self,
        query: str,
        *,
        permits: Callable[[str], bool],
        domains: Sequence[str],
        location: Mapping[str, str],
        model: str,
    ) -> WebCall:
        """See `Web`. Raises ToolError where nobody searches."""
        if self._endpoint is not None:
            return Search(
                query,
                permits=permits,
                domains=domains,
                location=location,
                endpoint=self._endpoint,
                seconds=self._seconds,
            )
        if self._model is None:
            raise ToolError("unavailable: this server has no search endpoint")
        return ModelSearch(
            query,
            permits=permits,
            domains=domains,
            location=location,
            model=self._model,
            model_id=model,
        )
