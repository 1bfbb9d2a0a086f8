"""A commit of a feed as it is read back."""

from __future__ import annotations

from dataclasses import dataclass

from freehold import keys
from freehold.toolset import JsonObject


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of a feed with its sequence number."""

    seq: int
    body: JsonObject


@dataclass(frozen=True, slots=True)
class Place:
    """Where a commit stands in its feed: its first sequence number, and its version."""

    seq: int
    version: int


BEGINNING = Place(1, 0)


@dataclass(frozen=True, slots=True)
class Entry:
    """One commit of a feed, read back."""

    version: int
    first_seq: int
    at: str
    actor: str
    commit_id: str
    prev_hash: bytes
    hash: bytes
    events: tuple[JsonObject, ...]
    private: JsonObject
    size: int
    """Bytes of both bodies, those in blobs included."""

    @property
    def place(self) -> Place:
        return Place(self.first_seq, self.version)

    @property
    def sort_key(self) -> str:
        return keys.entry(self.first_seq, self.version)

    @property
    def sequenced(self) -> tuple[StoredEvent, ...]:
        return tuple(StoredEvent(self.first_seq + n, body) for n, body in enumerate(self.events))
