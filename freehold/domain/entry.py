"""A commit of a feed as it is read back."""

from __future__ import annotations

from dataclasses import dataclass

from freehold import keys
from freehold.errors import NewerStore
from freehold.toolset import JsonObject

VERSION = 1
"""Of the commits that this release writes, and the latest that it reads."""


def check_version(stored: int) -> None:
    """Raises NewerStore for a commit of a later release: half understood, it would be carried on
    wrongly.
    """
    if stored > VERSION:
        raise NewerStore(
            f"A commit of version {stored} was written by a later release of Freehold, and this "
            f"one knows {VERSION}. Use the release that wrote it, or a later one."
        )


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
