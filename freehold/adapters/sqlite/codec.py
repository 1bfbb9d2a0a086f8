r"""Items as bytes: a JSON header in which each byte string is a reference, then the byte strings.

`{"events": {"$b": [0, 12]}}\\n` is followed by the raw bytes. An attribute map whose first key
begins with `$` is wrapped as `{"$m": …}`, so that content never reads as a reference. The format is
fixed by a golden test.
"""

from __future__ import annotations

import json
from typing import Any

from freehold.ports import Item


def encode(item: Item) -> bytes:
    """The item's stored form; attributes that are None keep their key."""
    tail: list[bytes] = []
    offset = 0

    def pack(value: Any) -> Any:
        nonlocal offset
        if isinstance(value, bytes):
            tail.append(value)
            offset += len(value)
            return {"$b": [offset - len(value), len(value)]}
        if isinstance(value, dict):
            packed = {key: pack(inner) for key, inner in value.items()}
            return {"$m": packed} if next(iter(value), "").startswith("$") else packed
        if isinstance(value, list):
            return [pack(inner) for inner in value]
        return value

    header = {name: pack(value) for name, value in item.items()}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False)
    return b"\n".join([text.encode(), b"".join(tail)])


def decode(stored: bytes) -> dict[str, Any]:
    """The inverse; every call gives new objects."""
    text, _, tail = stored.partition(b"\n")

    def unpack(value: Any) -> Any:
        if isinstance(value, dict):
            if "$b" in value:
                start, length = value["$b"]
                return tail[start : start + length]
            return {key: unpack(inner) for key, inner in value.get("$m", value).items()}
        if isinstance(value, list):
            return [unpack(inner) for inner in value]
        return value

    header: dict[str, Any] = json.loads(text)
    return {name: unpack(value) for name, value in header.items()}
