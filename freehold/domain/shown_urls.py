"""Which URLs a conversation has shown, and by whom: what `web_fetch` may fetch (BEHAVIOUR 3.5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from freehold.domain.entry import Entry
from freehold.toolset import WEB_TOOLS, Json, JsonObject
from freehold.wire.tools import (
    ToolResultSource,
    WebFetchURLSourceExcept,
    WebFetchURLSourceNone,
    WebFetchURLSourceOnly,
    WebFetchURLSources,
)

_TAIL = r"(?:[/?#][^\s<>\"'`{}|\\^\[\]]*)?"
_URL = re.compile(
    # What comes before decides where a word begins: without it a long word is read from each of its
    # letters, in quadratic time.
    rf"(?<![\w.-])(?:https?://)?(?:[\w-]{{1,63}}\.){{1,20}}[\w-]{{1,63}}(?::\d+)?{_TAIL}"
    rf"|(?<!\w)https?://\[[\da-f:.]+\](?::\d+)?{_TAIL}",
    re.IGNORECASE,
)


def is_shown(url: str, entries: Iterable[Entry], sources: WebFetchURLSources | None) -> bool:
    """Whether a source that `sources` lets count has shown this URL. Two spellings are one URL when
    they differ in scheme, fragment, default port or a slash at the end.

    A failed result shows nothing: it repeats the URL that was asked for.
    """
    sources = sources or WebFetchURLSources()
    wanted = _key(url)
    names: dict[str, str] = {}
    for entry in entries:
        for event in entry.events:
            if str(event["type"]).endswith("tool_use"):
                names[str(event["id"])] = str(event["name"])
            elif _counts(event, names, sources) and wanted in _keys(event):
                return True
    return False


def _counts(event: JsonObject, names: dict[str, str], sources: WebFetchURLSources) -> bool:
    """Whether the event is of a source that counts."""
    kind = event["type"]
    if kind == "user.message":
        return not isinstance(sources.user_input, WebFetchURLSourceNone)
    if event.get("is_error"):
        return False
    if kind == "user.custom_tool_result":
        name = names.get(str(event.get("custom_tool_use_id")), "")
        return _lets(sources.client_tool_results, name)
    if kind == "agent.tool_result":
        name = names.get(str(event.get("tool_use_id")), "")
        return name in WEB_TOOLS and _lets(sources.server_tool_results, name)
    return False


def _lets(source: ToolResultSource | None, name: str) -> bool:
    if isinstance(source, WebFetchURLSourceOnly):
        return any(tool.name == name for tool in source.tools)
    if isinstance(source, WebFetchURLSourceExcept):
        return all(tool.name != name for tool in source.tools)
    return not isinstance(source, WebFetchURLSourceNone)


def _keys(event: JsonObject) -> Iterator[str]:
    for text in _texts(event.get("content")):
        for found in _URL.finditer(text):
            yield _key(_trimmed(found[0]))


def _texts(value: Json) -> Iterator[str]:
    """Every string of the content but encoded bytes."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, dict):
        for name, part in value.items():
            if not (name == "data" and value.get("type") == "base64"):
                yield from _texts(part)


def _trimmed(url: str) -> str:
    """Without the punctuation of the sentence around it."""
    while url:
        unopened = url[-1] == ")" and url.count(")") > url.count("(")
        if url[-1] not in ".,;:!?*_" and not unopened:
            break
        url = url[:-1]
    return url


def _key(url: str) -> str:
    """What two spellings of one place have in common."""
    given = url if "://" in url else f"//{url}"
    try:
        parts = urlsplit(given)
        port = parts.port
    except ValueError:
        return url
    host = (parts.hostname or "").rstrip(".")
    shown_port = "" if port in (None, 80, 443) else f":{port}"
    query = f"?{parts.query}" if parts.query else ""
    return f"{host}{shown_port}{parts.path.rstrip('/')}{query}"
