"""`Feed` within one process: the store rings the doorbells, the model's reader hands out
previews.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from freehold.keys import Key
from freehold.toolset import JsonObject

_Callback = TypeVar("_Callback", bound=Callable[..., None])

_log = logging.getLogger("freehold.feed")


class ProcessFeed:
    """Callbacks run on the thread that rings or previews, outside every lock; one that raises is
    logged and disturbs nobody else.

    So a preview is handed over before the commit that supersedes it can ring, and needs no queue
    here: who cannot keep up sheds it on its own side. A callback may be called once more while its
    subscription is being closed.
    """

    def __init__(self) -> None:
        self._bells: _Table[Callable[[], None]] = _Table()
        self._followers: _Table[Callable[[JsonObject], None]] = _Table()

    def ring(self, keys: Sequence[Key]) -> None:
        """The store's stream: rings each topic among the partitions once."""
        for topic in dict.fromkeys(key.pk for key in keys):
            for ring in self._bells.of(topic):
                try:
                    ring()
                except Exception:  # noqa: BLE001 - the other followers have a right to their bell
                    _log.exception("doorbell_failed")

    def subscribe(self, topic: str, ring: Callable[[], None]) -> _Subscription:
        return self._bells.add(topic, ring)

    def preview(self, topic: str, frame: JsonObject) -> None:
        for deliver in self._followers.of(topic):
            try:
                deliver(frame)
            except Exception:  # noqa: BLE001 - as a doorbell
                _log.exception("preview_failed")

    def follow_previews(self, topic: str, deliver: Callable[[JsonObject], None]) -> _Subscription:
        return self._followers.add(topic, deliver)

    def previewed(self, topic: str) -> bool:
        return bool(self._followers.of(topic))


class _Table(Generic[_Callback]):
    """Callbacks by topic. Their tuples are replaced, never changed, so readers need no lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, tuple[tuple[object, _Callback], ...]] = {}

    def of(self, topic: str) -> list[_Callback]:
        return [callback for _, callback in self._entries.get(topic, ())]

    def add(self, topic: str, callback: _Callback) -> _Subscription:
        ticket = object()
        with self._lock:
            self._entries[topic] = (*self._entries.get(topic, ()), (ticket, callback))
        return _Subscription(lambda: self._remove(topic, ticket))

    def _remove(self, topic: str, ticket: object) -> None:
        with self._lock:
            left = tuple(e for e in self._entries.get(topic, ()) if e[0] is not ticket)
            if left:
                self._entries[topic] = left
            else:
                self._entries.pop(topic, None)


class _Subscription:
    """Ends with `close`. Twice is once."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    def close(self) -> None:
        self._end()
