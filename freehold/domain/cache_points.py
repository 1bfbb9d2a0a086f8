"""Where a request tells the prompt cache to write, and to look for what earlier requests wrote
(DESIGN 6).

The API takes four breakpoints. Each writes the prefix that it ends, and finds one that an earlier
request wrote if that ends at most 20 blocks before it (`freehold.testing.prompt_cache` has the
rules and their sources). A breakpoint is no part of the prefix: one may move from request to
request. One that ends less than the model's least cacheable length does nothing, so it is not left
out for that: the prefix grows past it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from freehold.toolset import JsonObject

Ttl = Literal["5m", "1h"]
"""How long an entry stays after its last use."""
_LOOKBACK = 20
_UNMARKED = ("thinking", "redacted_thinking")
"""Blocks that the API takes no breakpoint on."""


class _Place(NamedTuple):
    """A block of the messages."""

    message: int
    block: int


def with_cache_points(
    system: Sequence[JsonObject],
    tools: Sequence[JsonObject],
    messages: Sequence[JsonObject],
    ttl: Ttl,
) -> tuple[tuple[JsonObject, ...], tuple[JsonObject, ...], tuple[JsonObject, ...]]:
    """System, tools and messages with their breakpoints: one behind tools and system, one at the
    end of the last user turn, one at the end of the user turn before, and one between these where
    they are further apart than a breakpoint looks back.

    The end of the user turn before is where the previous request wrote last: everything up to
    there is read, however many blocks came since. It did not write there if that request was never
    answered; then the last turn has grown, and the one between finds the shorter form of it.
    """
    marked_system, marked_tools = list(system), list(tools)
    if marked_system:
        marked_system[-1] = _marked(marked_system[-1], ttl)
    elif marked_tools:
        marked_tools[-1] = _marked(marked_tools[-1], ttl)
    marked = list(messages)
    for place in _places(messages):
        blocks = [*_blocks(marked[place.message])]
        blocks[place.block] = _marked(blocks[place.block], ttl)
        marked[place.message] = {**marked[place.message], "content": [*blocks]}
    return tuple(marked_system), tuple(marked_tools), tuple(marked)


def _places(messages: Sequence[JsonObject]) -> list[_Place]:
    """Three blocks at most."""
    users = [n for n, message in enumerate(messages) if message["role"] == "user"]
    ends = [_Place(n, len(_blocks(messages[n])) - 1) for n in users[-2:]]
    if not ends:
        return []
    between = _between(messages, ends[0] if len(ends) > 1 else None, ends[-1])
    return [*ends, *between]


def _between(messages: Sequence[JsonObject], before: _Place | None, last: _Place) -> list[_Place]:
    """The furthest block from which the look-back of `last` goes on without a gap, if `before` is
    out of its reach.
    """
    places = [
        _Place(n, m)
        for n in range(before.message if before else 0, last.message + 1)
        for m in range(len(_blocks(messages[n])))
        if before is None or _Place(n, m) > before
    ]
    if len(places) <= _LOOKBACK:
        return []
    reach = places[-_LOOKBACK - 1 : -1]
    fit = [p for p in reach if _blocks(messages[p.message])[p.block]["type"] not in _UNMARKED]
    return fit[:1]


def _blocks(message: JsonObject) -> list[JsonObject]:
    content = message["content"]
    assert isinstance(content, list)
    return [block for block in content if isinstance(block, dict)]


def _marked(part: JsonObject, ttl: Ttl) -> JsonObject:
    """Five minutes are the API's default, and go unsaid."""
    point: JsonObject = {"type": "ephemeral"} if ttl == "5m" else {"type": "ephemeral", "ttl": ttl}
    return {**part, "cache_control": point}
