"""`Feed` within one process: the store rings the doorbells, one thread hands out the previews."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from freehold.keys import Key
from freehold.toolset import JsonObject

_Entry = TypeVar("_Entry")

_log = logging.getLogger("freehold.feed")
_WAITING = 256
"""Frames kept for one follower of previews that has not taken them yet."""
_OPEN = 64
"""Previews that one follower is in the middle of."""


class ProcessFeed:
    """Callbacks run outside every lock; one that raises is logged and disturbs nobody else.

    Doorbells ring on the thread that calls `ring`. Previews are delivered by a thread of the feed's
    own, which exists while somebody follows any: `preview` never waits. Who does not keep up gets
    the beginning of a preview and then nothing more of it, never one with a hole (BEHAVIOUR 8.3).
    A callback may be called once more while its subscription is being closed.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._bells: dict[str, list[_Bell]] = {}
        self._followers: dict[str, list[_Follower]] = {}
        self._ready: deque[_Follower] = deque()
        self._thread: threading.Thread | None = None

    # ------------------------------------------------------------ doorbells
    def ring(self, keys: Sequence[Key]) -> None:
        """The store's stream: rings each topic among the partitions once."""
        topics = {key.pk for key in keys}
        with self._changed:
            bells = [bell for topic in topics for bell in self._bells.get(topic, ())]
        for bell in bells:
            try:
                bell.ring()
            except Exception:  # noqa: BLE001 - the other followers have a right to their bell
                _log.exception("doorbell_failed")

    def subscribe(self, topic: str, ring: Callable[[], None]) -> _Bell:
        bell = _Bell(self, topic, ring)
        with self._changed:
            self._bells.setdefault(topic, []).append(bell)
        return bell

    def silence(self, bell: _Bell) -> None:
        """Ends a subscription. Twice is once."""
        with self._changed:
            _take_out(self._bells, bell.topic, bell)

    # ------------------------------------------------------------ previews
    def preview(self, topic: str, frame: JsonObject) -> None:
        with self._changed:
            for follower in self._followers.get(topic, ()):
                was_waiting = bool(follower.waiting)
                if follower.take(frame) and not was_waiting:
                    self._ready.append(follower)
                    self._changed.notify()

    def follow_previews(self, topic: str, deliver: Callable[[JsonObject], None]) -> _Follower:
        follower = _Follower(self, topic, deliver)
        with self._changed:
            self._followers.setdefault(topic, []).append(follower)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._deliver, name="freehold-previews", daemon=True
                )
                self._thread.start()
        return follower

    def previewed(self, topic: str) -> bool:
        with self._changed:
            return topic in self._followers

    def leave(self, follower: _Follower) -> None:
        """Ends a subscription and forgets what waits for it. Twice is once."""
        with self._changed:
            _take_out(self._followers, follower.topic, follower)
            follower.waiting.clear()
            self._changed.notify()

    def _deliver(self) -> None:
        """Each follower that has frames gets all of them in its turn."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ready or not self._followers)
                if not self._ready:
                    self._thread = None
                    return
                follower = self._ready.popleft()
                frames = list(follower.waiting)
                follower.waiting.clear()
            for frame in frames:
                try:
                    follower.deliver(frame)
                except Exception:  # noqa: BLE001 - as a doorbell
                    _log.exception("preview_failed")


class _Bell:
    """One subscription to doorbells."""

    def __init__(self, feed: ProcessFeed, topic: str, ring: Callable[[], None]) -> None:
        self._feed = feed
        self.topic = topic
        self.ring = ring

    def close(self) -> None:
        self._feed.silence(self)


class _Follower:
    """One subscription to previews, and what waits for it. The feed's lock guards it."""

    def __init__(
        self, feed: ProcessFeed, topic: str, deliver: Callable[[JsonObject], None]
    ) -> None:
        self._feed = feed
        self.topic = topic
        self.deliver = deliver
        self.waiting: deque[JsonObject] = deque()
        self._open: dict[str, bool] = {}

    def take(self, frame: JsonObject) -> bool:
        """Whether the frame will be delivered: its preview began here and has no hole so far."""
        if frame["type"] == "event_start":
            event_id = _started(frame)
            if event_id in self._open:
                return False
            self._begin(event_id)
        else:
            event_id = str(frame["event_id"])
        if not self._open.get(event_id):
            return False
        if len(self.waiting) == _WAITING:
            self._open[event_id] = False
            return False
        self.waiting.append(frame)
        return True

    def _begin(self, event_id: str) -> None:
        """The oldest is forgotten: what would still come of it counts as not begun."""
        self._open[event_id] = True
        if len(self._open) > _OPEN:
            del self._open[next(iter(self._open))]

    def close(self) -> None:
        self._feed.leave(self)


def _started(frame: JsonObject) -> str:
    event = frame["event"]
    assert isinstance(event, dict)
    return str(event["id"])


def _take_out(table: dict[str, list[_Entry]], topic: str, entry: _Entry) -> None:
    entries = table.get(topic, [])
    if entry in entries:
        entries.remove(entry)
    if not entries:
        table.pop(topic, None)
