"""Clients that append while a run advances, each in a process of its own, on one session."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from freehold.adapters.blobs import DirectoryBlobs
from freehold.adapters.local_secrets import LocalSecrets
from freehold.adapters.process_feed import ProcessFeed
from freehold.adapters.web import PublicWeb
from freehold.domain import chain
from freehold.engine.tools import run_tools
from freehold.engine.turn import run_turn
from freehold.errors import StaleRead
from freehold.event_log import EventLog
from freehold.ids import now
from freehold.ports import App
from freehold.services.events import send_events
from freehold.settings import Settings
from freehold.testing.faulty_records import Fault, FaultyRecords
from freehold.testing.script import script
from freehold.testing.scripted_model import ScriptedModel
from freehold.wire.event_input import SendEvents
from tests.contract.dynamodb_table import opened
from tests.protocol.invariants import Feed, check_session
from tests.protocol.sessions import seed_session
from tests.unit.sessions import Echo, Queue

_PATIENCE_SECONDS = 60.0
_WORKERS = 2
_FAULTS = (Fault.UNANSWERED, Fault.LOST, Fault.HELD)


@dataclass(frozen=True)
class Place:
    """Where the session is kept. `faulty`: every third write of a process loses its answer."""

    url: str
    table: str
    directory: Path
    faulty: bool = False


class Attempts:
    """Records that count the transactions of the log, and what became of them."""

    def __init__(self, records):
        self._records = records
        self.counts = Counter()

    def __getattr__(self, name):
        return getattr(self._records, name)

    def write(self, writes):
        kind = "log" if any("/feed/" in write.key.pk for write in writes) else "other"
        self.counts[f"{kind} attempts"] += 1
        try:
            self._records.write(writes)
        except StaleRead as stale:
            self.counts[f"{kind} stale: {stale}"] += 1
            raise


@contextmanager
def app_at(place):
    """An `App` as a process on AWS has it, but for the model; and its counts."""
    with opened(place.url, place.table) as table:
        plan = {("write", n * 3): _FAULTS[n % 3] for n in range(1, 1000)} if place.faulty else {}
        faulty = FaultyRecords(table, plan)
        records = Attempts(faulty)
        blobs = DirectoryBlobs(Path(tempfile.mkdtemp(dir=place.directory)))
        secrets = LocalSecrets(place.directory / "secret.key")
        app = App(
            settings=Settings(retry_base_seconds=0.0, write_attempts=60),
            records=records,
            blobs=blobs,
            secrets=secrets,
            log=EventLog(records, blobs, secrets),
            model=ScriptedModel(),
            sandboxes=Echo(),
            runs=Queue(),
            feed=ProcessFeed(),
            clock=now,
            web=PublicWeb(),
        )
        yield app, faulty


def appends_race_a_run(place, *, clients=4, messages=6):
    """Every message of every client is in the log once and is answered, and the feed has no gap.

    Answers what was counted in all processes, and how many commits came of it.
    """
    with app_at(place) as (app, _):
        key, caller = seed_session(app)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(clients + _WORKERS, mp_context=context)
    with context.Manager() as shared, pool:
        runs, gate = shared.Queue(), shared.Barrier(clients)
        workers = [pool.submit(_advance, place, runs) for _ in range(_WORKERS)]
        given = (place, key, caller, messages, gate, runs)
        appended = [pool.submit(_append, *given) for _ in range(clients)]
        try:
            answers = [future.result(_PATIENCE_SECONDS) for future in appended]
        finally:
            for _ in workers:
                runs.put(None)
        answers += [future.result(_PATIENCE_SECONDS) for future in workers]
    acknowledged = [event_id for ids, _ in answers for event_id in ids]
    assert len(set(acknowledged)) == clients * messages
    with app_at(Place(place.url, place.table, place.directory)) as (app, _):
        commits = _check(app, key, acknowledged)
    return sum((counts for _, counts in answers), Counter()), commits


def _append(place, key, caller, messages, gate, runs):
    """A client: sends one message after the other, and starts the runs that its appends mint."""
    sent = []
    with app_at(place) as (app, faulty):
        gate.wait(_PATIENCE_SECONDS)
        for n in range(messages):
            request = SendEvents.model_validate({"events": [_message(n)]})
            stored = send_events(app, caller, key.session_id, request).data
            sent += [event["id"] for event in stored]
            _land(faulty)
            while app.runs.waiting:
                runs.put(app.runs.waiting.pop(0))
        return sent, app.records.counts


def _message(n):
    """Every second one has the model call a tool; each takes a while, so that others arrive."""
    tool = {"tool": "bash", "input": {"command": "true"}} if n % 2 else {}
    text = script({"say": "Well.", "delay_ms": 20, **tool}, {"say": "Done."})
    return {"type": "user.message", "content": [{"type": "text", "text": text}]}


def _advance(place, runs):
    """A worker: one execution after the other, until there are none."""
    with app_at(place) as (app, faulty):
        while (run := runs.get(timeout=_PATIENCE_SECONDS)) is not None:
            stage = "turn"
            while stage in {"turn", "tools"}:
                act = run_tools if stage == "tools" else run_turn
                stage = act(app, run).next
                _land(faulty)
            assert stage in {"idle", "taken"}
        return [], app.records.counts


def _land(faulty):
    """What was on its way arrives, after what was written since."""
    while faulty.held:
        faulty.land()


def _check(app, key, acknowledged):
    """The number of commits."""
    snapshot = app.log.read(key, every=True)
    thread_id = snapshot.session.primary_id
    entries = app.log.history(key, thread_id)
    assert [entry.version for entry in entries] == list(range(len(entries)))
    seqs = [event.seq for event in app.log.scan(key, thread_id, beyond=0)]
    assert seqs == list(range(1, len(seqs) + 1))
    previous = chain.genesis(key.session_id, thread_id)
    for entry in entries:
        assert entry.prev_hash == previous
        previous = entry.hash
    assert snapshot.heads[thread_id].status == "idle"
    check_session(
        snapshot,
        {thread_id: Feed(key.session_id, thread_id, entries, [0] * len(entries))},
        acknowledged,
    )
    said = [e["id"] for entry in entries for e in entry.events if e["type"] == "user.message"]
    assert set(said) == set(acknowledged)
    stamped = Counter(
        e["id"]
        for entry in entries
        for e in entry.events
        if e["type"] == "user.message" and e["processed_at"]
    )
    assert stamped == Counter(acknowledged)
    return len(entries)
