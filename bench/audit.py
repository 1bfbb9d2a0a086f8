"""How long it takes to verify a session of 10,000 commits: `freehold audit verify`, without the
start of the program. A tenth of the commits settle, and each of those is sealed.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from bench.report import Bounds, options, report
from freehold.adapters.blobs import DirectoryBlobs
from freehold.adapters.local_secrets import LocalSecrets
from freehold.adapters.sqlite import SqliteRecords
from freehold.audit.session import verify_session
from freehold.bootstrap_at_rest import at_rest
from freehold.domain import lifecycle
from freehold.domain.draft import Draft, Snapshot
from freehold.domain.session import Head, SessionState
from freehold.ids import new_id, now, timestamp
from freehold.keys import SessionKey
from freehold.ports import App
from freehold.wire.content import TextBlock
from freehold.wire.events import AgentMessageEvent, SessionEndTurn

COMMITS = 10_000
_PERIOD = 10
_TEXT = "It was written, and it is to be read again. " * 12


def fill(app: App, commits: int) -> SessionKey:
    """A session with one thread of so many commits, written as the engine writes them."""
    key, thread_id = SessionKey("wrkspc_bench", new_id("sesn")), new_id("sthr")
    head = Head(thread_id, None, "bench", created_at=timestamp(now()))
    draft = _draft(Snapshot(key, SessionState(primary_id=thread_id), {}))
    draft.born(head)
    app.log.create(draft)
    for n in range(commits - 1):
        draft = _draft(app.log.read(key))
        if n % _PERIOD == 0:
            lifecycle.start(draft, thread_id)
        elif n % _PERIOD == _PERIOD - 1:
            lifecycle.settle(draft, thread_id, "idle", SessionEndTurn())
        else:
            draft.emit(thread_id, AgentMessageEvent, content=[TextBlock(text=_TEXT)])
        app.log.commit(draft)
    return key


def store(directory: Path) -> tuple[SqliteRecords, App]:
    """An empty store on the disk, and the log in it."""
    records = SqliteRecords(directory / "freehold.db", synchronous="NORMAL")
    secrets = LocalSecrets(directory / "secret.key")
    return records, at_rest(records, DirectoryBlobs(directory / "blobs"), secrets)


def _draft(snapshot: Snapshot) -> Draft:
    return Draft(snapshot, commit_id=new_id("cmt"), actor="bench", now=now())


def main() -> None:
    """Prints the time of one verification, over `--n` of them."""
    given = options(__doc__, n=20)
    seconds = []
    with tempfile.TemporaryDirectory() as directory:
        records, app = store(Path(directory))
        key = fill(app, COMMITS)
        for _ in range(given.n):
            began = time.perf_counter()
            found = verify_session(app, key)
            seconds.append(time.perf_counter() - began)
            if found.all_damage or found.threads[0].commits != COMMITS:
                raise SystemExit(f"not as it was written: {found.all_damage[:3]}")
        records.close()
    report("verify 10,000 commits", seconds, Bounds(p99=2000), as_json=given.json)


if __name__ == "__main__":
    main()
