"""What it costs that every claim conditions on the session's item: 64 threads of one session, each
of them claiming and finishing turns at the same time, with those conditions and without.

It measures the log alone, on a store on disk: no model, no HTTP. The threads are heads of one
session, written straight into the store.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.report import machine, percentile
from freehold.adapters.blobs import DirectoryBlobs
from freehold.adapters.local_secrets import LocalSecrets
from freehold.adapters.sqlite import SqliteRecords
from freehold.domain import turn
from freehold.domain.draft import Draft, Snapshot
from freehold.domain.session import Head, Pending, SessionState
from freehold.domain.step import Lease, Limits, Reply
from freehold.engine.commit import Transaction, perform
from freehold.event_log import EventLog
from freehold.ids import new_id, now, timestamp
from freehold.keys import SessionKey
from freehold.ports import App, Run, Usage, Write
from freehold.settings import Settings

THREADS = 64
_LIMITS = Limits(leg_turns=0, max_retries=0, max_tool_rounds=1000, max_compactions=3)


class _Counted:
    """Counts transactions; `free` leaves out what the session's item is asked."""

    def __init__(self, records: SqliteRecords, *, free: bool) -> None:
        self._records = records
        self._free = free
        self.attempts = 0
        self._lock = threading.Lock()
        self.get, self.query, self.due = records.get, records.query, records.due
        self.put = records.put

    def write(self, writes: Sequence[Write]) -> None:
        with self._lock:
            self.attempts += 1
        if self._free:
            writes = [replace(w, conditions=()) if w.key.sk == "state" else w for w in writes]
        self._records.write(writes)


@dataclass
class Figures:
    """Of one run: commits a second, attempts a commit, and how long a claim took."""

    commits_per_second: float
    attempts_per_commit: float
    claim_p50_ms: float
    claim_p99_ms: float


def measure(directory: Path, turns: int, *, free: bool) -> Figures:
    """Every thread claims and finishes `turns` turns."""
    store = SqliteRecords(directory / "freehold.db")
    records = _Counted(store, free=free)
    blobs, secrets = DirectoryBlobs(directory / "blobs"), LocalSecrets(directory / "secret.key")
    log = EventLog(records, blobs, secrets)
    nothing: Any = None  # no run is started
    app = App(
        Settings(), records, blobs, secrets, log, nothing, nothing, nothing, nothing, now, nothing
    )
    key, heads = _session(app)
    records.attempts = 0
    claims: list[float] = []
    began = time.perf_counter()
    workers = [threading.Thread(target=_work, args=(app, key, h, turns, claims)) for h in heads]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - began
    commits = THREADS * turns * 2
    store.close()
    return Figures(
        round(commits / seconds, 1),
        round(records.attempts / commits, 3),
        round(percentile(claims, 50) * 1000, 2),
        round(percentile(claims, 99) * 1000, 2),
    )


def _session(app: App) -> tuple[SessionKey, list[Head]]:
    """One session whose 64 threads run and have input for ever."""
    key, at = SessionKey("wrkspc_bench", new_id("sesn")), timestamp(now())
    primary = Head(new_id("sthr"), None, "bench", at)
    heads = [
        Head(
            new_id("sthr"), primary.thread_id, "bench", at, status="running", epoch=1,
            pending=(Pending("sevt_task", "agent.thread_message_received", 0),),
        )
        for _ in range(THREADS)
    ]  # fmt: skip
    state = SessionState(primary.thread_id, threads=THREADS + 1, running=THREADS)
    draft = Draft(Snapshot(key, state, {}), commit_id="first", actor="bench", now=now())
    draft.born(primary)
    app.log.create(draft)
    for head in heads:
        child = Draft(Snapshot(key, state, {}), commit_id=new_id("cmt"), actor="bench", now=now())
        child.born(head)
        app.log.commit(child)
    return key, heads


def _work(app: App, key: SessionKey, head: Head, turns: int, claims: list[float]) -> None:
    run = Run(key.workspace_id, key.session_id, head.thread_id, head.epoch, 0)
    reply = Reply((), (), (), Usage(), "end_turn")

    def begin(draft: Draft) -> object:
        until = timestamp(draft.now + timedelta(seconds=45))
        return turn.begin_turn(draft, run, Lease(head.thread_id, until))

    def finish(draft: Draft) -> object:
        # Input arrives all the time, so that the thread never settles.
        pending = Pending("sevt_task", "agent.thread_message_received", 0)
        draft.set(head.thread_id, pending=(pending,))
        return turn.finish_turn(draft, run, head.thread_id, reply, _LIMITS)

    for _ in range(turns):
        began = time.perf_counter()
        _commit(app, key, head, begin)
        claims.append(time.perf_counter() - began)
        _commit(app, key, head, finish)


def _commit(app: App, key: SessionKey, head: Head, plan: Callable[[Draft], object]) -> None:
    transaction = Transaction(
        key, head.thread_id, actor="bench", plan=plan, landed=lambda _snapshot, _entry: None
    )
    perform(app, transaction)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=15, help="turns of each thread (15)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    found = {}
    for name, free in (("conditions on the session", False), ("without them", True)):
        with tempfile.TemporaryDirectory() as directory:
            found[name] = measure(Path(directory), given.n, free=free)
    if given.json:
        with_conditions = found["conditions on the session"]
        report = {
            "machine": machine(),
            "n": given.n,
            "p50_ms": with_conditions.claim_p50_ms,
            "p99_ms": with_conditions.claim_p99_ms,
            "p50_bound_ms": None,
            "runs": {name: vars(figures) for name, figures in found.items()},
        }
        print(json.dumps(report))
        return
    n = THREADS * given.n
    print(f"{machine()}, {now():%Y-%m-%d}, {THREADS} threads of one session, n = {n}")
    for name, figures in found.items():
        shown = ", ".join(f"{label} {value}" for label, value in vars(figures).items())
        print(f"{name:<28} {shown}")


if __name__ == "__main__":
    main()
