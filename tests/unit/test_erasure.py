"""Content that is erased is gone, and the log says so and verifies."""

from __future__ import annotations

import hashlib
import json

import pytest

from freehold.errors import InvalidRequest, NotFound
from freehold.event_log import EventLog
from freehold.keys import Key
from freehold.ports import Write
from freehold.services.erasure import erase_event
from freehold.services.events import list_events
from freehold.testing.script import script
from freehold.wire.lists import EventList
from tests.servers import wait_for
from tests.unit.stored_rows import Rows, audit, bench_on_disk, holding, kinds, said
from tests.unit.test_compaction import TOO_LONG, is_summary, ordered, rounds, small

SECRET = "a-secret-that-has-to-go"


@pytest.fixture
def bench(tmp_path):
    bench = bench_on_disk(tmp_path)
    yield bench
    bench.records.close()


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


def test_an_operators_word_goes_from_every_checkpoint_that_repeats_it(tmp_path):
    bench = small(tmp_path, path=tmp_path / "freehold.db")
    bench.directory = tmp_path
    (asked,) = bench.send(ordered(SECRET))
    bench.send(ordered("Be brief."))
    for _ in range(2):
        bench.say(script(*rounds(40)))
    copies = [e for e in bench.entries if SECRET in str(e.private.get("checkpoint"))]
    assert len(copies) > 4  # more than one transaction takes
    assert erase_event(bench.app, bench.key, asked["id"]).commits == len(copies) + 1
    wait_for(lambda: not anywhere(bench))
    assert audit(bench).all_damage == ()
    assert erase_event(bench.app, bench.key, asked["id"]).commits == 0
    bench.say(script(*rounds(40)))
    sent = bench.model.requests[-1].messages
    said = [b["text"] for m in sent if m["role"] == "system" for b in m["content"]]
    assert said == ["[erased]", "Be brief."]
    bench.judge()
    bench.records.close()


class Full:
    """A model that finds one prompt too long."""

    def __init__(self, bench):
        self._inner, bench.model.model = bench.model.model, self
        self._is_full = True

    def open(self, request):
        if self._is_full and not is_summary(request):
            self._is_full = False
            return TOO_LONG
        return self._inner.open(request)


def test_a_checkpoint_that_stays_large_stays_in_a_blob(bench):
    long = "Mind this. " * 35_000
    bench.send(ordered(long))
    (asked,) = bench.send(ordered(SECRET))
    bench.say("remember: " + "the long and the short of it " * 1_500)
    for _ in range(10):
        bench.say("Hello.")
    Full(bench)
    bench.say("Go on.")
    assert any(SECRET in str(e.private.get("checkpoint")) for e in bench.entries)
    assert erase_event(bench.app, bench.key, asked["id"]).commits == 2
    wait_for(lambda: not anywhere(bench))
    assert audit(bench).all_damage == ()
    bench.say("And now?")
    sent = bench.model.requests[-1].messages
    said = [b["text"] for m in sent if m["role"] == "system" for b in m["content"]]
    assert said == [long, "[erased]"]


def test_an_answer_under_a_key_is_found_among_any_number(bench):
    """More of them than a page of the store has."""
    bench.say(f"My name is {SECRET}.")
    body = json.dumps({"id": message(bench), "text": SECRET}).encode()
    kept = [{"doc": b"{}", "blob": None}] * 1_020 + [{"doc": body, "blob": None}]
    places = [Key(bench.key.partition, f"answer/{n:06}") for n in range(len(kept))]
    for n in range(0, len(kept), 60):
        writes = zip(places[n : n + 60], kept[n : n + 60], strict=True)
        bench.records.write([Write(place, put=item) for place, item in writes])
    reply = next(e["id"] for e in reversed(bench.events) if e["type"] == "agent.message")
    erase_event(bench.app, bench.key, message(bench))
    erase_event(bench.app, bench.key, reply)
    wait_for(lambda: not anywhere(bench))


def test_another_process_does_not_go_on_with_what_it_had_read(bench):
    """The server that runs while an operator erases."""
    server = EventLog(bench.records, bench.app.blobs, bench.app.secrets)
    assert "Hello." in str(server.history(bench.key, bench.thread_id))
    for event in bench.events:
        if "Hello." in str(event):
            erase_event(bench.app, bench.key, event["id"])
    assert "Hello." not in str(server.history(bench.key, bench.thread_id))
