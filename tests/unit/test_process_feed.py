from __future__ import annotations

import logging
import threading

import pytest

from freehold.adapters.process_feed import ProcessFeed
from freehold.keys import Key
from tests.servers import wait_for

TOPIC = "w/feed/t"


@pytest.fixture
def feed():
    return ProcessFeed()


def _start(event_id, kind="agent.message"):
    return {"type": "event_start", "event": {"type": kind, "id": event_id}}


def _delta(event_id, n):
    content = {"type": "text", "text": str(n)}
    delta = {"type": "content_delta", "index": 0, "content": content}
    return {"type": "event_delta", "event_id": event_id, "delta": delta}


def _numbers(frames, event_id):
    """The start as -1, then the deltas of one preview."""
    found = []
    for frame in frames:
        if frame.get("event", {}).get("id") == event_id:
            found.append(-1)
        if frame.get("event_id") == event_id:
            found.append(int(frame["delta"]["content"]["text"]))
    return found


# ---------------------------------------------------------------- doorbells
def test_a_doorbell_rings_for_its_topic_once_a_commit(feed):
    rings = []
    feed.subscribe(TOPIC, lambda: rings.append("t"))
    feed.subscribe(TOPIC, lambda: rings.append("t again"))
    feed.subscribe("w/feed/u", lambda: rings.append("u"))
    feed.ring([Key(TOPIC, "1"), Key(TOPIC, "2"), Key("w/session/s", "doc")])
    assert sorted(rings) == ["t", "t again"]
    feed.ring([Key("w/feed/u", "1")])
    assert rings[2:] == ["u"]
    feed.ring([])
    assert len(rings) == 3


def test_a_closed_subscription_is_silent_and_closing_twice_is_once(feed):
    rings = []
    one = feed.subscribe(TOPIC, lambda: rings.append(1))
    feed.subscribe(TOPIC, lambda: rings.append(2))
    one.close()
    one.close()
    feed.ring([Key(TOPIC, "1")])
    assert rings == [2]


def test_a_callback_may_use_the_feed(feed):
    """It would hang if any lock were held."""
    rings = []

    def ring():
        rings.append(1)
        subscription.close()
        feed.subscribe(TOPIC, lambda: rings.append(2)).close()
        feed.ring([Key("w/feed/u", "1")])

    subscription = feed.subscribe(TOPIC, ring)
    done = threading.Thread(target=feed.ring, args=([Key(TOPIC, "1")],), daemon=True)
    done.start()
    done.join(20)
    assert not done.is_alive()
    assert rings == [1]


def test_a_callback_that_fails_disturbs_nobody(feed, caplog):
    rings = []

    def fail():
        raise LookupError

    feed.subscribe(TOPIC, fail)
    feed.subscribe(TOPIC, lambda: rings.append(1))
    with caplog.at_level(logging.ERROR):
        feed.ring([Key(TOPIC, "1")])
    assert rings == [1]
    assert [record.message for record in caplog.records] == ["doorbell_failed"]


# ---------------------------------------------------------------- previews
def test_previews_arrive_in_order_at_those_who_follow_the_topic(feed):
    one, other, elsewhere = [], [], []
    followers = [
        feed.follow_previews(TOPIC, one.append),
        feed.follow_previews(TOPIC, other.append),
        feed.follow_previews("w/feed/u", elsewhere.append),
    ]
    frames = [_start("e"), *(_delta("e", n) for n in range(50))]
    for frame in frames:
        feed.preview(TOPIC, frame)
    wait_for(lambda: len(one) == len(other) == len(frames))
    assert one == other == frames
    assert elsewhere == []
    for follower in followers:
        follower.close()


def test_the_producer_learns_whether_anybody_follows(feed):
    assert not feed.previewed(TOPIC)
    one = feed.follow_previews(TOPIC, lambda _: None)
    other = feed.follow_previews(TOPIC, lambda _: None)
    one.close()
    assert feed.previewed(TOPIC)
    assert not feed.previewed("w/feed/u")
    other.close()
    other.close()
    assert not feed.previewed(TOPIC)


def test_a_follower_that_fails_disturbs_nobody(feed, caplog):
    frames = []

    def fail(_):
        raise LookupError

    with caplog.at_level(logging.ERROR):
        followers = [
            feed.follow_previews(TOPIC, fail),
            feed.follow_previews(TOPIC, frames.append),
        ]
        feed.preview(TOPIC, _start("e"))
        feed.preview(TOPIC, _delta("e", 0))
        wait_for(lambda: len(frames) == 2 and len(caplog.records) == 2)
    for follower in followers:
        follower.close()


def test_followers_come_and_go_while_previews_are_made(feed):
    """No frame is lost by a follower that stays, whatever the others do."""
    frames, stop, failures = [], threading.Event(), []

    def come_and_go():
        try:
            while not stop.is_set():
                feed.follow_previews(TOPIC, lambda _: None).close()
                feed.subscribe(TOPIC, lambda: None).close()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            failures.append(error)

    others = [threading.Thread(target=come_and_go) for _ in range(3)]
    for other in others:
        other.start()
    stays = feed.follow_previews(TOPIC, frames.append)
    feed.preview(TOPIC, _start("e"))
    for n in range(500):
        feed.preview(TOPIC, _delta("e", n))
        feed.ring([Key(TOPIC, "1")])
        if n % 50 == 0:  # within its bound, however the threads are scheduled
            wait_for(lambda expected=n + 2: len(frames) == expected)
    wait_for(lambda: len(frames) == 501)
    stop.set()
    for other in others:
        other.join(20)
    stays.close()
    assert failures == []
    assert _numbers(frames, "e") == list(range(-1, 500))
