"""One feed looked at for all who follow it here: the reading side."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from freehold import keys, listeners
from freehold.adapters.table_feed.lease import Lease
from freehold.adapters.table_feed.rounds import Rounds
from freehold.ids import id_floor
from freehold.ports import Records

_log = logging.getLogger("freehold.feed")

BUSY_SECONDS = 0.25
IDLE_SECONDS = 1.0
QUIET_SECONDS = 30.0
"""Of silence, after which looks become rare: longer than a model usually thinks."""
_PAGE = 100
_SKEW = timedelta(seconds=5)
"""By how much clocks may differ: previews of so long before are read, and superseded already."""

Callback = Callable[..., None]


class Watch:
    """Belongs to the feed that made it, whose lock guards who is called. `look` is its round."""

    def __init__(
        self, records: Records, topic: str, clock: Callable[[], datetime], rounds: Rounds
    ) -> None:
        self._records = records
        self._topic = topic
        self._clock = clock
        self._bells: tuple[Callback, ...] = ()
        self._followers: tuple[Callback, ...] = ()
        self._place: str | None = None
        self._preview_place = ""
        self._busy_until = time.monotonic() + QUIET_SECONDS
        self._round = rounds.add(self.look)

    @property
    def is_needed(self) -> bool:
        return bool(self._bells or self._followers)

    def subscribe(self, ring: Callback) -> None:
        self._bells += (ring,)
        self._round.hasten()

    def unsubscribe(self, ring: Callback) -> None:
        self._bells = _without(self._bells, ring)

    def follow(self, deliver: Callback) -> None:
        if not self._followers:
            floor = id_floor("preview", self._clock() - _SKEW)
            self._preview_place = max(self._preview_place, floor)
        self._followers += (deliver,)

    def unfollow(self, deliver: Callback) -> None:
        self._followers = _without(self._followers, deliver)

    def close(self) -> None:
        self._round.close()

    def look(self) -> float:
        """Rings and delivers what is new; answers when to look again. Previews come first: they
        were made before the event that supersedes them.
        """
        has_news = self._deliver() if self._followers else False
        if self._bells:
            has_news = self._ring() or has_news
        now = time.monotonic()
        if has_news:
            self._busy_until = now + QUIET_SECONDS
        return BUSY_SECONDS if now < self._busy_until else IDLE_SECONDS

    def _ring(self) -> bool:
        """The first look rings in any case: what came before it nobody could have heard."""
        if self._place is None:
            page = self._records.query(self._topic, limit=1, reverse=True)
        else:
            # A commit that this does not show yet is shown by the next look.
            page = self._records.query(
                self._topic, after=self._place, limit=_PAGE, consistent=False
            )
        has_news = bool(page.items) or self._place is None
        self._place = page.items[-1][0].sk if page.items else self._place or ""
        if has_news:
            call_all(self._bells, "doorbell_failed")
        return has_news

    def _deliver(self) -> bool:
        """Up to where one is missing, which the next look will show: what is sent is a prefix."""
        partition = keys.previews(self._topic)
        page = self._records.query(
            partition, after=self._preview_place, limit=_PAGE, consistent=False
        )
        for key, row in page.items:
            if str(row.get("follows", "")) > self._preview_place:
                break
            self._preview_place = key.sk
            for frame in listeners.frames_of(row):
                call_all(self._followers, "preview_failed", frame)
        return bool(page.items)


class Doorbell:
    """A subscription to the doorbell of a watch."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave = leave

    def close(self) -> None:
        self._leave()


class Previewing:
    """A subscription to the previews of a watch, and the row that asks for them."""

    def __init__(self, leave: Callable[[], None], lease: Lease) -> None:
        self._leave = leave
        self._lease = lease

    def close(self) -> None:
        self._leave()
        self._lease.close()


def call_all(callbacks: tuple[Callback, ...], failure: str, *given: Any) -> None:
    """Each of them, whatever becomes of the others; `failure` is the line in the log."""
    for callback in callbacks:
        try:
            callback(*given)
        except Exception:  # noqa: BLE001 - the others have a right to theirs
            _log.exception(failure)


def _without(callbacks: tuple[Callback, ...], gone: Callback) -> tuple[Callback, ...]:
    return tuple(callback for callback in callbacks if callback is not gone)
