"""The log as stored: seal, chain, large bodies, and entries that an earlier version wrote."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from freehold.domain import chain
from freehold.engine import recovery
from freehold.errors import NewerStore, NotFound
from freehold.event_log import EventLog
from freehold.history_cache import HistoryCache
from freehold.keys import SessionKey
from freehold.ports import Write
from freehold.services.sessions import delete_session
from freehold.testing.script import script
from tests.golden import put_items, read_golden
from tests.unit.sessions import Bench


def test_every_settle_seals_the_head_with_a_keyed_mac(tmp_path):
    bench = Bench(tmp_path)
    bench.say("Hello.")
    seal, last = bench.head.seal, bench.entries[-1]
    assert seal["hash"] == last.hash == bench.head.chain
    assert seal["version"] == last.version
    message = f"{bench.thread_id}/{last.version}/".encode() + last.hash
    assert seal["mac"] == bench.app.secrets.mac("log-seal", message)


def test_the_chain_is_over_the_bytes_as_stored(tmp_path):
    bench = Bench(tmp_path)
    bench.say(script({"tool": "bash", "input": {"command": "true"}}, {"say": "Done."}))
    page = bench.records.query(bench.key.feed(bench.thread_id))
    previous = chain.genesis(bench.key.session_id, bench.thread_id)
    names = ("v", "version", "first_seq", "n", "at", "actor", "commit_id")
    for _, item in page.items:
        header = {name: item[name] for name in names}
        digest = chain.commit_hash(previous, header, item["events"], item["private"])
        assert item["prev_hash"] == previous
        assert item["hash"] == digest
        previous = digest
    assert len(page.items) > 4


def test_bodies_too_large_for_an_item_go_to_blobs_and_come_back_whole(tmp_path):
    bench = Bench(tmp_path)
    large = "x" * 900_000
    bench.say(f"{script({'say': 'Read.'})} {large}")
    stored = bench.records.query(bench.key.feed(bench.thread_id))
    assert all(len(item["events"]) < 300_000 for _, item in stored.items)
    sent = next(e for e in bench.events if e["type"] == "user.message")
    assert sent["content"][0]["text"].endswith(large)
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}
    assert large in json.dumps(bench.model.requests[-1].messages)


def test_the_cache_counts_what_is_in_blobs(tmp_path):
    """It would otherwise keep far more in memory than it may."""
    bench = Bench(tmp_path)
    bench.say("x" * 900_000)
    sizes = [entry.size for entry in bench.entries]
    assert sum(size > 900_000 for size in sizes) == 2
    cache = HistoryCache(max_bytes=1_000_000)
    cache.put("feed", bench.entries)
    assert cache.get("feed") == []


def test_a_hole_in_what_was_read_is_not_kept(tmp_path):
    bench = Bench(tmp_path)
    bench.say("Hello.")
    log = EventLog(_Blinks(bench.records), bench.app.blobs, bench.app.secrets)
    with pytest.raises(LookupError):
        log.history(bench.key, bench.thread_id)
    assert log.history(bench.key, bench.thread_id) == bench.entries


class _Blinks:
    """A store whose first query misses a commit that a later page of it would have."""

    def __init__(self, records):
        self._records = records
        self._blinked = False

    def query(self, pk, **bounds):
        page = self._records.query(pk, **bounds)
        if self._blinked:
            return page
        self._blinked = True
        return replace(page, items=page.items[:1] + page.items[2:])


def test_an_event_cannot_forge_its_way_to_a_blob(tmp_path):
    bench = Bench(tmp_path)
    bench.app.blobs.put("wrkspc_other/session/secret", b'{"id": "stolen"}')
    bench.say(json.dumps({"$blob": "wrkspc_other/session/secret"}))
    assert "stolen" not in json.dumps(bench.events)


def test_a_deleted_sessions_marker_is_nowhere_in_the_store(tmp_path):
    path = tmp_path / "freehold.db"
    bench = Bench(tmp_path, path=path)
    marker = "a-marker-nobody-else-writes"
    bench.say(f"{marker} {'y' * 400_000}")
    delete_session(bench.app, bench.caller, bench.key.session_id)
    with pytest.raises(NotFound):
        bench.say("Anybody?")
    assert recovery.sweep(bench.app).visited == 1
    assert bench.records.get([bench.key.state()]) == [None]
    bench.records.close()
    for file in (p for p in tmp_path.rglob("*") if p.is_file()):
        assert marker.encode() not in file.read_bytes(), file


def test_what_version_1_wrote_is_read(tmp_path):
    golden = read_golden("log_v1.json")
    bench = Bench(tmp_path)
    key = SessionKey(**golden["session"])
    put_items(bench.records, golden)
    log = EventLog(bench.records, bench.app.blobs, bench.app.secrets)
    snapshot = log.read(key)
    assert snapshot.primary.status == "idle"
    assert snapshot.session.running == 0
    events = [e for entry in log.history(key, snapshot.session.primary_id) for e in entry.events]
    assert [event["type"] for event in events] == golden["types"]
    assert events[-1]["stop_reason"] == {"type": "end_turn"}


def test_a_commit_of_a_later_version_is_refused_and_not_half_understood(tmp_path):
    bench = Bench(tmp_path)
    bench.say("Hello.")
    place, item = bench.records.query(bench.key.feed(bench.thread_id)).items[-1]
    bench.records.write([Write(place, put={**item, "v": item["v"] + 1})])
    with pytest.raises(NewerStore, match="later release"):
        EventLog(bench.records, bench.app.blobs, bench.app.secrets).history(
            bench.key, bench.thread_id
        )
