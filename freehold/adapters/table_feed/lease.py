"""The row by which a process says that previews of a feed are wanted here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from freehold import keys, listeners
from freehold.adapters.table_feed.rounds import Round, Rounds
from freehold.errors import AmbiguousWrite, StaleRead, Unavailable
from freehold.ids import new_id
from freehold.ports import Records, Write

_log = logging.getLogger("freehold.feed")


class Lease:
    """Renewed until it is closed. One that is never closed lapses."""

    def __init__(self, records: Records, topic: str, clock: Callable[[], datetime]) -> None:
        self._records = records
        self._key = keys.stream_listener(topic, new_id("stream"))
        self._clock = clock
        self._is_closed = False
        self._round: Round | None = None

    def take(self, rounds: Rounds) -> None:
        """Blocks for a write. Without the table the renewal takes it."""
        self._write(Write(self._key, put=listeners.stream_row(self._clock())))
        self._round = rounds.add(self._keep, after=listeners.RENEWAL.total_seconds())

    def close(self) -> None:
        """The row goes soon after."""
        self._is_closed = True
        if self._round is not None:
            self._round.hasten()

    def _keep(self) -> float | None:
        if self._is_closed:
            self._write(Write(self._key, delete=True))
            return None
        self._write(Write(self._key, put=listeners.stream_row(self._clock())))
        return listeners.RENEWAL.total_seconds()

    def _write(self, write: Write) -> None:
        try:
            self._records.write([write])
        except (AmbiguousWrite, StaleRead, Unavailable):
            _log.warning("listener_not_written")
