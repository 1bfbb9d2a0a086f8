"""Following a feed: cursor, window, previews, ends."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from freehold import keys
from freehold.domain.entry import StoredEvent
from freehold.errors import NotFound
from freehold.ids import now
from freehold.keys import SessionKey
from freehold.services.live import Follower
from freehold.services.tail import PAGE, Tail

KEY = SessionKey("w", "s")


class Entry:
    """A commit as the log answers it."""

    def __init__(self, seq, events):
        self.sequenced = events
        self.first_seq = seq if events else seq + 1
        self.version = 2 * seq if events else 2 * seq + 1


class Log:
    """A feed in a list, numbered from 1. The half of the real log that a tail reads."""

    def __init__(self):
        self.events = []
        self.dead = False
        self.erased = False
        self.reads = 0

    def append(self, type_, **fields):
        seq = len(self.events) + 1
        body = {"type": type_, "id": fields.pop("id", f"a_{seq}"), **fields}
        self.events.append(StoredEvent(seq, body))
        return body["id"]

    def scan(self, key, thread_id, *, beyond):
        self.reads += 1
        yield from [] if self.erased else self.events[beyond:]

    def entries(self, key, thread_id, *, after, limit):
        """One event a commit, each after a commit without any; commit 0 has none either."""
        self.reads += 1
        commits = [] if self.erased else [Entry(n, (e,)) for n, e in enumerate(self.events, 1)]
        commits += [Entry(seq, ()) for seq in range(len(commits) + 1)]
        commits.sort(key=lambda entry: (entry.first_seq, entry.version))
        found = [c for c in commits if keys.entry(c.first_seq, c.version) > after]
        return found[:limit], len(found) > limit

    def read(self, key, thread_id):
        if self.erased:
            raise NotFound("gone")
        return SimpleNamespace(session=SimpleNamespace(dead=self.dead))


@pytest.fixture
def log():
    return Log()


def tail_of(log, end=0):
    return Tail(SimpleNamespace(log=log, clock=now), KEY, "t", end)


def follow(tail, cursor=0, last=None, wanted=()):
    return Follower(tail, cursor, last=last, wanted=frozenset(wanted))


def refresh(tail):
    more = True
    while more:
        fetched = tail.fetch()
        tail.keep(fetched)
        more = fetched.more


def start(event_id, kind="agent.message"):
    return {"type": "event_start", "event": {"type": kind, "id": event_id}}


def delta(event_id, text):
    content = {"type": "text", "text": text}
    inner = {"type": "content_delta", "index": 0, "content": content}
    return {"type": "event_delta", "event_id": event_id, "delta": inner}


def in_span(log, **kwargs):
    """A follower that has been sent the start of a model request."""
    tail = tail_of(log)
    follower = follow(tail, **kwargs)
    log.append("span.model_request_start")
    refresh(tail)
    assert len(follower.take()) == 1
    return tail, follower


def shown(frames):
    return [(f.type, f.event_id) for f in frames]


# ---------------------------------------------------------------- cursor and window
def test_a_follower_gets_what_comes_after_its_cursor_once_and_in_order(log):
    log.append("a")
    tail = tail_of(log, end=1)
    follower = follow(tail, cursor=1)
    for type_ in ("b", "c"):
        log.append(type_)
    refresh(tail)
    assert [(f.seq, f.type) for f in follower.take()] == [(2, "b"), (3, "c")]
    assert follower.take() == []


def test_one_reading_serves_every_follower(log):
    tail = tail_of(log)
    followers = [follow(tail) for _ in range(50)]
    log.append("a")
    refresh(tail)
    assert all(len(follower.take()) == 1 for follower in followers)
    assert log.reads == 1


def test_a_follower_behind_the_window_reads_the_log_without_a_gap(log):
    for _ in range(1500):
        log.append("a")
    tail = tail_of(log)
    refresh(tail)
    assert tail.start > 0
    follower, got = follow(tail, cursor=3), []
    while len(got) < 1497:
        taken = follower.take()
        got += follower.read() if taken is None else taken
    assert [frame.seq for frame in got] == list(range(4, 1501))
    assert follower.take() == []


class Missed(Log):
    """A log whose next `looks` miss event 3, which stands before and after: no query is one
    snapshot of what is written meanwhile.
    """

    looks = 1

    def _missing(self):
        self.looks -= 1
        return 3 if self.looks >= 0 else None

    def scan(self, key, thread_id, *, beyond):
        missing = self._missing()
        yield from (e for e in super().scan(key, thread_id, beyond=beyond) if e.seq != missing)

    def entries(self, key, thread_id, *, after, limit):
        missing = self._missing()
        found, more = super().entries(key, thread_id, after=after, limit=limit)
        return [c for c in found if not c.sequenced or c.first_seq != missing], more


@pytest.mark.parametrize("seen", [0, 2], ids=["on the way", "at once"])
def test_a_commit_that_a_look_missed_is_sent_in_its_place(seen):
    log = Missed()
    for type_ in "abcde":
        log.append(type_)
    tail = tail_of(log, end=seen)
    follower = follow(tail, cursor=seen)
    refresh(tail)
    assert [frame.seq for frame in follower.take()] == list(range(seen + 1, 6))
    log.looks, read = 1, []
    while page := tail.read(seen + len(read)):
        read += page
    assert [frame.seq for frame in read] == list(range(seen + 1, 6))


def test_a_log_that_lacks_a_commit_is_an_error_unless_it_is_being_erased():
    log = Missed()
    log.looks = 1000
    for type_ in "abcde":
        log.append(type_)
    tail = tail_of(log, end=2)
    for look in (lambda: refresh(tail), lambda: tail.read(2)):
        with pytest.raises(LookupError, match="hole"):
            look()
    log.dead = True
    assert tail.read(2) == []
    assert tail.fetch().deleted is not None


def test_the_window_is_bounded_in_characters_too(log):
    tail = tail_of(log)
    for _ in range(12):
        log.append("a", text="x" * 1_000_000)
        refresh(tail)
    assert tail.end == 12
    assert tail.end - tail.start <= 4


def test_a_page_of_large_events_is_cut_short(log):
    for _ in range(20):
        log.append("a", text="x" * 400_000)
    tail = tail_of(log, end=20)
    follower = follow(tail, cursor=0)
    assert follower.take() is None
    assert [frame.seq for frame in follower.read()] == [1, 2, 3]


def test_frames_are_one_line_of_ascii(log):
    tail = tail_of(log)
    log.append("a", text="line\nbreaks \u2028 \x85 und Umlaute: ä")
    refresh(tail)
    data = follow(tail).take()[0].data
    assert data.isascii()
    assert len(data.splitlines()) == 1
    assert json.loads(data)["text"] == "line\nbreaks \u2028 \x85 und Umlaute: ä"


# ---------------------------------------------------------------- ends
@pytest.mark.parametrize("last", ["session.deleted", "session.status_terminated"])
def test_the_last_event_ends_the_follower(log, last):
    tail = tail_of(log)
    follower = follow(tail)
    log.append("session.status_idle")
    log.append(last)
    log.append("session.updated")
    refresh(tail)
    assert shown(follower.take())[-1][0] == last
    assert follower.is_over


def test_an_idle_does_not_end_it(log):
    tail = tail_of(log)
    follower = follow(tail)
    log.append("session.status_idle")
    refresh(tail)
    follower.take()
    assert not follower.is_over


def test_a_feed_that_gets_no_more_events_ends_at_its_last_one(log):
    for type_ in ("a", "b", "session.status_terminated", "session.updated"):
        log.append(type_)
    tail = tail_of(log, end=1)
    assert follow(tail, cursor=4, last=4).is_over
    follower = follow(tail, cursor=1, last=2)
    refresh(tail)
    assert [f.seq for f in follower.take()] == [2]
    assert follower.is_over


def test_a_reader_too_late_for_the_last_event_still_learns_of_the_deletion(log):
    log.append("a")
    tail = tail_of(log, end=1)
    followers = [follow(tail, cursor=1) for _ in range(2)]
    log.dead = log.erased = True
    refresh(tail)
    refresh(tail)
    frames = [follower.take() for follower in followers]
    assert [f.type for f in frames[0]] == ["session.deleted"]
    assert frames[0] == frames[1], "every reader sees the same id"
    assert set(json.loads(frames[0][0].data)) == {"type", "id", "processed_at"}
    assert all(follower.is_over for follower in followers)
    assert followers[0].take() == []


def test_a_follower_behind_the_window_of_an_erased_feed_comes_to_an_end(log):
    for _ in range(1000):
        log.append("a")
    tail = tail_of(log)
    refresh(tail)
    follower = follow(tail, cursor=0)
    log.erased = True
    refresh(tail)
    frames = []
    while not follower.is_over:
        taken = follower.take()
        frames += follower.read() if taken is None else taken
    assert frames[-1].type == "session.deleted"


# ---------------------------------------------------------------- previews
def test_previews_stand_between_the_span_start_and_their_event(log):
    tail = tail_of(log)
    follower = follow(tail, wanted={"agent.message"})
    log.append("span.model_request_start")
    refresh(tail)
    follower.offer(start("m"))
    follower.offer(delta("m", "Hel"))
    first = follower.take()
    follower.offer(delta("m", "lo"))
    log.append("agent.message", id="m")
    log.append("span.model_request_end")
    refresh(tail)
    assert shown([*first, *follower.take()]) == [
        ("span.model_request_start", "a_1"),
        ("event_start", "m"),
        ("event_delta", "m"),
        ("event_delta", "m"),
        ("agent.message", "m"),
        ("span.model_request_end", "a_3"),
    ]


def test_previews_of_two_events_in_one_commit_each_precede_their_own(log):
    tail, follower = in_span(log, wanted={"agent.message", "agent.thinking"})
    for frame in (start("t", "agent.thinking"), start("m"), delta("m", "x")):
        follower.offer(frame)
    log.append("agent.thinking", id="t")
    log.append("agent.message", id="m")
    refresh(tail)
    assert [f.type for f in follower.take()] == [
        "event_start",
        "agent.thinking",
        "event_start",
        "event_delta",
        "agent.message",
    ]


def test_no_preview_comes_after_its_event(log):
    tail, follower = in_span(log, wanted={"agent.message"})
    follower.offer(start("m"))
    log.append("agent.message", id="m")
    refresh(tail)
    follower.take()
    for late in (delta("m", "late"), start("m")):
        follower.offer(late)
    assert follower.take() == []


def test_the_end_of_the_request_closes_a_preview_that_got_no_event(log):
    tail, follower = in_span(log, wanted={"agent.message"})
    follower.offer(start("m"))
    assert len(follower.take()) == 1
    follower.offer(delta("m", "cut"))
    log.append("span.model_request_end", id="sevt_z")
    refresh(tail)
    assert [f.type for f in follower.take()] == ["span.model_request_end"]
    follower.offer(delta("m", "late"))
    assert follower.take() == []


def test_an_event_is_started_once(log):
    _, follower = in_span(log, wanted={"agent.message"})
    for _ in range(3):
        follower.offer(start("m"))
    assert [f.type for f in follower.take()] == ["event_start"]


def test_only_what_was_asked_for_is_previewed(log):
    _, follower = in_span(log, wanted={"agent.thinking"})
    for frame in (start("m"), delta("m", "x"), start("t", "agent.thinking")):
        follower.offer(frame)
    assert shown(follower.take()) == [("event_start", "t")]


def test_a_delta_whose_start_was_missed_is_not_shown(log):
    _, follower = in_span(log, wanted={"agent.message"})
    follower.offer(delta("m", "x"))
    assert follower.take() == []


def test_a_slow_client_loses_the_rest_of_a_preview_and_never_its_middle(log):
    tail, follower = in_span(log, wanted={"agent.message"})
    follower.offer(start("m"))
    for n in range(1000):
        follower.offer(delta("m", f"{n} "))
    first = follower.take()
    for n in range(1000, 1010):
        follower.offer(delta("m", f"{n} "))
    texts = [
        json.loads(f.data)["delta"]["content"]["text"] for f in first if f.type == "event_delta"
    ]
    assert texts == [f"{n} " for n in range(len(texts))]
    assert 0 < len(texts) < 1000
    log.append("agent.message", id="m")
    refresh(tail)
    assert shown(follower.take()) == [("agent.message", "m")]


def test_a_client_far_behind_gets_no_preview_before_the_events_that_precede_it(log):
    for _ in range(250):
        log.append("a")
    log.append("span.model_request_start")
    tail = tail_of(log)
    refresh(tail)
    follower = follow(tail, wanted={"agent.message"})
    follower.offer(start("m"))
    kinds = [[f.type for f in follower.take()] for _ in range(3)]
    assert kinds[0] == kinds[1] == ["a"] * PAGE
    assert kinds[2] == ["a"] * 50 + ["span.model_request_start", "event_start"]


def test_a_preview_waits_for_the_span_that_it_is_in(log):
    tail = tail_of(log)
    follower = follow(tail, wanted={"agent.message"})
    follower.offer(start("m"))
    assert follower.take() == []
    log.append("span.model_request_start")
    refresh(tail)
    assert [f.type for f in follower.take()] == ["span.model_request_start", "event_start"]


def test_a_client_that_came_during_a_request_gets_no_preview_of_it(log):
    log.append("span.model_request_start")
    tail = tail_of(log, end=1)
    follower = follow(tail, cursor=1, wanted={"agent.message"})
    follower.offer(start("m"))
    follower.offer(delta("m", "x"))
    log.append("agent.message", id="m")
    log.append("span.model_request_end", id="sevt_z")
    refresh(tail)
    assert [f.type for f in follower.take()] == ["agent.message", "span.model_request_end"]


def test_a_preview_of_the_next_request_outlives_the_end_of_this_one(log):
    tail, follower = in_span(log, wanted={"agent.message"})
    follower.offer(start("sevt_1a"))
    follower.offer(start("sevt_9"))
    log.append("span.model_request_end", id="sevt_5")
    log.append("span.model_request_start", id="sevt_6")
    refresh(tail)
    assert shown(follower.take()) == [
        ("span.model_request_end", "sevt_5"),
        ("span.model_request_start", "sevt_6"),
        ("event_start", "sevt_9"),
    ]


def test_no_preview_comes_after_an_event_that_had_none(log):
    tail, follower = in_span(log, wanted={"agent.message"})
    log.append("agent.message", id="m")
    refresh(tail)
    assert shown(follower.take()) == [("agent.message", "m")]
    follower.offer(start("m"))
    follower.offer(delta("m", "x"))
    assert follower.take() == []


def test_what_is_previewed_too_late_is_not_shown_in_the_next_request(log):
    """A process that was frozen may write the rest of a turn when the next one has begun."""
    tail = tail_of(log)
    follower = follow(tail, wanted={"agent.message"})
    follower.offer(start("sevt_1"))
    follower.offer(delta("sevt_1", "old"))
    log.append("span.model_request_start", id="sevt_5")
    refresh(tail)
    assert shown(follower.take()) == [("span.model_request_start", "sevt_5")]
    for frame in (start("sevt_2"), delta("sevt_2", "old"), delta("sevt_1", "old")):
        follower.offer(frame)
    follower.offer(start("sevt_6"))
    assert shown(follower.take()) == [("event_start", "sevt_6")]
