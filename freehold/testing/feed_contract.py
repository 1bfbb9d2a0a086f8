"""What every `Feed` must do, as a program: run each check of `CONTRACT` on feeds of yours.

    @pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
    def test_contract(check, stage):
        check(stage)

Not promised, and not asked: how soon, how often a doorbell rings, how a preview's text is cut, and
that all of it arrives.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from freehold.ids import new_id
from freehold.keys import feed
from freehold.ports import Feed
from freehold.toolset import JsonObject

_PATIENCE = 30.0
_DELTAS = 200


class Stage(Protocol):
    """Where the model is read and where clients are served: one process, or two."""

    writer: Feed
    reader: Feed

    def commit(self, topic: str) -> None:
        """Writes the next commit of a feed."""


Check = Callable[[Stage], None]


def until(condition: Callable[[], object]) -> None:
    """Returns once it holds. Raises AssertionError when it does not in time."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def new_topic() -> str:
    """A feed that nobody has used."""
    return feed("w", new_id("sthr"))


def start(event_id: str) -> JsonObject:
    """The first frame of a preview."""
    return {"type": "event_start", "event": {"type": "agent.message", "id": event_id}}


def delta(event_id: str, text: str, index: int = 0) -> JsonObject:
    """A piece of a preview."""
    content: JsonObject = {"type": "text", "text": text}
    change: JsonObject = {"type": "content_delta", "index": index, "content": content}
    return {"type": "event_delta", "event_id": event_id, "delta": change}


def text_of(frames: list[JsonObject], event_id: str) -> str:
    """What the deltas of an event say together."""
    deltas: Any = [f["delta"] for f in frames if f.get("event_id") == event_id]
    return "".join(change["content"]["text"] for change in deltas)


# ---------------------------------------------------------------- doorbells
def a_commit_rings_whoever_follows_its_feed(stage: Stage) -> None:
    topic = new_topic()
    rings: list[int] = []
    others: list[int] = []
    subscriptions = [
        stage.reader.subscribe(topic, lambda: rings.append(1)),
        stage.reader.subscribe(topic, lambda: others.append(1)),
    ]
    for _ in range(3):
        rings.clear()
        others.clear()
        stage.commit(topic)
        until(lambda: rings and others)
    for subscription in subscriptions:
        subscription.close()


def a_closed_doorbell_is_silent_and_closing_twice_is_once(stage: Stage) -> None:
    topic = new_topic()
    rings: list[int] = []
    others: list[int] = []
    first = stage.reader.subscribe(topic, lambda: rings.append(1))
    stays = stage.reader.subscribe(topic, lambda: others.append(1))
    stage.commit(topic)
    until(lambda: rings)
    first.close()
    first.close()
    others.clear()
    stage.commit(topic)
    until(lambda: others)  # whatever had begun to ring has rung
    known = len(rings)
    others.clear()
    stage.commit(topic)
    until(lambda: others)
    stays.close()
    assert len(rings) == known


def a_callback_that_fails_disturbs_nobody(stage: Stage) -> None:
    topic = new_topic()
    rings: list[int] = []
    failures: list[int] = []
    frames: list[JsonObject] = []

    def fail(*_: object) -> None:
        failures.append(1)
        raise LookupError

    subscriptions = [
        stage.reader.subscribe(topic, fail),
        stage.reader.subscribe(topic, lambda: rings.append(1)),
        stage.reader.follow_previews(topic, fail),
        stage.reader.follow_previews(topic, frames.append),
    ]
    stage.commit(topic)
    until(lambda: rings)
    _say(stage, topic, new_id("sevt"), "a")
    until(lambda: frames)
    assert failures
    for subscription in subscriptions:
        subscription.close()


def a_callback_may_use_the_feed(stage: Stage) -> None:
    """It would hang if any lock were held."""
    topic = new_topic()
    done: list[int] = []

    def ring() -> None:
        stage.reader.subscribe(topic, lambda: None).close()
        subscription.close()
        done.append(1)

    subscription = stage.reader.subscribe(topic, ring)
    stage.commit(topic)
    until(lambda: done)


# ---------------------------------------------------------------- previews
def previews_arrive_in_order_at_all_who_follow(stage: Stage) -> None:
    topic = new_topic()
    one: list[JsonObject] = []
    other: list[JsonObject] = []
    elsewhere: list[JsonObject] = []
    subscriptions = [
        stage.reader.follow_previews(topic, one.append),
        stage.reader.follow_previews(topic, other.append),
        stage.reader.follow_previews(new_topic(), elsewhere.append),
    ]
    first, second = new_id("sevt"), new_id("sevt")
    expected = [str(n) + " " for n in range(_DELTAS)]
    for event_id in (first, second):
        _say(stage, topic, event_id, *expected)
    until(lambda: text_of(one, second) == text_of(other, second) == "".join(expected))
    for frames in (one, other):
        assert text_of(frames, first) == "".join(expected)
        starts = [f for f in frames if f["type"] == "event_start"]
        assert starts == [start(first), start(second)]
        assert frames[0] == start(first)
        assert frames.index(start(second)) > max(
            n for n, f in enumerate(frames) if f.get("event_id") == first
        )
    assert elsewhere == []
    for subscription in subscriptions:
        subscription.close()


def blocks_of_an_event_are_told_apart(stage: Stage) -> None:
    topic, event_id = new_topic(), new_id("sevt")
    frames: list[JsonObject] = []
    subscription = stage.reader.follow_previews(topic, frames.append)
    given = [delta(event_id, "a", 0), delta(event_id, "b", 1), delta(event_id, "c", 1)]
    for frame in (start(event_id), *given):
        stage.writer.preview(topic, frame)
    until(lambda: text_of(frames, event_id) == "abc")
    deltas: Any = [f["delta"] for f in frames if f["type"] == "event_delta"]
    said = ["".join(d["content"]["text"] for d in deltas if d["index"] == n) for n in (0, 1)]
    assert said == ["a", "bc"]
    subscription.close()


def what_was_handed_over_is_not_changed(stage: Stage) -> None:
    topic, event_id = new_topic(), new_id("sevt")
    frames: list[JsonObject] = []
    subscription = stage.reader.follow_previews(topic, frames.append)
    kept = delta(event_id, "a")
    for frame in (start(event_id), kept, delta(event_id, "b")):
        stage.writer.preview(topic, frame)
    until(lambda: text_of(frames, event_id) == "ab")
    assert kept == delta(event_id, "a")
    subscription.close()


def the_producer_learns_whether_anybody_follows(stage: Stage) -> None:
    topic = new_topic()
    until(lambda: not stage.writer.previewed(topic))
    one = stage.reader.follow_previews(topic, lambda _: None)
    other = stage.reader.follow_previews(topic, lambda _: None)
    until(lambda: stage.writer.previewed(topic))
    one.close()
    other.close()
    other.close()
    until(lambda: not stage.writer.previewed(topic))


def who_comes_late_gets_what_is_previewed_from_then_on(stage: Stage) -> None:
    topic = new_topic()
    early: list[JsonObject] = []
    late: list[JsonObject] = []
    first, second = new_id("sevt"), new_id("sevt")
    subscriptions = [stage.reader.follow_previews(topic, early.append)]
    _say(stage, topic, first, "a")
    until(lambda: text_of(early, first) == "a")
    subscriptions.append(stage.reader.follow_previews(topic, late.append))
    _say(stage, topic, second, "b")
    until(lambda: text_of(late, second) == "b")
    for subscription in subscriptions:
        subscription.close()


def _say(stage: Stage, topic: str, event_id: str, *texts: str) -> None:
    stage.writer.preview(topic, start(event_id))
    for text in texts:
        stage.writer.preview(topic, delta(event_id, text))


CONTRACT: tuple[Check, ...] = (
    a_commit_rings_whoever_follows_its_feed,
    a_closed_doorbell_is_silent_and_closing_twice_is_once,
    a_callback_that_fails_disturbs_nobody,
    a_callback_may_use_the_feed,
    previews_arrive_in_order_at_all_who_follow,
    blocks_of_an_event_are_told_apart,
    what_was_handed_over_is_not_changed,
    the_producer_learns_whether_anybody_follows,
    who_comes_late_gets_what_is_previewed_from_then_on,
)
