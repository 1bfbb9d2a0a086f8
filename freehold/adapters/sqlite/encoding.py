"""An item as stored bytes: JSON with sorted names, a line feed, then its byte strings end to end.

In the JSON a byte string is `{"": [start, end]}`, its place after the line feed. No attribute has
an empty name, so nothing else looks like that; JSON never holds a raw line feed. The format is part
of schema version 1: what was written once must be readable for ever.
"""

from __future__ import annotations

import json
from typing import Any

from freehold.ports import Item, Value

_BYTES = ""


def encode(item: Item) -> bytes:
    """The same bytes for the same item. The item has passed `limits.check_size`."""
    raw = bytearray()

    def place(value: bytes) -> dict[str, list[int]]:
        start = len(raw)
        raw.extend(value)
        return {_BYTES: [start, len(raw)]}

    text = json.dumps(
        item, default=place, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return text.encode() + b"\n" + raw


def decode(stored: bytes) -> dict[str, Value]:
    """A new item that shares nothing mutable with any other."""
    end = stored.index(b"\n")
    text = stored[:end].decode()
    if end + 1 == len(stored) and '{"":' not in text:
        plain: dict[str, Value] = json.loads(text)
        return plain
    first = end + 1

    def replace(value: dict[str, Any]) -> Any:
        place = value.get(_BYTES)
        return value if place is None else stored[first + place[0] : first + place[1]]

    item: dict[str, Value] = json.loads(text, object_hook=replace)
    return item
