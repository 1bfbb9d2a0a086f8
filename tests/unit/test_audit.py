"""Damage to a log as it lies in the store, each kind told by its name."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing

import pytest

from freehold.adapters.sqlite.encoding import decode, encode
from freehold.audit.checkpoint import NotACheckpoint, checkpoint, read_checkpoint
from freehold.audit.session import verify_session
from freehold.domain import chain
from freehold.engine.reply import ReplyReader
from freehold.engine.tools import run_tools
from freehold.engine.turn import run_turn
from freehold.errors import InvalidRequest, NotFound
from freehold.event_log import EventLog
from freehold.services.erasure import erase_event
from freehold.services.events import list_events
from freehold.testing.script import script
from freehold.wire.lists import EventList
from tests.servers import wait_for
from tests.unit.sessions import Bench

HEADER = ("v", "version", "first_seq", "n", "at", "actor", "commit_id")
SECRET = "a-secret-that-has-to-go"


@pytest.fixture
def bench(tmp_path):
    """A session with a call, two turns, and its rows on the disk."""
    bench = Bench(tmp_path, path=tmp_path / "freehold.db")
    bench.path = tmp_path / "freehold.db"
    bench.directory = tmp_path
    call = {"think": "Hm.", "say": "I look.", "tool": "bash", "input": {"command": "ls"}}
    bench.say(script(call, {"say": "Done."}))
    bench.say("Hello.")
    yield bench
    bench.records.close()


class Rows:
    """The rows of a thread's feed, as whoever has the file can change them."""

    def __init__(self, bench, thread_id=None):
        self.bench = bench
        self.thread_id = thread_id or bench.thread_id
        self.pk = bench.key.feed(self.thread_id)

    def _do(self, statement, *values):
        with closing(sqlite3.connect(self.bench.path)) as file:
            found = file.execute(statement, values).fetchall()
            file.commit()
        return found

    def all(self):
        found = self._do("SELECT sk, value FROM items WHERE pk = ? ORDER BY sk", self.pk)
        return [(sk, decode(value)) for sk, value in found]

    def write(self, sk, item, pk=None):
        self._do(
            "UPDATE items SET value = ? WHERE pk = ? AND sk = ?", encode(item), pk or self.pk, sk
        )

    def delete(self, *places):
        for sk in places:
            self._do("DELETE FROM items WHERE pk = ? AND sk = ?", self.pk, sk)

    @property
    def head(self):
        place = self.bench.key.head(self.thread_id)
        (value,) = self._do("SELECT value FROM items WHERE pk = ? AND sk = ?", place.pk, place.sk)[
            0
        ]
        return decode(value)

    def write_head(self, **changes):
        place = self.bench.key.head(self.thread_id)
        self.write(place.sk, {**self.head, **changes}, place.pk)

    def rehash(self, edited):
        """The whole chain computed anew, without the key: `edited` are bodies by version."""
        previous = chain.genesis(self.bench.key.session_id, self.thread_id)
        for sk, found in self.all():
            item = {**found, **edited.get(found["version"], {})}
            header = {name: item[name] for name in HEADER}
            item["prev_hash"] = previous
            item["hash"] = chain.commit_hash(previous, header, item["events"], item["private"])
            self.write(sk, item)
            previous = item["hash"]
        self.write_head(chain=previous)
        return previous


def audit(bench, expected=None):
    return verify_session(bench.app, bench.key, expected)


def kinds(bench, expected=None):
    return {damage.kind for damage in audit(bench, expected).all_damage}


def said(item):
    return {"events": item["events"].replace(b"Hello.", b"Goodby")}


def holding(rows, words):
    return next((sk, item) for sk, item in rows.all() if words in item["events"])


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


@pytest.mark.parametrize("item", [{}, {"events": b"{", "private": b"{}"}, {"version": "x"}])
def test_a_commit_that_is_none_any_more(bench, item):
    rows = Rows(bench)
    sk, _ = rows.all()[3]
    rows.write(sk, item)
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


# ---------------------------------------------------------------- erasure
def message(bench):
    return next(e["id"] for e in bench.events if SECRET in json.dumps(e))


def anywhere(bench):
    """Files of the store that hold the secret."""
    files = [path for path in bench.directory.rglob("*") if path.is_file()]
    return [path.name for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize("size", [10, 900_000])
def test_erased_content_is_gone_and_the_chain_verifies(bench, size):
    bench.say(f"My name is {SECRET}{'x' * size}.")
    reply = next(e["id"] for e in reversed(bench.events) if e["type"] == "agent.message")
    asked = message(bench)
    before = [(e["id"], e["type"], e["processed_at"]) for e in bench.events]
    assert anywhere(bench)
    assert erase_event(bench.app, bench.key, asked).commits == 2
    assert erase_event(bench.app, bench.key, reply).commits == 1
    assert [(e["id"], e["type"], e["processed_at"]) for e in bench.events] == before
    wait_for(lambda: not anywhere(bench))
    found = audit(bench)
    assert found.all_damage == ()
    erasures = found.threads[0].erasures
    assert [e.event_id for e in erasures] == [asked, asked, reply]
    assert {e.actor for e in erasures} == {"operator"}


def test_readers_show_that_it_was_redacted_and_the_session_goes_on(bench):
    bench.say(f"My name is {SECRET}.")
    erase_event(bench.app, bench.key, message(bench))
    page = list_events(bench.app, bench.caller, bench.key.session_id, EventList())
    (shown,) = [e for e in page.data if e["type"] == "user.message" and "redacted" in str(e)]
    assert shown["content"] == [{"type": "redacted"}]
    bench.say("What is my name?")
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}
    sent = json.dumps(bench.model.requests[-1].messages)
    assert SECRET not in sent.replace(f"You said: My name is {SECRET}", "")
    assert "[erased]" in sent
    bench.judge()


def test_thoughts_go_with_the_message_they_led_to(bench):
    bench.say(script({"think": SECRET, "say": "It is a name."}))
    said = [e for e in bench.events if e["type"] == "agent.message"][-1]
    erase_event(bench.app, bench.key, said["id"])
    reply = next(e for e in bench.entries if said["id"] in str(e.events))
    assert "thinking" not in str(reply.private)
    bench.say("Go on.")
    bench.judge()


def test_a_call_and_its_result_are_erased_each(bench):
    bench.say(script({"tool": "bash", "input": {"command": f"echo {SECRET}"}}, {"say": "Done."}))
    use, result = [e for e in bench.events if e["type"].startswith("agent.tool")][-2:]
    erase_event(bench.app, bench.key, use["id"])
    erase_event(bench.app, bench.key, result["id"])
    bodies = {e["id"]: e for e in bench.events}
    assert bodies[use["id"]]["input"] == {}
    assert bodies[result["id"]]["content"] == [{"type": "text", "text": "[erased]"}]
    assert kinds(bench) == set()
    bench.say("Go on.")
    bench.judge()


def test_two_events_of_one_commit(bench):
    bench.say(script({"say": ["One."], "tools": [{"tool": "bash", "input": {"command": "1"}}]}))
    entry = next(e for e in reversed(bench.entries) if "reply" in e.private and "One." in str(e))
    for event in entry.events:
        if event["type"] in ("agent.message", "agent.tool_use"):
            erase_event(bench.app, bench.key, event["id"])
    assert "One." not in str(bench.entries[entry.version].events)
    assert kinds(bench) == set()


def test_erasing_again_does_nothing_and_ends_what_a_crash_left(bench):
    bench.say(f"{SECRET}{'x' * 900_000}")
    asked = message(bench)
    delete, bench.app.blobs.delete = bench.app.blobs.delete, lambda _: None
    erase_event(bench.app, bench.key, asked)
    assert anywhere(bench)
    bench.app.blobs.delete = delete
    version = bench.head.version
    assert erase_event(bench.app, bench.key, asked).commits == 0
    assert bench.head.version == version
    reply = next(e["id"] for e in reversed(bench.events) if e["type"] == "agent.message")
    erase_event(bench.app, bench.key, reply)
    wait_for(lambda: not anywhere(bench))


def test_what_cannot_be_erased(bench):
    idle = bench.events[-1]["id"]
    with pytest.raises(InvalidRequest, match="no content"):
        erase_event(bench.app, bench.key, idle)
    with pytest.raises(NotFound):
        erase_event(bench.app, bench.key, "sevt_none")
    (sent,) = bench.say("More.", drain=False)
    with pytest.raises(InvalidRequest, match="interrupt"):
        erase_event(bench.app, bench.key, sent["id"])


def test_content_that_is_gone_without_a_record_is_damage(bench):
    rows = Rows(bench)
    sk, item = holding(rows, b"Hello.")
    digests = {n: hashlib.sha256(item[n]).hexdigest() for n in ("events", "private")}
    rows.write(sk, {**item, **said(item), "erased": {**digests, "blobs": []}})
    (damage,) = audit(bench).all_damage
    assert (damage.kind, damage.version) == ("edited", item["version"])
    assert "without a record" in damage.detail


def test_what_an_erasure_left_cannot_be_changed_nor_undone(bench):
    rows = Rows(bench)
    sk, before = holding(rows, b"Hello.")
    asked = next(e["id"] for e in bench.events if "Hello." in json.dumps(e))
    erase_event(bench.app, bench.key, asked)
    assert kinds(bench) == set()
    after = dict(rows.all())[sk]
    rows.write(sk, {**after, "events": after["events"].replace(b"redacted", b"invented")})
    assert kinds(bench) == {"edited"}
    rows.write(sk, before)
    assert [d.detail for d in audit(bench).all_damage] == ["content that was erased is back"]


def test_another_process_does_not_go_on_with_what_it_had_read(bench):
    """The server that runs while an operator erases."""
    server = EventLog(bench.records, bench.app.blobs, bench.app.secrets)
    assert "Hello." in str(server.history(bench.key, bench.thread_id))
    for event in bench.events:
        if "Hello." in str(event):
            erase_event(bench.app, bench.key, event["id"])
    assert "Hello." not in str(server.history(bench.key, bench.thread_id))
