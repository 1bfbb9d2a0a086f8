"""`Feed` within one process: doorbells rung by the store, previews handed over as they are made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from freehold.keys import Key
from freehold.toolset import JsonObject


class ProcessFeed:
    """Callbacks run on the thread that rings, outside every lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bells: dict[str, tuple[Callable[[], None], ...]] = {}
        self._previews: dict[str, tuple[Callable[[JsonObject], None], ...]] = {}

    def ring(self, keys: Sequence[Key]) -> None:
        """The store's stream: rings every feed among the keys."""
        for topic in {key.pk for key in keys}:
            for bell in self._bells.get(topic, ()):
                bell()

    def subscribe(self, topic: str, ring: Callable[[], None]) -> _Subscription:
        return _Subscription(self._lock, self._bells, topic, ring)

    def preview(self, topic: str, frame: JsonObject) -> None:
        for deliver in self._previews.get(topic, ()):
            deliver(frame)

    def follow_previews(self, topic: str, deliver: Callable[[JsonObject], None]) -> _Subscription:
        return _Subscription(self._lock, self._previews, topic, deliver)

    def previewed(self, topic: str) -> bool:
        return topic in self._previews


class _Subscription:
    """A callback in a table of tuples; replacing the tuple lets readers go without a lock."""

    def __init__(
        self,
        lock: threading.Lock,
        table: dict[str, tuple[Any, ...]],
        topic: str,
        callback: Callable[..., None],
    ) -> None:
        self._lock, self._table, self._topic, self._callback = lock, table, topic, callback
        with lock:
            table[topic] = (*table.get(topic, ()), callback)

    def close(self) -> None:
        """Twice is once."""
        with self._lock:
            left = tuple(c for c in self._table.get(self._topic, ()) if c is not self._callback)
            if left:
                self._table[self._topic] = left
            else:
                self._table.pop(self._topic, None)
