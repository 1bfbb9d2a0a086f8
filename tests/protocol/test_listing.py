"""Pages of a history that grows while it is read: no event is lost, none is shown unstamped for
ever.
"""

from __future__ import annotations

import pytest

from freehold.errors import InvalidRequest
from freehold.services import paging
from freehold.services.events import list_events
from freehold.services.paging import Cursor
from freehold.testing.script import script
from freehold.wire.lists import EventList
from tests.unit.sessions import Bench


def page(bench, **query):
    return list_events(bench.app, bench.caller, bench.key.session_id, EventList(**query))


def walk(bench, between=lambda: None, **query):
    """Every page, and what happens after each."""
    found, cursor = [], None
    while True:
        answer = page(bench, page=cursor, **query)
        found.append(answer.data)
        cursor = answer.next_page
        if cursor is None:
            return [event for events in found for event in events]
        between()


def interrupted_queue(bench):
    """A thread that runs, with messages and an interrupt that wait."""
    bench.say(script({"say": "First."}), drain=False)
    bench.say(script({"say": "Second."}), drain=False)
    bench.send({"type": "user.interrupt"})


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_what_is_processed_while_a_client_pages_is_not_lost(tmp_path, order, limit):
    bench = Bench(tmp_path)
    interrupted_queue(bench)
    before = {event["id"] for event in page(bench).data}
    seen = walk(bench, lambda: bench.runs.drain(bench.app), order=order, limit=limit)
    assert before <= {event["id"] for event in seen}
    if order == "desc":
        assert before == {event["id"] for event in seen}
        assert len(seen) == len(before)


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_after_it_was_processed_an_event_stands_only_where_it_was(tmp_path, order):
    bench = Bench(tmp_path)
    interrupted_queue(bench)
    bench.runs.drain(bench.app)
    seen = walk(bench, order=order, limit=2)
    ids = [event["id"] for event in seen]
    assert len(ids) == len(set(ids))
    assert all(event["processed_at"] for event in seen)
    stamps = [event["processed_at"] for event in seen]
    assert stamps == sorted(stamps, reverse=order == "desc")


def test_what_came_after_a_walk_began_is_not_in_it_newest_first(tmp_path):
    bench = Bench(tmp_path)
    bench.say(script({"say": "Hello."}))
    before = [event["id"] for event in page(bench, order="desc").data]
    seen = walk(bench, lambda: bench.say("More.", drain=False), order="desc", limit=3)
    assert [event["id"] for event in seen] == before


def test_a_page_ends_at_four_megabytes(tmp_path, monkeypatch):
    monkeypatch.setattr("freehold.services.events.MAX_PAGE_BYTES", 50_000)
    bench = Bench(tmp_path)
    for _ in range(4):
        bench.say(script({"say": "Read."}) + "x" * 30_000)
    assert paging.MAX_PAGE_BYTES == 4_000_000
    first = page(bench)
    assert first.next_page is not None
    assert sum(event["type"] == "user.message" for event in first.data) == 2
    assert len(walk(bench)) == len(bench.events) - 4


@pytest.mark.parametrize(
    "text", ["1", "1.2", "a.0.0", "1.0.0.0", "-1.0.0", "٣.0.0", f"{9**99}.0.0"]
)
def test_a_cursor_of_something_else_is_refused(tmp_path, text):
    with pytest.raises(InvalidRequest):
        page(Bench(tmp_path), page=Cursor(text, "asc").text())
