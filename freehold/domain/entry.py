"""A commit of a feed as it is read back."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.toolset import JsonObject

CROSSED = "crossed"
"""In a primary's `private`: the version and hash of each child's commit of the same transaction."""
ERASED = "erased"
"""In `private`: a record of each commit whose content this one erases."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of a feed with its sequence number."""

    seq: int
    body: JsonObject


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
    def sequenced(self) -> tuple[StoredEvent, ...]:
        return tuple(StoredEvent(self.first_seq + n, body) for n, body in enumerate(self.events))
