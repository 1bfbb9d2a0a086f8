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
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.aged_sessions import Sessions
from bench.report import machine, percentile
from freehold.keys import SessionKey
from freehold.ports import App
from freehold.services.keys import Caller

POINTS = (10, 1_000, 5_000, 10_000)
MOST_RATIO = 1.3
_ROUND = 10


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


class _Aged:
    """A process with sessions of one age."""

    def __init__(self, events: int, directory: Path) -> None:
        self._events = events
        self._bench = Sessions(directory)
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
