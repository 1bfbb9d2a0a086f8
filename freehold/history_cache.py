"""Feeds kept parsed between invocations of one process. Commits never change, so only what came
after is read again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from freehold.domain.entry import Entry

MAX_BYTES = 64 * 1024 * 1024


class HistoryCache:
    """The most recently used feeds, up to `MAX_BYTES` of bodies together. Thread-safe.

    A list that was handed in or out is never changed.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._feeds: OrderedDict[str, tuple[list[Entry], int]] = OrderedDict()
        self._size = 0

    def get(self, feed: str, since: int = 0) -> list[Entry]:
        """Commits of the feed from version `since` on, without a gap; empty where that one is not
        kept.
        """
        with self._lock:
            found = self._feeds.get(feed)
            if found is None:
                return []
            self._feeds.move_to_end(feed)
            entries = found[0]
            skipped = since - entries[0].version
            return entries[skipped:] if skipped >= 0 else []

    def put(self, feed: str, entries: list[Entry]) -> None:
        """Keeps these commits instead, unless those that are kept end later, or begin as late and
        end there too; others leave when there is no room.
        """
        size = sum(entry.size for entry in entries)
        with self._lock:
            kept, before = self._feeds.get(feed, ([], 0))
            if size > self._max_bytes or (kept and not _is_fresher(entries, kept)):
                return
            self._feeds[feed] = (entries, size)
            self._feeds.move_to_end(feed)
            self._size += size - before
            while self._size > self._max_bytes:
                _, (_, freed) = self._feeds.popitem(last=False)
                self._size -= freed

    def forget(self, feed: str) -> None:
        """Drops a feed that is being erased."""
        with self._lock:
            _, freed = self._feeds.pop(feed, ([], 0))
            self._size -= freed


def _is_fresher(entries: list[Entry], kept: list[Entry]) -> bool:
    ends, kept_ends = entries[-1].version, kept[-1].version
    return ends > kept_ends or (ends == kept_ends and entries[0].version > kept[0].version)
