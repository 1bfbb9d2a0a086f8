"""The port: doorbells and previews of processes that share nothing but a table."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

from freehold.adapters.table_feed.announcements import Announcements
from freehold.adapters.table_feed.lease import Lease
from freehold.adapters.table_feed.rounds import Rounds
from freehold.adapters.table_feed.watch import Doorbell, Previewing, Watch, call_all
from freehold.ports import Records, Subscription
from freehold.toolset import JsonObject

RING_SECONDS = 0.5
"""How late an interrupt may be noticed (DESIGN 5). Each ring costs one read of the thread."""
_THREADS = 8


class TableFeed:
    """`Feed` over `Records`. Callbacks run on threads of its own; whoever raises is logged.

    Doorbells ring when a look found commits, unless `ring_seconds` gives a pace: then each rings at
    that pace whether or not there is news, for who watches more than the feed itself.
    """

    def __init__(
        self, records: Records, clock: Callable[[], datetime], *, ring_seconds: float | None = None
    ) -> None:
        """Reads and writes nothing yet."""
        self._records = records
        self._clock = clock
        self._ring_seconds = ring_seconds
        self._rounds = Rounds(_THREADS)
        self._announcements = Announcements(records, clock, self._rounds)
        self._watches: dict[str, Watch] = {}
        self._lock = threading.Lock()

    def subscribe(self, topic: str, ring: Callable[[], None]) -> Subscription:
        """As the port; `close` does not wait for a ring that has begun."""
        seconds = self._ring_seconds
        if seconds is not None:
            return self._rounds.add(_ringing(ring, seconds), after=seconds)

        def once() -> None:
            ring()

        self._enter(topic, lambda watch: watch.subscribe(once))
        return Doorbell(lambda: self._leave(topic, lambda watch: watch.unsubscribe(once)))

    def follow_previews(self, topic: str, deliver: Callable[[JsonObject], None]) -> Subscription:
        """As the port; where the table cannot be written now, previews begin with the renewal of
        the lease.
        """

        def once(frame: JsonObject) -> None:
            deliver(frame)

        self._enter(topic, lambda watch: watch.follow(once))
        lease = Lease(self._records, topic, self._clock)
        lease.take(self._rounds)
        return Previewing(lambda: self._leave(topic, lambda watch: watch.unfollow(once)), lease)

    def preview(self, topic: str, frame: JsonObject) -> None:
        """As the port; at once, whatever the table does."""
        self._announcements.of(topic).add(frame)

    def previewed(self, topic: str) -> bool:
        """What is known, at once. Until it is, somebody might."""
        return self._announcements.of(topic).may_be_heard()

    def _enter(self, topic: str, join: Callable[[Watch], None]) -> None:
        with self._lock:
            watch = self._watches.get(topic)
            if watch is None:
                watch = Watch(self._records, topic, self._clock, self._rounds)
                self._watches[topic] = watch
            join(watch)

    def _leave(self, topic: str, part: Callable[[Watch], None]) -> None:
        """Twice is once. The last one ends the watch."""
        with self._lock:
            watch = self._watches.get(topic)
            if watch is None:
                return
            part(watch)
            if not watch.is_needed:
                watch.close()
                del self._watches[topic]


def _ringing(ring: Callable[[], None], seconds: float) -> Callable[[], float]:
    def act() -> float:
        call_all((ring,), "doorbell_failed")
        return seconds

    return act
