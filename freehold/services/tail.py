"""The newest events of a feed, without a hole, for all who follow it (BEHAVIOUR 8, DESIGN 8)."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from itertools import islice

from freehold import keys
from freehold.domain.entry import Entry, StoredEvent
from freehold.errors import NotFound
from freehold.ids import new_id, timestamp
from freehold.keys import SessionKey
from freehold.ports import App

_WINDOW_EVENTS = 512
_WINDOW_CHARACTERS = 4_000_000
PAGE = 100
"""Events that are read or sent at a time, at most."""
_PAGE_CHARACTERS = 1_000_000
_COMMITS = 16
_LOOKS = 3
"""At a commit that is not there and should be."""
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
        """What was appended since. Where nothing was, whether the session is gone.

        Raises LookupError for a log that lacks a commit whose successor is there.
        """
        entries, more = self._entries()
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
        """A page of the log itself, cut short where events are large; empty when it was erased.
        Raises what `fetch` raises.
        """
        for _ in range(_LOOKS):
            frames: list[Frame] = []
            size = 0
            for event in self._app.log.scan(self._key, self._thread_id, beyond=after_seq):
                if event.seq != after_seq + len(frames) + 1:
                    break
                frames.append(_frame(event))
                size += len(frames[-1].data)
                if len(frames) >= PAGE or size > _PAGE_CHARACTERS:
                    break
            else:
                return frames
            if frames:
                return frames
        self._fail_unless_erased()
        return []

    def after(self, seq: int) -> list[Frame] | None:
        """At most a page of what is known after `seq`; None when `seq` lies before the window."""
        if seq < self.start:
            return None
        first = seq - self.start
        return list(islice(self._frames, first, first + PAGE))

    def _entries(self) -> tuple[list[Entry], bool]:
        """Commits behind the end, up to a hole, and whether there are more. A query is no snapshot:
        a commit may be missed whose successor is seen. The next look sees both.
        """
        for _ in range(_LOOKS):
            entries, more = self._app.log.entries(
                self._key, self._thread_id, after=self._place, limit=_COMMITS
            )
            end = self.end
            for n, entry in enumerate(entries):
                if entry.first_seq != end + 1:
                    entries, more = entries[:n], True
                    break
                end += len(entry.sequenced)
            if entries or not more:
                return entries, more
        self._fail_unless_erased()
        return [], False

    def _fail_unless_erased(self) -> None:
        if not self._is_deleted():
            raise LookupError(f"the feed of {self._thread_id} was read with a hole")

    def _is_deleted(self) -> bool:
        """A deleted session's feed is erased soon after: a reader may miss its last event."""
        try:
            return self._app.log.read(self._key, self._thread_id).session.dead
        except NotFound:
            return True


def _frame(event: StoredEvent) -> Frame:
    """ASCII only: some clients break lines at characters that JSON leaves alone."""
    data = json.dumps(event.body, separators=(",", ":"))
    return Frame(str(event.body["type"]), data, event.seq, str(event.body.get("id", "")))
