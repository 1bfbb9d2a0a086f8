"""A commit as it lies in the store, read without trust: whoever can change it can change all of
it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from freehold import keys
from freehold.bodies import POINTER
from freehold.domain import chain
from freehold.domain.entry import CROSSED, ERASED
from freehold.toolset import JsonObject

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
    if not any(name.encode() in private for name in _FORMS):
        return {}
    return notes_of(json.loads(private))


def notes_of(private: object) -> JsonObject:
    """What an audit looks at. A note without the form of one is left out: whoever made it is told
    of by the commit's hash, or by the seal.
    """
    found: Mapping[str, Any] = private if isinstance(private, dict) else {}
    return {name: value for name, value in found.items() if _has_form(name, value)}


def _has_form(name: str, value: object) -> bool:
    return name in _FORMS and _FORMS[name](value)


def _is_crossed(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(place, dict) and isinstance(place.get("version"), int) and "hash" in place
        for place in value.values()
    )


def _is_erased(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(record, dict)
        and isinstance(record.get("version"), int)
        and isinstance(record.get("event_id"), str)
        for record in value
    )


_FORMS: Mapping[str, Callable[[object], bool]] = {
    CROSSED: _is_crossed,
    ERASED: _is_erased,
    POINTER: lambda value: isinstance(value, str),
}
