"""Previews on their way into the table: the writing side."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

from freehold import listeners
from freehold.adapters.table_feed.rounds import Rounds
from freehold.errors import Unavailable
from freehold.ports import Records
from freehold.toolset import JsonObject

_log = logging.getLogger("freehold.feed")

GATHER_SECONDS = 0.3
"""Each piece is an item to write, to read and to send: at a quarter of a second a reader would cost
more than it may (docs/benchmarks.md).
"""
LOOK_SECONDS = 2.0
"""How late who begins to follow is noticed."""
_UNASKED_SECONDS = 10.0
_MOST_CHARACTERS = 30_000
"""Of text that waits. As ASCII JSON it stays below the 400 KB of an item."""


class Announcements:
    """One for each feed that is previewed or might be; forgotten when nobody asks any more."""

    def __init__(self, records: Records, clock: Callable[[], datetime], rounds: Rounds) -> None:
        self._records = records
        self._clock = clock
        self._rounds = rounds
        self._open: dict[str, Announcement] = {}
        self._lock = threading.Lock()

    def of(self, topic: str) -> Announcement:
        """At once: whatever blocks is done by its round."""
        with self._lock:
            found = self._open.get(topic)
            if found is None:
                found = self._open[topic] = Announcement(self._records, topic, self._clock)
                self._rounds.add(lambda: self._advance(found))
            found.asked_at = time.monotonic()
            return found

    def _advance(self, announcement: Announcement) -> float | None:
        with self._lock:
            if time.monotonic() - announcement.asked_at > _UNASKED_SECONDS:
                del self._open[announcement.topic]
                return None
        return announcement.advance()


class Announcement:
    """The previews of one feed: gathered by the model's reader, written by a round. All of a
    delta's predecessors are written or it is not, so what a client has is a prefix (BEHAVIOUR 8.3).
    """

    def __init__(self, records: Records, topic: str, clock: Callable[[], datetime]) -> None:
        self.topic = topic
        self.asked_at = time.monotonic()
        self._records = records
        self._clock = clock
        self._is_heard: bool | None = None
        self._looked_at = -math.inf
        self._written = ""
        self._frames: list[JsonObject] = []
        self._characters = 0
        self._event_id = ""
        self._lock = threading.Lock()

    def may_be_heard(self) -> bool:
        """False once it is known that nobody listens."""
        return self._is_heard is not False

    def add(self, frame: JsonObject) -> None:
        """Takes the frame along with the next item, or drops the rest of its event."""
        with self._lock:
            if frame["type"] == "event_start":
                self._event_id = str(cast("JsonObject", frame["event"])["id"])
                self._frames.append(frame)
            elif frame["event_id"] == self._event_id:
                self._add_delta(frame)

    def advance(self) -> float:
        """The round: looks who listens, where that is due, and writes what was gathered."""
        if time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self._look()
        frames = self._taken()
        if frames and self._is_heard:
            self._write(frames)
        return GATHER_SECONDS

    def _add_delta(self, frame: JsonObject) -> None:
        text = _content(frame)["text"]
        if self._characters + len(text) > _MOST_CHARACTERS:
            self._event_id = ""
            return
        self._characters += len(text)
        last = self._frames[-1] if self._frames else None
        if last is not None and _may_join(last, frame):
            _content(last)["text"] += text
        else:
            # A copy: what was handed over is not changed by what follows.
            delta = cast("JsonObject", frame["delta"])
            self._frames.append({**frame, "delta": {**delta, "content": {**_content(frame)}}})

    def _look(self) -> None:
        try:
            heard = listeners.wants_previews(self._records, self.topic, self._clock())
        except Unavailable:
            _log.warning("listeners_not_read")
            return
        self._is_heard = heard
        self._looked_at = time.monotonic()
        if not heard:
            self._shed()

    def _taken(self) -> list[JsonObject]:
        with self._lock:
            frames, self._frames, self._characters = self._frames, [], 0
            return frames

    def _write(self, frames: list[JsonObject]) -> None:
        key, row = listeners.preview_row(self.topic, frames, self._clock(), follows=self._written)
        try:
            self._records.put(key, row)
            self._written = key.sk
        except Unavailable:
            _log.warning("previews_not_written")
            self._shed()

    def _shed(self) -> None:
        """Without what was lost the rest of the event would be no continuation."""
        with self._lock:
            self._event_id = ""
            self._frames, self._characters = [], 0


def _content(frame: JsonObject) -> Any:
    return cast("Any", frame["delta"])["content"]


def _may_join(last: JsonObject, frame: JsonObject) -> bool:
    """Deltas of one block of one event."""
    if last["type"] != "event_delta" or last["event_id"] != frame["event_id"]:
        return False
    known, index = (cast("JsonObject", f["delta"])["index"] for f in (last, frame))
    return known == index
