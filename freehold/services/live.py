"""Following a thread's feed live: the part that knows nothing of sockets (BEHAVIOUR 8, DESIGN 8).

A `Tail` reads the end of one feed once for all who follow it. A `Follower` is one client: a cursor
into the log, the previews it asked for, and when it is over. A client that is slow is behind in the
log; nothing is buffered for it here.
"""

from __future__ import annotations

import json
from collections import deque

from freehold.services.tail import LAST, PAGE, Frame, Tail
from freehold.toolset import JsonObject

_PREVIEWS = 256
_REMEMBERED = 64


class Follower:
    """One client of a tail. Every method is quick except `read`."""

    def __init__(
        self, tail: Tail, cursor: int, *, last: int | None, wanted: frozenset[str]
    ) -> None:
        """`cursor`: the last sequence number not to be sent. `last`: where the feed of a session
        that has ended stops, None for one that goes on. `wanted`: event types to preview.
        """
        self._tail = tail
        self._cursor = cursor
        self._last = last
        self._previews = _Previews(wanted)
        self.is_over = last is not None and cursor >= last

    @property
    def wants_previews(self) -> bool:
        return self._previews.are_wanted

    def offer(self, frame: JsonObject) -> None:
        """A preview, to be sent between the events it belongs between, or dropped."""
        self._previews.offer(frame)

    def take(self) -> list[Frame] | None:
        """What can be sent now, in order; None when the client is so far behind that `read` must
        fetch it.
        """
        if self.is_over:
            return []
        frames = self._tail.after(self._cursor)
        if frames is None:
            return None
        sent = self._advance(frames)
        if not self.is_over and len(frames) < PAGE:
            sent += self._previews.rest()
            if self._tail.deleted is not None:
                self.is_over = True
                sent.append(self._tail.deleted)
        return sent

    def read(self) -> list[Frame]:
        """The next page from the log, for a client that is behind the window. Blocks; empty when
        the log was erased.
        """
        frames = self._tail.read(self._cursor)
        if not frames:
            self._cursor = self._tail.start
        return self._advance(frames)

    def _advance(self, frames: list[Frame]) -> list[Frame]:
        sent: list[Frame] = []
        for frame in frames:
            sent += self._previews.before(frame)
            sent.append(frame)
            self._cursor = frame.seq or self._cursor
            if frame.type in LAST or self._cursor == self._last:
                self.is_over = True
                break
        return sent


class _Previews:
    """Previews of one client: only what it asked for, one start an id, a gapless prefix, inside the
    span of their model request and never after the event itself (BEHAVIOUR 8.3).
    """

    def __init__(self, wanted: frozenset[str]) -> None:
        self._wanted = wanted
        self._span_id = ""
        self._waiting: dict[str, list[Frame]] = {}
        self._count = 0
        self._started: set[str] = set()
        self._finished: deque[str] = deque(maxlen=_REMEMBERED)

    @property
    def are_wanted(self) -> bool:
        return bool(self._wanted)

    def offer(self, frame: JsonObject) -> None:
        kind = str(frame["type"])
        if kind == "event_start":
            event = frame["event"]
            assert isinstance(event, dict)
            event_id = str(event["id"])
            is_new = event_id not in self._started and event_id not in self._finished
            # What is older than the span was previewed too late: its request is over.
            if event["type"] not in self._wanted or not is_new or event_id < self._span_id:
                return
            self._started.add(event_id)
        else:
            event_id = str(frame["event_id"])
        if event_id not in self._started:
            return
        if self._count >= _PREVIEWS:
            # Without its rest, what was sent stays a prefix; with a hole in it, it would be a lie.
            self._started.discard(event_id)
            self._finished.append(event_id)
            return
        self._count += 1
        data = json.dumps(frame, separators=(",", ":"))
        self._waiting.setdefault(event_id, []).append(Frame(kind, data, event_id=event_id))

    def before(self, frame: Frame) -> list[Frame]:
        """Previews that belong before this event, and are over with it."""
        if frame.type == "span.model_request_start":
            self._span_id = frame.event_id
            self._close_span(frame.event_id)
        elif frame.type == "span.model_request_end":
            self._span_id = ""
            self._close_span(frame.event_id)
        elif frame.type in self._wanted:
            previews = self._finish(frame.event_id)
            return previews if self._span_id else []
        return []

    def rest(self) -> list[Frame]:
        """Previews of events that are not in the log yet. Those of a request whose start this
        client has not been sent wait for it, or are never sent where it came too late.
        """
        if not self._span_id:
            return []
        frames = [frame for frames in self._waiting.values() for frame in frames]
        self._waiting.clear()
        self._count = 0
        return frames

    def _close_span(self, bound_id: str) -> None:
        """No event comes any more for what was begun before. Ids sort by creation, so what sorts
        later is of this or the next request, previewed while this client is behind.
        """
        for event_id in [known for known in self._started if known < bound_id]:
            self._finish(event_id)

    def _finish(self, event_id: str) -> list[Frame]:
        frames = self._waiting.pop(event_id, [])
        self._count -= len(frames)
        self._started.discard(event_id)
        self._finished.append(event_id)
        return frames
