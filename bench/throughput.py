"""Throughput: 64 sessions, each with a turn behind it (10 events), take turn after turn, all at the
same time. Turns a second with `synchronous=FULL`, and with NORMAL beside it.

The load comes from this process over raw HTTP, the server is a process of its own. A turn is over
when `session.status_idle` is read from the session's stream.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from bench.api import HEADERS, KEY, Api, message
from bench.report import machine, percentile
from freehold.ids import now
from freehold.local.server import serve
from freehold.settings import Settings

SESSIONS = 64
BOUND, GOAL = 150, 300
_SAY = message("Say one word.")
_IDLE = b"event: session.status_idle\n"
_LENGTH = re.compile(rb"content-length: (\d+)\r\n", re.IGNORECASE)
_SECONDS = 60.0

Synchronous = Literal["FULL", "NORMAL"]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run. The latency is of a turn, from the first byte of its POST, under this load."""

    turns_per_second: float
    p50_ms: float
    p99_ms: float


# ---------------------------------------------------------------- the load
class Lane:
    """One session: a connection to post on, and one with its open stream."""

    def __init__(self, address: str, session: str) -> None:
        self._host, _, self._port = address.partition(":")
        self._head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        self._path = f"/v1/sessions/{session}/events"
        self.seconds: list[float] = []

    async def open(self) -> None:
        """Returns once the stream's headers are there."""
        self._posts, self._requests = await self._connection()
        self._frames, self._asking = await self._connection()
        self._asking.write(
            f"GET {self._path}/stream HTTP/1.1\r\nhost: x\r\n{self._head}\r\n".encode()
        )
        await self._check(self._frames)

    async def turns(self, n: int) -> None:
        """One after the other, as fast as the server takes them."""
        for _ in range(n):
            began = time.perf_counter()
            length = f"host: x\r\ncontent-length: {len(_SAY)}\r\n"
            self._requests.write(
                f"POST {self._path} HTTP/1.1\r\n{length}{self._head}\r\n".encode() + _SAY
            )
            async with asyncio.timeout(_SECONDS):
                head = await self._check(self._posts)
                found = _LENGTH.search(head)
                assert found, head
                await self._posts.readexactly(int(found[1]))
                await self._frames.readuntil(_IDLE)
            self.seconds.append(time.perf_counter() - began)

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, int(self._port), limit=1_000_000)

    async def _check(self, reader: asyncio.StreamReader) -> bytes:
        """The head of an answer. Raises RuntimeError when it is not a 200."""
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(head.decode(errors="replace"))
        return head


async def measure(url: str, n: int) -> Figures:
    """`n` turns of each session, after the one that gives it its history."""
    api = Api(url)
    lanes = [Lane(url.removeprefix("http://"), api.session(tools=False)) for _ in range(SESSIONS)]
    await asyncio.gather(*(lane.open() for lane in lanes))
    await asyncio.gather(*(lane.turns(1) for lane in lanes))
    for lane in lanes:
        lane.seconds.clear()
    began = time.perf_counter()
    await asyncio.gather(*(lane.turns(n) for lane in lanes))
    took = time.perf_counter() - began
    seconds = [second for lane in lanes for second in lane.seconds]
    return Figures(
        round(SESSIONS * n / took, 1),
        round(percentile(seconds, 50) * 1000, 1),
        round(percentile(seconds, 99) * 1000, 1),
    )


# ---------------------------------------------------------------- the server
@contextmanager
def running_server(synchronous: Synchronous) -> Iterator[str]:
    """The address of a server with an empty data directory: `freehold serve` has no option for a
    store that a power cut may shorten.
    """
    with tempfile.TemporaryDirectory(prefix="freehold-bench-") as directory:
        command = [sys.executable, "-m", "bench.throughput", "--serve", synchronous, directory]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            lines = (line.split() for line in process.stdout)
            yield next(line[1] for line in lines if line[:1] == ["listening"])
        finally:
            process.terminate()
            process.communicate()


def run_server(synchronous: Synchronous, directory: str) -> int:
    """Serves in this process until SIGTERM."""
    return serve(
        Settings.from_environment(
            {"FREEHOLD_API_KEY": KEY},
            data_dir=Path(directory),
            port=0,
            sandbox="none",
            synchronous=synchronous,
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=20, help="turns of each session (20)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        sys.exit(run_server(*given.serve))
    found: dict[str, Figures] = {}
    for synchronous in get_args(Synchronous):
        with running_server(synchronous) as url:
            found[synchronous] = asyncio.run(measure(url, given.n))
    durable = found["FULL"]
    if given.json:
        report = {
            "what": "turns a second, 64 sessions",
            "machine": machine(),
            "n": given.n,
            "turns_per_second": durable.turns_per_second,
            "turns_per_second_bound": BOUND,
            "turns_per_second_goal": GOAL,
            "p50_ms": durable.p50_ms,
            "p99_ms": durable.p99_ms,
            "p50_bound_ms": None,
            "runs": {name: asdict(figures) for name, figures in found.items()},
        }
        print(json.dumps(report))
        return
    print(f"{machine()}, {now():%Y-%m-%d}, {SESSIONS} sessions, n = {SESSIONS * given.n} turns")
    for name, figures in found.items():
        print(
            f"synchronous={name:<7} {figures.turns_per_second:>7} turns/s"
            f" (bound >= {BOUND}, goal {GOAL}), a turn p50 {figures.p50_ms} ms,"
            f" p99 {figures.p99_ms} ms"
        )


if __name__ == "__main__":
    main()
