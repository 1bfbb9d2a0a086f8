"""Bodies of commits as bytes: events and the private half, the largest of them in blobs."""

from __future__ import annotations

import hashlib
import json

from freehold.domain.draft import DraftEntry
from freehold.keys import SessionKey
from freehold.ports import Blobs
from freehold.toolset import JsonObject
from freehold.wire.base import WireModel

MAX_ITEM = 300_000
POINTER = "$blob"


class Bodies:
    """Payload before pointer: a blob is written before the transaction that names it."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def of_commit(self, key: SessionKey, entry: DraftEntry) -> tuple[bytes, bytes]:
        """Events and private half as stored; the largest bodies move to blobs until the item
        fits.
        """
        bodies = [*map(dump, entry.events), dump(entry.private)]
        size = sum(map(len, bodies))
        for n in sorted(range(len(bodies)), key=lambda n: -len(bodies[n])):
            if size <= MAX_ITEM:
                break
            size -= len(bodies[n])
            bodies[n] = self.point_to(key, entry.thread_id, bodies[n])
        return b"[" + b",".join(bodies[:-1]) + b"]", bodies[-1]

    def point_to(self, key: SessionKey, thread_id: str, body: bytes) -> bytes:
        """Writes a blob named by its content: another attempt with other bytes is another blob."""
        name = f"{key.partition}/{thread_id}/{hashlib.sha256(body).hexdigest()}"
        self._blobs.put(name, body)
        return dump({POINTER: name})

    def resolve(self, key: SessionKey, body: JsonObject) -> tuple[JsonObject, int]:
        """Follows a pointer, and says how much was behind it."""
        name = pointed_to(key, body)
        if name is None:
            return body, 0
        stored = self._blobs.get(name)
        return json.loads(stored), len(stored)


def pointed_to(key: SessionKey, body: JsonObject) -> str | None:
    """The blob that stands for a body, if one does. A session's own prefix guards it: content
    cannot forge its way to another's blob.
    """
    name = body.get(POINTER)
    if len(body) != 1 or not isinstance(name, str) or not name.startswith(key.partition + "/"):
        return None
    return name


def dump(value: WireModel | JsonObject) -> bytes:
    """As stored."""
    if isinstance(value, WireModel):
        return value.model_dump_json().encode()
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
