"""What a turn costs in an old session: from its POST to its end, the items that are read for it and
the memory of the process, at 10, 1,000, 5,000 and 10,000 events.

Each point has a process of its own, with a store on disk and a model that answers at once. The old
sessions were summarized on their way, as theirs is a window of about 20 turns. *Cold* is a turn
whose process knows nothing of the session. The bound is on processor time, since the points are
compared with each other and others use the machine too. p50 and p99 of the JSON are those of a warm
turn at the last point, the bound is 1.3 times the one at the first.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.report import machine, percentile
from freehold import bootstrap
from freehold.adapters.no_sandbox import NoSandbox
from freehold.domain.compaction import INSTRUCTION
from freehold.engine.turn import run_turn
from freehold.event_log import EventLog
from freehold.keys import Key, SessionKey
from freehold.ports import (
    App,
    BlockDone,
    BlockStarted,
    Item,
    ModelRequest,
    Page,
    ReplyDone,
    Run,
    Usage,
)
from freehold.services.events import send_events
from freehold.services.keys import Caller
from freehold.settings import Settings
from freehold.wire.event_input import SendEvents
from tests.protocol.sessions import seed_session

POINTS = (10, 1_000, 5_000, 10_000)
MOST_RATIO = 1.3
_WINDOW = 16_000
_TOKENS_OF_MESSAGE = 250
_ROUND = 10
_MESSAGE = "Say one word. " * 20


@dataclass(frozen=True, slots=True)
class Point:
    """Milliseconds, items and megabytes at an age in events. `since`: the most events behind a
    checkpoint.
    """

    events: int
    since: int
    warm_cpu_p50_ms: float
    warm_cpu_p99_ms: float
    cold_cpu_p50_ms: float
    warm_p50_ms: float
    cold_p50_ms: float
    warm_items: int
    cold_items: int
    rss_mb: float


class _Counting:
    """The store, and how many items were read of it."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self.items = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)

    def get(self, keys: Sequence[Key]) -> list[Item | None]:
        self.items += len(keys)
        found: list[Item | None] = self._records.get(keys)
        return found

    def query(self, pk: str, **bounds: Any) -> Page:
        page: Page = self._records.query(pk, **bounds)
        self.items += len(page.items)
        return page


class _Instant:
    """A model that answers at once, and takes each message for 250 tokens."""

    def open(self, request: ModelRequest) -> _InstantReply:
        return _InstantReply(request)


class _InstantReply:
    def __init__(self, request: ModelRequest) -> None:
        content = request.messages[-1]["content"]
        assert isinstance(content, list)
        is_summary = any(isinstance(b, dict) and b.get("text") == INSTRUCTION for b in content)
        self._text = "What was said so far." if is_summary else "Word."
        self._usage = Usage(input_tokens=_TOKENS_OF_MESSAGE * len(request.messages))

    def __iter__(self) -> Iterator[Any]:
        yield BlockStarted(0, "text")
        yield BlockDone(0, {"type": "text", "text": self._text})
        yield ReplyDone("end_turn", self._usage)

    def close(self) -> None:
        """Nothing is open."""


class _Started:
    """Executions wait until they are carried out."""

    def __init__(self) -> None:
        self.waiting: list[Run] = []

    def start(self, run: Run) -> bool:
        self.waiting.append(run)
        return True


class _Bench:
    """Sessions in one directory."""

    def __init__(self, directory: Path) -> None:
        # Waits for the disk would be the larger part, and are the same at every age.
        settings = Settings(data_dir=directory, context_window=_WINDOW, synchronous="NORMAL")
        self._runs = _Started()
        app = bootstrap.local(settings, runs=self._runs, model=_Instant(), sandboxes=NoSandbox())
        self.records = _Counting(app.records)
        self.app = replace(app, records=self.records)
        self.forget()

    def forget(self) -> None:
        """As in a new process."""
        log = EventLog(self.records, self.app.blobs, self.app.secrets)
        self.app = replace(self.app, log=log)

    def session(self) -> tuple[SessionKey, Caller]:
        key, caller = seed_session(self.app)
        return key, caller

    def turn(self, key: SessionKey, caller: Caller) -> tuple[float, float]:
        """Milliseconds from a message to its thread's idle: of the processor, and of the clock."""
        content = [{"type": "text", "text": _MESSAGE}]
        said = SendEvents.model_validate({"events": [{"type": "user.message", "content": content}]})
        cpu, began = time.process_time(), time.perf_counter()
        send_events(self.app, caller, key.session_id, said)
        while self._runs.waiting:
            run = self._runs.waiting.pop(0)
            while run_turn(self.app, run).next == "turn":
                pass
        return (time.process_time() - cpu) * 1000, (time.perf_counter() - began) * 1000


class _Aged:
    """A process with sessions of one age."""

    def __init__(self, events: int, directory: Path) -> None:
        self._events = events
        self._bench = _Bench(directory)
        self._session = self._grown()
        self._number = 0

    def samples(self, n: int) -> list[_Sample]:
        """`n` turns, a cold one before each warm one. A young session is another one for each, an
        old one stays as old as it is.
        """
        return [self._sample() for _ in range(n * 2)]

    def _sample(self) -> _Sample:
        bench, is_cold = self._bench, self._number % 2 == 0
        self._number += 1
        if self._events < POINTS[1]:
            self._session = self._grown()
        bench.turn(
            *bench.session()
        )  # what a processor forgets meanwhile has nothing to do with age
        if is_cold:
            bench.forget()
        bench.records.items = 0
        cpu, wall = bench.turn(*self._session)
        key = self._session[0]
        return _Sample(
            is_cold, cpu, wall, bench.records.items, _since(bench.app, key), _resident_mb()
        )

    def _grown(self) -> tuple[SessionKey, Caller]:
        key, caller = self._bench.session()
        while self._bench.app.log.read(key).primary.next_seq <= self._events:
            self._bench.turn(key, caller)
        return key, caller


@dataclass(frozen=True, slots=True)
class _Sample:
    is_cold: bool
    cpu_ms: float
    wall_ms: float
    items: int
    since: int
    rss_mb: float


_aged: dict[int, _Aged] = {}
"""Of a child process: its one."""


def _begin(events: int, directory: str) -> None:
    Path(directory).mkdir()
    _aged[events] = _Aged(events, Path(directory))


def _samples(events: int, n: int) -> list[_Sample]:
    return _aged[events].samples(n)


def measure(n: int) -> list[Point]:
    """`n` warm turns and as many cold ones at each age, the ages by turns: what else the machine
    does falls on all of them.
    """
    found: dict[int, list[_Sample]] = {events: [] for events in POINTS}
    spawned = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        pools = {
            events: stack.enter_context(ProcessPoolExecutor(1, mp_context=spawned))
            for events in POINTS
        }
        for events, pool in pools.items():
            pool.submit(_begin, events, f"{directory}/{events}").result()
        for begun in range(0, n, _ROUND):
            for events, pool in pools.items():
                found[events] += pool.submit(_samples, events, min(_ROUND, n - begun)).result()
    return [_point(events, samples) for events, samples in found.items()]


def _point(events: int, samples: Sequence[_Sample]) -> Point:
    warm = [sample for sample in samples if not sample.is_cold]
    cold = [sample for sample in samples if sample.is_cold]
    return Point(
        events,
        max(sample.since for sample in samples),
        _percentile([sample.cpu_ms for sample in warm], 50),
        _percentile([sample.cpu_ms for sample in warm], 99),
        _percentile([sample.cpu_ms for sample in cold], 50),
        _percentile([sample.wall_ms for sample in warm], 50),
        _percentile([sample.wall_ms for sample in cold], 50),
        max(sample.items for sample in warm),
        max(sample.items for sample in cold),
        round(max(sample.rss_mb for sample in samples), 1),
    )


def _percentile(milliseconds: list[float], percent: int) -> float:
    return round(percentile(milliseconds, percent), 2)


def _since(app: App, key: SessionKey) -> int:
    """Events that a turn finds behind the checkpoint."""
    head = app.log.read(key).primary
    return head.next_seq - head.begins.seq


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--n", type=int, default=100, help="turns a point, warm and cold each (100)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    points = measure(given.n)
    young, old = points[0], points[-1]
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    if given.json:
        found = {
            "what": "turn of an old session",
            "machine": machine(),
            "date": today,
            "n": given.n,
            "p50_ms": old.warm_cpu_p50_ms,
            "p99_ms": old.warm_cpu_p99_ms,
            "p50_bound_ms": round(young.warm_cpu_p50_ms * MOST_RATIO, 2),
            "points": [asdict(point) for point in points],
        }
        print(json.dumps(found))
        return
    print(f"{machine()}, {today}, n = {given.n}")
    for point in points:
        print(", ".join(f"{name} {value}" for name, value in asdict(point).items()))
    ratio = old.warm_cpu_p50_ms / young.warm_cpu_p50_ms
    cold = old.cold_cpu_p50_ms / young.cold_cpu_p50_ms
    print(f"ratio warm {ratio:.2f}, cold {cold:.2f}, bound {MOST_RATIO}")


if __name__ == "__main__":
    main()
