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

from pydantic import SecretStr

from freehold import bootstrap
from freehold.errors import (
    AmbiguousWrite,
    ConnectionBusy,
    ConnectionGone,
    StaleRead,
    Unavailable,
)
from freehold.event_log import EventLog
from freehold.keys import Key
from freehold.local.runs import LocalRuns
from freehold.ports import App, Item, Records, Write
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

    def put(self, key: Key, item: Item) -> None:
        if self._weather.strikes("writes refused", 0.003):
            raise Unavailable("The store cannot take the write.", retry_after=1)
        self._records.put(key, item)


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

    def _work(self) -> None:
        while True:
            try:
                record = self._records.get(timeout=0.05)
            except queue.Empty:
                self._make_good()
                continue
            if record is None:
                return
            batch = [record]
            while not self._records.empty() and len(batch) < _BATCH:
                following = self._records.get()
                if following is None:
                    return
                batch.append(following)
            self._deliver(self._disturbed(batch))

    def _make_good(self) -> None:
        """What was late comes at last."""
        late, self._late = self._late, []
        self._deliver(late)

    def _disturbed(self, batch: list[Record]) -> list[Record]:
        if self._weather.strikes("batches reordered", 0.1):
            random.shuffle(batch)
        if self._old and self._weather.strikes("batches repeated in part", 0.2):
            batch = [*self._old, *batch]
        self._old = batch[-3:]
        if len(batch) > 1 and self._weather.strikes("records late", 0.05):
            self._late.append(batch.pop(0))
        elif self._late:
            batch, self._late = [*batch, *self._late], []
        return batch

    def _deliver(self, batch: Sequence[Record]) -> None:
        left = batch
        while left:
            self._weather.count("stream records", len(left))
            try:
                answer = self._handler({"Records": left}, None)
            except Exception:  # noqa: BLE001 - Lambda delivers the batch again
                self._weather.count("batches again")
                continue
            failed = {item["itemIdentifier"] for item in answer["batchItemFailures"]}
            left = [r for r in left if r["dynamodb"]["SequenceNumber"] in failed]
            self._weather.count("records again", len(left))


class Gateway:
    """`Connections`: what arrives is given to `hear` of the client that opened one."""

    def __init__(self, weather: Weather) -> None:
        self._weather = weather
        self._open: dict[str, Callable[[str], None]] = {}

    def open(self, connection_id: str, hear: Callable[[str], None]) -> None:
        self._open[connection_id] = hear

    def close(self, connection_id: str) -> None:
        self._open.pop(connection_id, None)

    def is_open(self, connection_id: str) -> bool:
        return connection_id in self._open

    def post(self, connection_id: str, text: str) -> None:
        hear = self._open.get(connection_id)
        if hear is None or self._weather.strikes("connections cut", 0.0005):
            self.close(connection_id)
            raise ConnectionGone(connection_id)
        if self._weather.strikes("posts refused", 0.03):
            raise ConnectionBusy(connection_id)
        self._weather.count("posts")
        hear(text)
        if self._weather.strikes("posts not answered", 0.01):
            raise ConnectionBusy(connection_id)


class Cloud:
    """The functions on one table, in one process."""

    def __init__(self, directory: Path, key: str) -> None:
        self.weather = Weather()
        self.gateway = Gateway(self.weather)
        settings = Settings(data_dir=directory, api_key=SecretStr(key), model="scripted")
        self._runs = LocalRuns()
        self._laptop = bootstrap.local(settings, runs=self._runs)
        store = StreamedRecords(self._laptop.records, self._stream)
        app = self._on(ThrottledRecords(store, self.weather))
        self.log = self._laptop.log
        """Read without bad weather."""
        self.api = make_api(app)
        self.websocket = make_websocket(app, self.gateway)
        fan_out = make_fan_out(app, self.gateway)
        self._shards = [Shard(fan_out, self.weather) for _ in range(_SHARDS)]
        self._runs.open(
            {
                "run_turn": make_run_turn(app),
                "run_tools": make_run_tools(app),
                "reaper": make_reaper(app),
            }
        )

    def _on(self, records: Records) -> App:
        laptop = self._laptop
        log = EventLog(records, laptop.blobs, laptop.secrets)
        return replace(laptop, records=records, log=log)

    def _stream(self, record: Record) -> None:
        partition = record["dynamodb"]["Keys"]["pk"]["S"]
        self._shards[zlib.crc32(partition.encode()) % _SHARDS].put(record)

    def close(self) -> None:
        """Whoever is at work may end it."""
        for shard in self._shards:
            shard.put(None)
            shard.thread.join(10)
        self._runs.close(5)
        bootstrap.close(self._laptop)
