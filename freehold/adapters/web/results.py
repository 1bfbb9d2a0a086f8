"""What a search found, as the model is shown it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pydantic import BaseModel, ConfigDict

from egress_proxy.host_names import is_address
from egress_proxy.public_address import is_public
from freehold.adapters.web.failure import Failed
from freehold.adapters.web.web_url import parse_public
from freehold.toolset import Json, JsonObject, ToolResult

MAX_RESULTS = 10
MAX_PASSAGE = 2000
"""Characters of a result's title and of its passage."""


class Found(BaseModel):
    """One result. What else is said of it is left aside."""

    model_config = ConfigDict(extra="ignore")

    url: str
    title: str | None = None
    content: str | None = None


def search_results(found: Iterable[Found], permits: Callable[[str], bool]) -> ToolResult:
    """`search_result` blocks of those that the agent may reach."""
    blocks = [_block(url, one) for one in found if (url := _permitted(one.url, permits))]
    if not blocks:
        return ToolResult.text("No results.")
    return ToolResult(tuple(blocks[:MAX_RESULTS]))


def _permitted(given: str, permits: Callable[[str], bool]) -> str | None:
    """The URL as it may be fetched; None for one that may not."""
    try:
        url = parse_public(given)
    except Failed:
        return None
    if is_address(url.host) and not is_public(url.host):
        return None
    return str(url) if permits(str(url)) else None


def _block(url: str, found: Found) -> JsonObject:
    """The model's API takes no text without a word."""
    title = " ".join((found.title or "").split())[:MAX_PASSAGE] or url
    passage = (found.content or "").strip()[:MAX_PASSAGE] or title
    content: list[Json] = [{"type": "text", "text": passage}]
    return {
        "type": "search_result",
        "source": url,
        "title": title,
        "content": content,
        "citations": {"enabled": False},
    }
