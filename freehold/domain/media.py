"""Images and documents of a conversation, as many as one request to the model takes.

The API counts them over the whole conversation: 100 images, 20 once one of them is larger than 2000
pixels a side, and 32 MB (docs/divergences.md). What one request could take, the next one cannot, so
older ones give way to a text. They give way in batches, down to half of what is taken, and the rule
looks at nothing but their order: between two batches every request begins with the one before it,
and the prompt cache is read.
"""

from __future__ import annotations

import binascii
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from freehold.toolset import MAX_MEDIA_CHARACTERS, Json, JsonObject
from freehold.toolset.images import (
    MANY_IMAGES,
    MAX_IMAGES,
    MAX_SIDE_OF_MANY,
    image_size,
)

_LEFT_OUT: JsonObject = {
    "type": "text",
    "text": "[This image or document is left out by now: a request takes only so many.]",
}
_UNFETCHED: JsonObject = {
    "type": "text",
    "text": "[This image or document is left out by now: its URL may lead nowhere any more.]",
}
_HEADERS = (4 * 1024, 256 * 1024)
"""Characters of base64 that have the size of nearly every image, and of most of the rest."""


@dataclass(frozen=True, slots=True)
class _Medium:
    """One image or document, by its place among all. `characters` of base64."""

    number: int
    message: int
    characters: int
    is_large: bool


def with_bounded_media(messages: Sequence[JsonObject]) -> list[JsonObject]:
    """The messages, with a text in place of each image or document that gave way.

    Those of one turn stay together where a request takes them at all: a person who sends many is
    answered about all of them.
    """
    kept: deque[_Medium] = deque()
    gone: set[int] = set()
    numbers = count()
    for n, message in enumerate(messages):
        new = [_measure(next(numbers), n, block) for block in _media(message.get("content"))]
        kept += new
        if not new or _is_taken(kept):
            continue
        most = _most(kept)
        while not _is_within(kept, most // 2, MAX_MEDIA_CHARACTERS // 2):
            if kept[0].message == n and _is_taken(kept):
                break
            gone.add(kept.popleft().number)
    return _without(messages, gone) if gone else list(messages)


def has_media(blocks: Sequence[JsonObject]) -> bool:
    """Whether an image or a document is among blocks, or in results among them."""
    return any(True for _ in _media([*blocks]))


def without_urls(content: Json) -> Json:
    """Blocks with a text in place of each image and document that is elsewhere."""
    if not isinstance(content, list):
        return content
    blocks = [block for block in content if isinstance(block, dict)]
    return [_unfetched(block) for block in blocks]


def _unfetched(block: JsonObject) -> JsonObject:
    source = block.get("source")
    if block["type"] == "tool_result":
        return {**block, "content": without_urls(block.get("content"))}
    return _UNFETCHED if isinstance(source, dict) and source.get("type") == "url" else block


def _is_taken(kept: Collection[_Medium]) -> bool:
    return _is_within(kept, _most(kept), MAX_MEDIA_CHARACTERS)


def _most(kept: Collection[_Medium]) -> int:
    """How many go together. A document counts as one, and has the size of none."""
    return MANY_IMAGES if any(medium.is_large for medium in kept) else MAX_IMAGES


def _is_within(kept: Collection[_Medium], images: int, characters: int) -> bool:
    return len(kept) <= images and sum(medium.characters for medium in kept) <= characters


def _media(content: Json) -> Iterator[JsonObject]:
    """The images and documents among blocks, and in the results among them, in their order."""
    for block in content if isinstance(content, list) else ():
        assert isinstance(block, dict)
        if block["type"] == "tool_result":
            yield from _media(block.get("content"))
        elif _is_medium(block):
            yield block


def _is_medium(block: JsonObject) -> bool:
    """A document of plain text is text."""
    source = block.get("source")
    is_text = isinstance(source, dict) and source.get("type") == "text"
    return block["type"] in ("image", "document") and not is_text


def _measure(number: int, message: int, block: JsonObject) -> _Medium:
    source = block["source"]
    assert isinstance(source, dict)
    data = str(source.get("data") or "")
    is_large = block["type"] == "image" and _side(data) > MAX_SIDE_OF_MANY
    return _Medium(number, message, len(data), is_large)


def _side(data: str) -> float:
    """The longer one in pixels. Of an image that is elsewhere nobody knows: it may be any."""
    for most in (*_HEADERS, len(data)):
        try:
            found = image_size(binascii.a2b_base64(data[:most]))
        except ValueError:  # stored by a version that did not look
            break
        if found is not None:
            return found.side
    return float("inf")


def _without(messages: Sequence[JsonObject], gone: Collection[int]) -> list[JsonObject]:
    numbers = count()
    return [
        {**message, "content": _replaced(message.get("content"), numbers, gone)}
        for message in messages
    ]


def _replaced(content: Json, numbers: Iterator[int], gone: Collection[int]) -> Json:
    if not isinstance(content, list):
        return content
    shown: list[Json] = []
    for block in content:
        assert isinstance(block, dict)
        if block["type"] == "tool_result":
            shown.append({**block, "content": _replaced(block.get("content"), numbers, gone)})
        else:
            shown.append(_LEFT_OUT if _is_medium(block) and next(numbers) in gone else block)
    return shown
