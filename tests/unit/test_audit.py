"""Damage to a log as it lies in the store, each kind told by its name."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from contextlib import closing
from dataclasses import replace

import pytest

from bench.audit import fill, store
from freehold import keys
from freehold.audit.checkpoint import NotACheckpoint, checkpoint, read_checkpoint
from freehold.audit.session import verify_session
from freehold.domain import chain
from freehold.engine.reply import ReplyReader
from freehold.engine.tools import run_tools
from freehold.engine.turn import run_turn
from freehold.keys import Key
from freehold.ports import Write
from freehold.testing.script import script
from tests.unit.stored_rows import HEADER, Rows, audit, bench_on_disk, holding, kinds, said


@pytest.fixture
def bench(tmp_path):
    bench = bench_on_disk(tmp_path)
    yield bench
    bench.records.close()


def test_a_log_that_nobody_touched_is_well(bench):
    found = audit(bench)
    assert found.all_damage == ()
    (thread,) = found.threads
    assert (thread.commits, thread.events) == (bench.head.version, bench.head.next_seq - 1)
    assert thread.sealed == bench.head.version - 1
    assert thread.hash == bench.head.chain.hex()


def test_a_session_that_runs_is_well(bench):
    bench.say("One more.", drain=False)
    assert kinds(bench) == set()


class Growing:
    """The store, in which something is said between the reading of heads and of feeds."""

    def __init__(self, bench):
        self.bench, self.records = bench, bench.records

    def __getattr__(self, name):
        return getattr(self.records, name)

    def query(self, pk, **bounds):
        if pk == self.bench.key.feed(self.bench.thread_id):
            self.bench.say("Meanwhile.")
        return self.records.query(pk, **bounds)


def test_a_session_that_goes_on_while_it_is_verified_is_well(bench):
    as_of = bench.head.version
    found = verify_session(replace(bench.app, records=Growing(bench)), bench.key)
    assert found.all_damage == ()
    assert found.threads[0].commits == as_of < bench.head.version


# ---------------------------------------------------------------- one kind each
def test_an_edited_commit(bench):
    rows = Rows(bench)
    sk, item = holding(rows, b"Hello.")
    rows.write(sk, {**item, **said(item)})
    (damage,) = audit(bench).all_damage
    assert (damage.kind, damage.version) == ("edited", item["version"])


def test_who_sent_it_is_part_of_what_cannot_be_edited(bench):
    rows = Rows(bench)
    sk, item = holding(rows, b"Hello.")
    rows.write(sk, {**item, "actor": "apikey_somebody_else"})
    assert kinds(bench) == {"edited"}


def test_an_edited_commit_with_a_hash_of_its_own(bench):
    rows = Rows(bench)
    sk, item = holding(rows, b"Hello.")
    item |= said(item)
    header = {name: item[name] for name in HEADER}
    digest = chain.commit_hash(item["prev_hash"], header, item["events"], item["private"])
    rows.write(sk, {**item, "hash": digest})
    (damage,) = audit(bench).all_damage
    assert (damage.kind, damage.version) == ("edited", item["version"])


@pytest.mark.parametrize(
    "change", [{}, {"version": "3"}, {"hash": None}, {"events": b"[]"}, {"private": b"\xff"}]
)
def test_a_commit_that_is_none_any_more(bench, change):
    rows = Rows(bench)
    sk, item = rows.all()[3]
    rows.write(sk, {**item, **change} if change else {})
    assert kinds(bench) == {"edited"}


@pytest.mark.parametrize(
    "private",
    [
        *(b'{"crossed":5}', b'{"crossed":{"sthr_x":1}}', b'{"crossed":{"sthr_x":{"b":1}}}'),
        *(b'{"erased":5}', b'{"erased":[{"version":"x"}]}', b'{"erased":[{"version":1}]}'),
        *(b'["crossed"]', b'{"$blob":5}'),
    ],
)
def test_notes_that_are_none_any_more(bench, private):
    rows = Rows(bench)
    sk, item = holding(rows, b"Hello.")
    rows.write(sk, {**item, "private": private})
    assert kinds(bench) == {"edited"}
    rows.rehash({item["version"]: {"private": private}})
    assert kinds(bench) == {"rewritten"}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE items SET value = replace(value, 'Hello.', 'Howdy!') WHERE pk = ?",
        "UPDATE items SET value = replace(value, 'Hello.', 'Hi') WHERE pk = ?",
        "UPDATE items SET value = x'00' WHERE pk = ?",
        "UPDATE items SET value = 'nothing' WHERE pk = ? AND sk > '000000000009'",
        "UPDATE items SET value = '[5]' || char(10) WHERE pk = ? AND sk > '000000000009'",
    ],
)
def test_commits_that_were_changed_by_sql(bench, statement):
    rows = Rows(bench)
    rows._do(statement, rows.pk)
    assert kinds(bench) == {"edited"}


def test_a_deleted_commit(bench):
    rows = Rows(bench)
    places = [sk for sk, _ in rows.all()]
    rows.delete(places[2], places[3])
    (damage,) = audit(bench).all_damage
    assert (damage.kind, damage.version) == ("deleted", 2)
    assert damage.detail == "commit 2 to 3 is gone"


def test_a_deleted_beginning(bench):
    rows = Rows(bench)
    rows.delete(rows.all()[0][0])
    assert kinds(bench) == {"deleted"}


def test_two_commits_that_changed_places(bench):
    rows = Rows(bench)
    (one, first), (other, second) = rows.all()[2], rows.all()[4]
    rows.write(one, second)
    rows.write(other, first)
    assert [d.kind for d in audit(bench).all_damage] == ["reordered", "reordered"]


def test_a_commit_that_somebody_added(bench):
    rows = Rows(bench)
    _, last = rows.all()[-1]
    added = {**last, "version": last["version"] + 1, "first_seq": last["first_seq"] + last["n"]}
    header = {name: added[name] for name in HEADER}
    digest = chain.commit_hash(last["hash"], header, added["events"], added["private"])
    item = {**added, "prev_hash": last["hash"], "hash": digest}
    place = Key(rows.pk, keys.entry(added["first_seq"], added["version"]))
    bench.records.write([Write(place, put=item)])
    (damage,) = audit(bench).all_damage
    assert (damage.kind, damage.version) == ("edited", added["version"])


def test_a_truncated_log(bench):
    rows = Rows(bench)
    rows.delete(*[sk for sk, _ in rows.all()][-2:])
    assert kinds(bench) == {"truncated"}


def test_a_truncated_log_whose_head_was_set_back(bench):
    """Only the seal knows of what was cut off."""
    rows = Rows(bench)
    *kept, last = rows.all()
    rows.delete(last[0])
    end = kept[-1][1]
    rows.write_head(
        version=end["version"] + 1, chain=end["hash"], next_seq=end["first_seq"] + end["n"]
    )
    assert kinds(bench) == {"truncated"}


def test_a_log_that_was_rewritten_without_the_key(bench):
    rows = Rows(bench)
    _, item = holding(rows, b"Hello.")
    rows.rehash({item["version"]: said(item)})
    (damage,) = audit(bench).all_damage
    assert (damage.kind, damage.version) == ("rewritten", bench.head.version - 1)


@pytest.mark.parametrize("forge", ["none", "other key", "older"])
def test_a_log_that_was_rewritten_with_a_seal_that_is_none(bench, forge, tmp_path):
    rows = Rows(bench)
    older = next(item["version"] for _, item in rows.all() if b"status_idle" in item["events"])
    _, item = holding(rows, b"Hello.")
    end = rows.rehash({item["version"]: said(item)})
    seal = {**rows.head["seal"], "hash": end}
    if forge == "none":
        seal = None
    elif forge == "older":
        digest = rows.all()[older][1]["hash"]
        mac = bench.app.secrets.mac(chain.SEAL, chain.seal_message(bench.thread_id, older, digest))
        seal = {"version": older, "hash": digest, "mac": mac}
    rows.write_head(seal=seal)
    assert kinds(bench) == {"rewritten"}


def test_a_head_that_is_gone_or_stands_elsewhere(bench):
    rows = Rows(bench)
    rows.write_head(chain=b"x" * 32)
    assert kinds(bench) == {"rewritten"}
    place = bench.key.head(bench.thread_id)
    rows._do("DELETE FROM items WHERE pk = ? AND sk = ?", place.pk, place.sk)
    assert kinds(bench) == {"deleted"}


@pytest.mark.parametrize(
    "changes",
    [
        *({"version": "x"}, {"chain": "x"}, {"uses": None}, {"pending": [5]}, {"begins": 5}),
        *({"seal": {}}, {"seal": 5}, {"seal": {"version": 1, "hash": None, "mac": b"x"}}),
    ],
    ids=str,
)
def test_a_head_that_is_none_any_more(bench, changes):
    Rows(bench).write_head(**changes)
    assert [(d.kind, d.detail) for d in audit(bench).all_damage] == [
        ("edited", "its head is none any more")
    ]


def test_a_commit_of_another_session(bench, tmp_path):
    """It holds in itself, and begins another thread."""
    rows = Rows(bench)
    sk, item = rows.all()[0]
    other = chain.genesis("sesn_other", bench.thread_id)
    header = {name: item[name] for name in HEADER}
    digest = chain.commit_hash(other, header, item["events"], item["private"])
    rows.write(sk, {**item, "prev_hash": other, "hash": digest})
    assert kinds(bench) == {"edited"}


def test_blobs_are_part_of_the_log(bench):
    bench.say("x" * 900_000)
    assert kinds(bench) == set()
    blobs = sorted((bench.directory / "blobs").rglob("*.blob"))
    content = blobs[0].read_bytes()
    blobs[0].write_bytes(content.replace(b"xxx", b"yyy"))
    assert kinds(bench) == {"edited"}
    blobs[0].unlink()
    assert kinds(bench) == {"deleted"}


# ---------------------------------------------------------------- with the key
def test_a_log_rewritten_with_the_key_shows_against_a_checkpoint(bench):
    kept = json.dumps(checkpoint([audit(bench)], "2026-11-21T10:00:00Z", bench.app.secrets))
    rows = Rows(bench)
    _, item = holding(rows, b"Hello.")
    end = rows.rehash({item["version"]: said(item)})
    version = rows.head["version"] - 1
    mac = bench.app.secrets.mac(chain.SEAL, chain.seal_message(bench.thread_id, version, end))
    rows.write_head(seal={"version": version, "hash": end, "mac": mac})
    assert kinds(bench) == set()
    expected = read_checkpoint(kept, bench.app.secrets)
    assert kinds(bench, expected[bench.key.session_id]) == {"rewritten"}


def test_a_log_that_grew_agrees_with_its_checkpoint(bench):
    kept = json.dumps(checkpoint([audit(bench)], "2026-11-21T10:00:00Z", bench.app.secrets))
    bench.say("More.")
    expected = read_checkpoint(kept, bench.app.secrets)[bench.key.session_id]
    assert kinds(bench, expected) == set()
    rows = Rows(bench)
    rows.delete(*[sk for sk, _ in rows.all()][-9:])
    assert [d.kind for d in audit(bench, expected).damage] == ["truncated"]
    assert [d.kind for d in audit(bench, {"sthr_gone": expected[bench.thread_id]}).damage] == [
        "deleted"
    ]


def test_a_checkpoint_of_somebody_else_is_none(bench, tmp_path):
    made = checkpoint([audit(bench)], "2026-11-21T10:00:00Z", bench.app.secrets)
    for wrong in (
        {**made, "at": "2026-11-22T10:00:00Z"},
        {**made, "signature": ""},
        {**made, "v": 2},
        {},
        [],
    ):
        with pytest.raises(NotACheckpoint):
            read_checkpoint(json.dumps(wrong), bench.app.secrets)


# ---------------------------------------------------------------- threads
class Spawning(ReplyReader):
    """Understands the word that creates a child thread."""

    def _use_tool(self, block):
        if block["name"] == "spawn":
            self._children.append(("helper", "Look."))
        else:
            super()._use_tool(block)


@pytest.fixture
def family(bench):
    """The bench, and the id of a child that has reported to the primary."""
    bench.say(script({"say": "I ask.", "tool": "spawn"}, {"say": "Read."}), drain=False)
    while bench.runs.waiting:
        run, stage = bench.runs.waiting.pop(0), "turn"
        while stage not in ("idle", "taken"):
            if stage == "tools":
                stage = run_tools(bench.app, run).next
            else:
                stage = run_turn(bench.app, run, reader=Spawning).next
    heads = bench.app.log.read(bench.key, every=True).heads.values()
    (child,) = [head.thread_id for head in heads if head.parent_id]
    return bench, child


def test_a_child_is_judged_with_its_parent(family):
    bench, child = family
    found = audit(bench)
    assert found.all_damage == ()
    assert [thread.thread_id for thread in found.threads] == [bench.thread_id, child]


def test_a_child_that_is_gone(family):
    bench, child = family
    rows = Rows(bench, child)
    rows.delete(*[sk for sk, _ in rows.all()])
    place = bench.key.head(child)
    rows._do("DELETE FROM items WHERE pk = ? AND sk = ?", place.pk, place.sk)
    assert [(d.kind, d.thread_id) for d in audit(bench).all_damage] == [("deleted", child)]


def test_a_child_that_nobody_announced(family):
    bench, child = family
    rows = Rows(bench, child)
    stranger = child[:-4] + "0000"
    rows._do(
        "INSERT INTO items SELECT pk, ?, due, size, value FROM items WHERE pk = ? AND sk = ?",
        bench.key.head(stranger).sk,
        bench.key.partition,
        bench.key.head(child).sk,
    )
    place = bench.key.head(stranger)
    item = {**rows.head, "thread_id": stranger}
    rows.write(place.sk, item, place.pk)
    assert any("announced" in damage.detail for damage in audit(bench).damage)


def test_a_child_that_was_rewritten_with_the_key_is_not_the_one_its_parent_saw(family):
    bench, child = family
    rows = Rows(bench, child)
    _, item = holding(rows, b"Look.")
    end = rows.rehash({item["version"]: {"events": item["events"].replace(b"Look.", b"Hide.")}})
    version = rows.head["version"] - 1
    mac = bench.app.secrets.mac(chain.SEAL, chain.seal_message(child, version, end))
    rows.write_head(seal={"version": version, "hash": end, "mac": mac})
    damage = audit(bench).all_damage
    assert {(d.kind, d.thread_id) for d in damage} == {("rewritten", child)}


# ---------------------------------------------------------------- what it takes
class Counted:
    """A store, and how often each thing was asked of it."""

    def __init__(self, inner):
        self.inner = inner
        self.calls = Counter()

    def __getattr__(self, name):
        self.calls[name] += 1
        return getattr(self.inner, name)


def test_ten_thousand_commits_are_read_a_page_at_a_time_and_not_kept(tmp_path):
    records, app = store(tmp_path)
    with closing(records):
        key = fill(app, 2_500)
        counted, blobs = Counted(records), Counted(app.blobs)
        app = replace(app, records=counted, blobs=blobs)
        tracemalloc.start()
        found = verify_session(app, key)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert found.all_damage == ()
    assert found.threads[0].commits == 2_500
    assert counted.calls == {"query": 1 + 3, "get": 1}
    assert blobs.calls == {}
    assert peak < 12_000_000
