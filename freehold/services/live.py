"""Following a thread's feed live: the part that knows nothing of sockets (BEHAVIOUR 8, DESIGN 8).

A `Tail` reads the end of one feed once for all who follow it. A `Follower` is one client: a cursor
into the log, the previews it asked for, and when it is over. A client that is slow is behind in the
log; nothing is buffered for it here.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from itertools import islice

from freehold import keys
from freehold.domain.entry import StoredEvent
from freehold.errors import NotFound
from freehold.ids import new_id, timestamp
from freehold.keys import SessionKey
from freehold.ports import App
from freehold.toolset import JsonObject

_WINDOW_EVENTS = 512
_WINDOW_CHARACTERS = 4_000_000
_PAGE = 100
_PAGE_CHARACTERS = 1_000_000
_COMMITS = 16
_PREVIEWS = 256
_REMEMBERED = 64
LAST = ("session.deleted", "session.status_terminated")
"""Types of events after which a feed has no more."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One thing to send. `data` is a JSON object on one line; `seq` is None for what is not in the
    log.
    """

    type: str
    data: str
    seq: int | None = None
    event_id: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a look at the log found behind the tail's end. `more`: look again at once."""

    frames: list[Frame]
    place: str
    more: bool = False
    deleted: Frame | None = None


class Tail:
    """The newest events of one feed, encoded once. `fetch` and `read` block and change nothing, so
    they may run on another thread; the rest belongs to one thread.
    """

    def __init__(self, app: App, key: SessionKey, thread_id: str, end: int) -> None:
        """`end`: the last sequence number of a commit; nothing before it is kept."""
        self._app = app
        self._key = key
        self._thread_id = thread_id
        self._frames: deque[Frame] = deque()
        self._size = 0
        # The next commit has a higher version than 0: the first commit of a feed made its session.
        self._place = keys.entry(end + 1, 0)
        self.start = end
        self.deleted: Frame | None = None

    @property
    def end(self) -> int:
        """The sequence number of the newest event known; `start` is the one before the oldest."""
        return self.start + len(self._frames)

    def fetch(self) -> Fetched:
        """What was appended since. Where nothing was, whether the session is gone."""
        entries, more = self._app.log.entries(
            self._key, self._thread_id, after=self._place, limit=_COMMITS
        )
        frames = [_frame(event) for entry in entries for event in entry.sequenced]
        place = keys.entry(entries[-1].first_seq, entries[-1].version) if entries else self._place
        if entries or self.deleted is not None or not self._is_deleted():
            return Fetched(frames, place, more)
        body = {
            "type": "session.deleted",
            "id": new_id("sevt"),
            "processed_at": timestamp(self._app.clock()),
        }
        deleted = Frame("session.deleted", json.dumps(body), event_id=body["id"])
        return Fetched([], place, deleted=deleted)

    def keep(self, fetched: Fetched) -> None:
        """Moves the end; the oldest leave when the window is full."""
        self._place = fetched.place
        self.deleted = self.deleted or fetched.deleted
        self._frames.extend(fetched.frames)
        self._size += sum(len(frame.data) for frame in fetched.frames)
        while self._size > _WINDOW_CHARACTERS or len(self._frames) > _WINDOW_EVENTS:
            self._size -= len(self._frames.popleft().data)
            self.start += 1

    def read(self, after_seq: int) -> list[Frame]:
        """A page of the log itself, cut short where events are large."""
        frames: list[Frame] = []
        size = 0
        for event in self._app.log.scan(self._key, self._thread_id, beyond=after_seq):
            frames.append(_frame(event))
            size += len(frames[-1].data)
            if len(frames) >= _PAGE or size > _PAGE_CHARACTERS:
                break
        return frames

    def after(self, seq: int) -> list[Frame] | None:
        """At most a page of what is known after `seq`; None when `seq` lies before the window."""
        if seq < self.start:
            return None
        first = seq - self.start
        return list(islice(self._frames, first, first + _PAGE))

    def _is_deleted(self) -> bool:
        """A deleted session's feed is erased soon after: a reader may miss its last event."""
        try:
            return self._app.log.read(self._key, self._thread_id).session.dead
        except NotFound:
            return True


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
        if not self.is_over and len(frames) < _PAGE:
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


def _frame(event: StoredEvent) -> Frame:
    """ASCII only: some clients break lines at characters that JSON leaves alone."""
    data = json.dumps(event.body, separators=(",", ":"))
    return Frame(str(event.body["type"]), data, event.seq, str(event.body.get("id", "")))
