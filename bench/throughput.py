"""Throughput: turns a second with 64 sessions at work at any time, each with a history of 10
events, with `synchronous=FULL` and, beside it, with NORMAL.

The load comes from this process over raw HTTP, the server is a process of its own. A turn is over
when `session.status_idle` is read from the session's stream, which was opened before. No session
takes part twice, so that histories stay as short as they are said to be.
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

LANES = 64
BOUND, GOAL = 150, 300
_SAY = message("Say one word.")
_IDLE = b"event: session.status_idle\n"
_LENGTH = re.compile(rb"content-length: (\d+)\r\n", re.IGNORECASE)
_SECONDS = 60.0
_HEADERS = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())

Synchronous = Literal["FULL", "NORMAL"]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run. The latency is of a turn, from the first byte of its POST, under this load."""

    turns_per_second: float
    p50_ms: float
    p99_ms: float


# ---------------------------------------------------------------- the load
class Connection:
    """One connection of HTTP/1.1 to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: str) -> Connection:
        host, _, port = address.partition(":")
        return cls(*await asyncio.open_connection(host, int(port), limit=1_000_000))

    async def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The head of the answer. Raises RuntimeError when it is not a 200."""
        length = f"host: x\r\ncontent-length: {len(body)}\r\n"
        self._writer.write(f"{method} {path} HTTP/1.1\r\n{length}{_HEADERS}\r\n".encode() + body)
        head = await self.reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(head.decode(errors="replace"))
        return head

    async def post(self, path: str, body: bytes) -> bytes:
        """The body of the answer."""
        found = _LENGTH.search(await self.request("POST", path, body))
        assert found
        return await self.reader.readexactly(int(found[1]))


class Lane:
    """A client that takes one turn at a time, each on another session with a turn behind it."""

    def __init__(self, address: str, new_session: bytes) -> None:
        self._address = address
        self._new_session = new_session
        self._sessions: list[tuple[str, Connection]] = []
        self.seconds: list[float] = []

    async def prepare(self, n: int) -> None:
        """`n` sessions with a first turn and an open stream."""
        self._posts = await Connection.open(self._address)
        for _ in range(n):
            session = json.loads(await self._posts.post("/v1/sessions", self._new_session))
            path = f"/v1/sessions/{session['id']}/events"
            stream = await Connection.open(self._address)
            await stream.request("GET", f"{path}/stream")
            await self._turn(path, stream)
            self._sessions.append((path, stream))

    async def run(self) -> None:
        """The second turn of every session."""
        for path, stream in self._sessions:
            began = time.perf_counter()
            await self._turn(path, stream)
            self.seconds.append(time.perf_counter() - began)

    async def _turn(self, path: str, stream: Connection) -> None:
        async with asyncio.timeout(_SECONDS):
            await self._posts.post(path, _SAY)
            await stream.reader.readuntil(_IDLE)


async def measure(url: str, n: int) -> Figures:
    """`n` turns of each lane."""
    api = Api(url)
    agent = api.post("/v1/agents", {"name": "bench", "model": "claude-sonnet-5-5"})
    environment = api.post("/v1/environments", {"name": "bench"})
    body = json.dumps({"agent": agent["id"], "environment_id": environment["id"]}).encode()
    lanes = [Lane(url.removeprefix("http://"), body) for _ in range(LANES)]
    await asyncio.gather(*(lane.prepare(n) for lane in lanes))
    began = time.perf_counter()
    await asyncio.gather(*(lane.run() for lane in lanes))
    took = time.perf_counter() - began
    seconds = [second for lane in lanes for second in lane.seconds]
    return Figures(
        round(LANES * n / took, 1),
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
    parser.add_argument("--n", type=int, default=10, help="turns of each of the 64 (10)")
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
    print(f"{machine()}, {now():%Y-%m-%d}, {LANES} sessions, n = {LANES * given.n} turns")
    for name, figures in found.items():
        print(
            f"synchronous={name:<7} {figures.turns_per_second:>7} turns/s"
            f" (bound >= {BOUND}, goal {GOAL}), a turn p50 {figures.p50_ms} ms,"
            f" p99 {figures.p99_ms} ms"
        )


if __name__ == "__main__":
    main()
