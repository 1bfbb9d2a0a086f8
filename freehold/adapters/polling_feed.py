"""`Feed` where no message can reach a process: each doorbell rings at a fixed pace.

A Lambda function cannot be called while it works, so what it waits for it looks up in the log. A
doorbell may ring too often, never too seldom; this one rings whether or not there is news.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from freehold.ports import Subscription
from freehold.toolset import JsonObject

_log = logging.getLogger("freehold.feed")

RING_SECONDS = 0.5
"""How late an interrupt may be noticed (DESIGN 5). Each ring costs one read of the thread."""


class PollingFeed:
    """One thread a subscription, which ends with it. Nobody can follow previews here, so none are
    made.
    """

    def __init__(self, seconds: float = RING_SECONDS) -> None:
        self._seconds = seconds

    def subscribe(self, topic: str, ring: Callable[[], None]) -> Subscription:
        return _Bell(topic, ring, self._seconds)

    def preview(self, topic: str, frame: JsonObject) -> None:
        """Dropped: previews are best effort, and no process that could show one is in reach."""

    def follow_previews(
        self,
        topic: str,  # noqa: ARG002 - the port's
        deliver: Callable[[JsonObject], None],  # noqa: ARG002 - the port's
    ) -> Subscription:
        return _Silence()

    def previewed(self, topic: str) -> bool:  # noqa: ARG002 - the port's
        return False


class _Bell:
    """Rings until it is closed."""

    def __init__(self, topic: str, ring: Callable[[], None], seconds: float) -> None:
        self._ring = ring
        self._seconds = seconds
        self._closed = threading.Event()
        threading.Thread(target=self._toll, name=f"bell {topic}", daemon=True).start()

    def _toll(self) -> None:
        while not self._closed.wait(self._seconds):
            try:
                self._ring()
            except Exception:  # noqa: BLE001 - the next ring may find the log in reach again
                _log.exception("doorbell_failed")

    def close(self) -> None:
        self._closed.set()


class _Silence:
    """A subscription to nothing."""

    def close(self) -> None:
        """Nothing was opened."""
