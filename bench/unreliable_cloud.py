"""A deployment in this process whose parts fail as AWS's do: the store is too busy or does not
answer, the table's stream repeats and reorders its records, posts to connections fail.
"""

from __future__ import annotations

import queue
import random
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from freehold import bootstrap
from freehold.errors import (
    AmbiguousWrite,
    ConnectionBusy,
    ConnectionGone,
    StaleRead,
    Unavailable,
)
from freehold.event_log import EventLog
from freehold.local.runs import LocalRuns
from freehold.ports import App, Records, Write
from freehold.settings import Settings
from freehold.testing.table_stream import Record, StreamedRecords
from functions.api.handler import make_handler as make_api
from functions.fan_out.handler import make_handler as make_fan_out
from functions.reaper.handler import make_handler as make_reaper
from functions.run_tools.handler import make_handler as make_run_tools
from functions.run_turn.handler import make_handler as make_run_turn
from functions.websocket.handler import make_handler as make_websocket

_SHARDS = 4
_BATCH = 100


class Weather:
    """Whether things fail now, and how often they did."""

    def __init__(self) -> None:
        self.is_calm = False
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def strikes(self, name: str, share: float) -> bool:
        """With a probability of `share`, counted under `name`."""
        if self.is_calm or random.random() >= share:
            return False
        self.count(name)
        return True

    def count(self, name: str, many: int = 1) -> None:
        with self._lock:
            self.counts[name] += many


class ThrottledRecords:
    """`Records` that are at times too busy, meet others, or leave a write unanswered."""

    def __init__(self, records: Records, weather: Weather) -> None:
        self._records = records
        self._weather = weather
        self.query, self.due = records.query, records.due

    def get(self, keys: Sequence[Any]) -> list[Any]:
        if self._weather.strikes("reads refused", 0.001):
            raise Unavailable("The store cannot be read.", retry_after=1)
        return self._records.get(keys)

    def write(self, writes: Sequence[Write]) -> None:
        if self._weather.strikes("transactions in conflict", 0.03):
            raise StaleRead
        if self._weather.strikes("writes refused", 0.003):
            raise Unavailable("The store did not take the write in time.", retry_after=1)
        self._records.write(writes)
        if self._weather.strikes("writes not answered", 0.005):
            raise AmbiguousWrite


class Shard:
    """A part of the stream: batches in order but for bad weather, each until it is done."""

    def __init__(self, handler: Callable[[Any, Any], Mapping[str, Any]], weather: Weather) -> None:
        self._handler = handler
        self._weather = weather
        self._records: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._late: list[Record] = []
        self._old: list[Record] = []
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def put(self, record: Record | None) -> None:
        """None ends the shard behind what came before."""
        self._records.put(record)

    def close(self) -> None:
        for shard in self._shards:
            shard.put(None)
            shard.thread.join(10)
        self._runs.close(5)
        bootstrap.close(self._laptop)
