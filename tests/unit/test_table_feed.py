"""What a feed through the table writes, reads and leaves alone (ADR 0007)."""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from datetime import timedelta

import pytest

from freehold import keys, listeners
from freehold.adapters.sqlite import SqliteRecords
from freehold.adapters.table_feed import TableFeed, announcements, watch
from freehold.adapters.table_feed.announcements import Announcement
from freehold.adapters.table_feed.rounds import Rounds
from freehold.adapters.table_feed.watch import Watch
from freehold.errors import Unavailable
from freehold.ids import new_id, now
from freehold.keys import Key, entry
from freehold.ports import Write
from freehold.testing.faulty_records import Fault, FaultyRecords
from freehold.testing.feed_contract import delta, new_topic, start, text_of, until

SOON = 20.0


@pytest.fixture
def records():
    with closing(SqliteRecords(":memory:")) as store:
        yield store


@pytest.fixture
def topic():
    return new_topic()


def listen(records, topic, at=None):
    records.write([Write(keys.stream_listener(topic, "s"), put=listeners.stream_row(at or now()))])


def written(records, topic):
    """The frames of each item, in order."""
    page = records.query(keys.previews(topic))
    return [listeners.frames_of(row) for _, row in page.items]


def commit(records, topic, n):
    records.write([Write(Key(topic, entry(n, 0)), put={})])


# ---------------------------------------------------------------- who listens
def test_a_row_counts_until_its_time_has_passed(records, topic):
    assert not listeners.wants_previews(records, topic, now())
    listen(records, topic)
    assert listeners.wants_previews(records, topic, now())
    later = now() + listeners.LEASE + timedelta(seconds=1)
    assert not listeners.wants_previews(records, topic, later)


def test_a_socket_counts_where_it_previews(records, topic):
    expires = now() + timedelta(hours=2)
    for n in range(250):
        row = listeners.socket_row({}, cursor=0, wanted=[], expires=expires)
        records.write([Write(keys.socket_listener(topic, f"{n:04d}"), put=row)])
    assert not listeners.wants_previews(records, topic, now())
    row = listeners.socket_row({}, cursor=0, wanted=["agent.message"], expires=expires)
    records.write([Write(keys.socket_listener(topic, "last"), put=row)])
    assert listeners.wants_previews(records, topic, now())


def test_a_lease_outlives_two_renewals():
    assert listeners.LEASE > 2 * listeners.RENEWAL


def test_the_row_of_a_follower_comes_before_it_is_told_and_goes_with_it(records, topic):
    subscription = TableFeed(records, now).follow_previews(topic, lambda _: None)
    ((_, row),) = records.query(keys.listeners(topic)).items
    assert listeners.is_live(row, now())
    subscription.close()
    until(lambda: not records.query(keys.listeners(topic)).items)


def test_a_follower_without_a_table_is_told_and_served_by_the_renewal(
    records, topic, monkeypatch, caplog
):
    monkeypatch.setattr(listeners, "RENEWAL", timedelta(milliseconds=10))
    faulty = FaultyRecords(records, {("write", 1): Fault.REFUSED})
    with caplog.at_level(logging.WARNING):
        subscription = TableFeed(faulty, now).follow_previews(topic, lambda _: None)
    assert "listener_not_written" in caplog.messages
    until(lambda: records.query(keys.listeners(topic)).items)
    subscription.close()


# ---------------------------------------------------------------- writing
def test_frames_of_a_moment_are_one_item_and_text_that_follows_is_one_delta(records, topic):
    listen(records, topic)
    announcement = Announcement(records, topic, now)
    announcement.add(start("e"))
    for n in range(500):
        announcement.add(delta("e", f"{n} "))
    announcement.add(delta("e", "next block", 1))
    announcement.advance()
    text = "".join(f"{n} " for n in range(500))
    assert written(records, topic) == [[start("e"), delta("e", text), delta("e", "next block", 1)]]


def test_an_item_of_previews_expires_in_minutes(records, topic):
    listen(records, topic)
    announcement = Announcement(records, topic, now)
    announcement.add(start("e"))
    announcement.advance()
    ((_, row),) = records.query(keys.previews(topic)).items
    assert 60 < row["expires_at"] - now().timestamp() < 900


def test_nothing_is_written_while_nobody_listens(records, topic):
    announcement = Announcement(records, topic, now)
    assert announcement.may_be_heard()
    announcement.add(start("e"))
    announcement.advance()
    assert not announcement.may_be_heard()
    assert written(records, topic) == []


def test_who_comes_in_the_middle_gets_no_end_without_its_beginning(records, topic, monkeypatch):
    monkeypatch.setattr(announcements, "LOOK_SECONDS", 0.0)
    announcement = Announcement(records, topic, now)
    announcement.add(start("e"))
    announcement.advance()
    listen(records, topic)
    announcement.add(delta("e", "b"))
    announcement.advance()
    announcement.add(start("f"))
    announcement.advance()
    assert written(records, topic) == [[start("f")]]


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.UNANSWERED])
def test_what_is_written_of_an_event_is_a_prefix(records, topic, fault):
    listen(records, topic)
    faulty = FaultyRecords(records, {("put", 2): fault})
    announcement = Announcement(faulty, topic, now)
    announcement.add(start("e"))
    for text in "abc":
        announcement.add(delta("e", text))
        announcement.advance()
    announcement.add(start("f"))
    announcement.advance()
    frames = [frame for item in written(records, topic) for frame in item]
    assert text_of(frames, "e") == ("ab" if fault is Fault.UNANSWERED else "a")
    assert start("f") in frames


def test_more_than_fits_an_item_is_shed_and_the_next_event_is_whole(records, topic):
    """A model faster than the table: nothing grows, nothing fails."""
    listen(records, topic)
    announcement = Announcement(records, topic, now)
    announcement.add(start("e"))
    for _ in range(100):
        announcement.add(delta("e", "\N{GRINNING FACE}" * 1000))
    announcement.add(start("f"))
    announcement.advance()
    ((first, said, second),) = written(records, topic)
    assert (first, second) == (start("e"), start("f"))
    assert 10_000 < len(said["delta"]["content"]["text"]) < 100_000


class StuckRecords:
    """A table that answers nothing until it is let go."""

    def __init__(self):
        self.free = threading.Event()
        self.asked = threading.Event()

    def query(self, *_, **__):
        return self._wait()

    def write(self, _):
        return self._wait()

    def put(self, *_):
        return self._wait()

    def _wait(self):
        self.asked.set()
        self.free.wait()
        raise Unavailable("stuck")


def test_a_table_that_does_not_answer_holds_up_no_reader_of_a_model(topic):
    """It would hang if anything waited for the table."""
    stuck = StuckRecords()
    feed = TableFeed(stuck, now)

    def read():
        assert feed.previewed(topic)
        assert stuck.asked.wait(SOON)
        for n in range(50):
            event_id = new_id("sevt")
            feed.preview(topic, start(event_id))
            for _ in range(100):
                assert feed.previewed(topic)
                feed.preview(topic, delta(event_id, f"{n}" * 100))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(SOON)
    assert not reader.is_alive()
    stuck.free.set()


# ---------------------------------------------------------------- reading
def by_hand(records, topic):
    """A watch that looks when it is told to."""
    return Watch(records, topic, now, Rounds(0))


def test_looks_are_frequent_while_something_happens_and_rare_in_silence(
    records, topic, monkeypatch
):
    watching = by_hand(records, topic)
    watching.subscribe(lambda: None)
    assert watching.look() == watch.BUSY_SECONDS == 0.25
    monkeypatch.setattr(watch, "QUIET_SECONDS", -1.0)
    commit(records, topic, 1)
    watching.look()
    assert watching.look() == watch.IDLE_SECONDS == 1.0
    monkeypatch.setattr(watch, "QUIET_SECONDS", 30.0)
    commit(records, topic, 2)
    assert watching.look() == watch.BUSY_SECONDS
    assert watching.look() == watch.BUSY_SECONDS


def test_a_doorbell_rings_at_first_and_then_for_news_alone(records, topic):
    for n in range(3):
        commit(records, topic, n)
    rings = []
    watching = by_hand(records, topic)
    watching.subscribe(lambda: rings.append(1))
    heard = []
    for n in (None, None, 3, None, 4):
        if n is not None:
            commit(records, topic, n)
        rings.clear()
        watching.look()
        heard.append(len(rings))
    assert heard == [1, 0, 1, 0, 1]


def test_an_empty_feed_is_followed(records, topic):
    rings = []
    watching = by_hand(records, topic)
    watching.subscribe(lambda: rings.append(1))
    watching.look()
    watching.look()
    commit(records, topic, 1)
    watching.look()
    assert len(rings) == 2


def test_an_idle_look_is_one_read(records, topic):
    counted = FaultyRecords(records)
    watching = by_hand(counted, topic)
    watching.subscribe(lambda: None)
    watching.look()
    before = counted.calls.copy()
    watching.look()
    assert counted.calls - before == {"query": 1}


def test_previews_are_delivered_before_the_bell_of_what_supersedes_them(records, topic):
    seen = []
    watching = by_hand(records, topic)
    watching.subscribe(lambda: seen.append("ring"))
    watching.follow(seen.append)
    watching.look()
    seen.clear()
    records.put(*listeners.preview_row(topic, [start("e")], now()))
    commit(records, topic, 1)
    watching.look()
    assert seen == [start("e"), "ring"]


def test_previews_end_where_one_is_missing_until_it_is_there(records, topic):
    """A read that lags may show an item and not yet the one before it."""
    seen = []
    watching = by_hand(records, topic)
    watching.follow(seen.append)
    earlier = listeners.preview_row(topic, [start("e")], now())
    later = listeners.preview_row(topic, [delta("e", "x")], now(), follows=earlier[0].sk)
    records.put(*later)
    watching.look()
    assert seen == []
    records.put(*earlier)
    watching.look()
    assert seen == [start("e"), delta("e", "x")]


def test_an_item_follows_the_last_one_that_is_known_to_be_written(records, topic):
    refused = FaultyRecords(records, {("put", 2): Fault.REFUSED})
    listen(records, topic)
    announcement = Announcement(refused, topic, now)
    for name in "efg":
        announcement.add(start(name))
        announcement.advance()
    (first, first_row), (_, second_row) = records.query(keys.previews(topic)).items
    assert (first_row["follows"], second_row["follows"]) == ("", first.sk)


def test_old_previews_are_not_read(records, topic):
    old = now() - timedelta(minutes=1)
    records.put(*listeners.preview_row(topic, [start("old")], old))
    seen = []
    watching = by_hand(records, topic)
    watching.follow(seen.append)
    records.put(*listeners.preview_row(topic, [start("new")], now()))
    watching.look()
    assert seen == [start("new")]


def test_a_look_that_fails_is_made_again(records, topic, caplog):
    rings = []
    faulty = FaultyRecords(records, {("query", 1): Fault.REFUSED})
    with caplog.at_level(logging.ERROR, "freehold.feed"):
        subscription = TableFeed(faulty, now).subscribe(topic, lambda: rings.append(1))
        until(lambda: rings)
    assert "round_failed" in caplog.messages
    subscription.close()


# ---------------------------------------------------------------- the pace of a turn
def test_a_doorbell_with_a_pace_rings_whether_or_not_there_is_news(records, topic):
    rings = []
    feed = TableFeed(FaultyRecords(records), now, ring_seconds=0.001)
    subscription = feed.subscribe(topic, lambda: rings.append(1))
    until(lambda: len(rings) > 3)
    subscription.close()


def test_a_doorbell_with_a_pace_survives_a_ring_that_fails(records, topic, caplog):
    rings = []

    def ring():
        rings.append(1)
        raise ConnectionError("no table")

    with caplog.at_level(logging.ERROR, "freehold.feed"):
        subscription = TableFeed(records, now, ring_seconds=0.001).subscribe(topic, ring)
        until(lambda: len(rings) > 1)
        subscription.close()
    assert "doorbell_failed" in caplog.messages


# ---------------------------------------------------------------- rounds
def test_many_rounds_share_few_threads():
    rounds, threads, done = Rounds(2), set(), []

    def act(n):
        threads.add(threading.current_thread().name)
        done.append(n)

    for n in range(100):
        rounds.add(lambda n=n: act(n))
    until(lambda: len(done) == 100)
    assert sorted(done) == list(range(100))
    assert len(threads) <= 2


def test_a_round_is_never_twice_at_once_and_is_done_again_when_hastened_meanwhile():
    rounds, begun, free, running = Rounds(4), [], threading.Semaphore(0), []

    def act():
        running.append(1)
        begun.append(len(running))
        free.acquire()
        running.pop()
        return 3600.0

    made = rounds.add(act)
    until(lambda: len(begun) == 1)
    made.hasten()
    made.hasten()
    free.release()
    until(lambda: len(begun) == 2)
    free.release()
    until(lambda: not running)
    made.hasten()
    until(lambda: len(begun) == 3)
    made.close()
    free.release()
    assert begun == [1, 1, 1]
