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

_NOTES = (CROSSED, ERASED, POINTER)
_STATUS = "session.thread_"
_WORDS = (_STATUS.encode(), POINTER.encode())
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
        erased = item.get(ERASED)
        original = (erased["events"], erased["private"]) if erased else digests
        header = {name: item[name] for name in _HEADER}
        over = bytes.fromhex(original[0]) + bytes.fromhex(original[1])
        previous, digest = bytes(item["prev_hash"]), bytes(item["hash"])
        return StoredCommit(
            place=place,
            version=_number(item["version"]),
            first_seq=_number(item["first_seq"]),
            at=item["at"],
            actor=item["actor"],
            commit_id=item["commit_id"],
            prev_hash=previous,
            hash=digest,
            holds=chain.hash_of(previous, header, over) == digest,
            digests=digests,
            original=original,
            n=_number(item["n"]),
            events=_looked_at(events),
            private=_noted(private),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("not a number")
    return value


def _looked_at(events: bytes) -> tuple[JsonObject, ...]:
    """Most commits have nothing of the kind, and are not parsed for it."""
    if not any(word in events for word in _WORDS):
        return ()
    found = json.loads(events)
    kinds = ((event, str(event.get("type"))) for event in found)
    return tuple(e for e, kind in kinds if kind.startswith(_STATUS) or POINTER in e)


def _noted(private: bytes) -> JsonObject:
    if not any(name.encode() in private for name in _NOTES):
        return {}
    return {name: value for name, value in json.loads(private).items() if name in _NOTES}
