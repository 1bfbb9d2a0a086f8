"""A commit as it lies in the store, read without trust: whoever can change it can change all of
it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from freehold import keys
from freehold.bodies import POINTER
from freehold.domain import chain
from freehold.domain.entry import CROSSED, ERASED
from freehold.toolset import JsonObject

_LOOKED_AT = (CROSSED, ERASED, POINTER)
_HEADER = ("v", "version", "first_seq", "n", "at", "actor", "commit_id")


@dataclass(frozen=True, slots=True)
class StoredCommit:
    """`digests` are of the bytes as they lie there; `original` those that the chain is over, which
    differ once content was erased. `hash` is as stored, `holds` whether the commit hashes to it.

    Of `events`, which are `n`, and of `private` only what an audit looks at is kept: a log may be
    larger than memory.
    """

    place: str
    version: int
    first_seq: int
    at: str
    actor: str
    commit_id: str
    prev_hash: bytes
    hash: bytes
    holds: bool
    digests: tuple[str, str]
    original: tuple[str, str]
    n: int
    events: tuple[JsonObject, ...]
    private: JsonObject

    @property
    def is_erased(self) -> bool:
        return self.digests != self.original

    @property
    def belongs_here(self) -> bool:
        return self.place == keys.entry(self.first_seq, self.version)


def read_commit(place: str, item: Mapping[str, Any]) -> StoredCommit | None:
    """None for an item that is no commit any more."""
    try:
        events, private = bytes(item["events"]), bytes(item["private"])
        digests = (hashlib.sha256(events).hexdigest(), hashlib.sha256(private).hexdigest())
        erased = item.get("erased")
        original = (erased["events"], erased["private"]) if erased else digests
        header = {name: item[name] for name in _HEADER}
        over = bytes.fromhex(original[0]) + bytes.fromhex(original[1])
        found = json.loads(events)
        stored = StoredCommit(
            place=place,
            version=item["version"],
            first_seq=item["first_seq"],
            at=item["at"],
            actor=item["actor"],
            commit_id=item["commit_id"],
            prev_hash=bytes(item["prev_hash"]),
            hash=bytes(item["hash"]),
            holds=chain.hash_of(bytes(item["prev_hash"]), header, over) == bytes(item["hash"])
            and len(found) == item["n"],
            digests=digests,
            original=original,
            n=len(found),
            events=tuple(event for event in found if _is_looked_at(event)),
            private={k: v for k, v in json.loads(private).items() if k in _LOOKED_AT},
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return stored


def _is_looked_at(event: JsonObject) -> bool:
    kind = event.get("type", "")
    return str(kind).startswith("session.thread_") or POINTER in event
