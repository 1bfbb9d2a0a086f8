"""Things done again and again, each at its own pace, on a few threads for all of them."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger("freehold.feed")

_AFTER_FAILURE = 1.0
Act = Callable[[], float | None]
"""Answers the seconds until it is done again, None for never."""


class Rounds:
    """Threads start with the first things to do and never end: they are the process's own."""

    def __init__(self, threads: int) -> None:
        self._most_threads = threads
        self._threads = 0
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, Round]] = []
        self._changed = threading.Condition()

    def add(self, act: Act, *, after: float = 0.0) -> Round:
        """Does `act` in `after` seconds for the first time, and never twice at once."""
        made = Round(self, act)
        with self._changed:
            self._put(made, after)
            if self._threads < self._most_threads:
                self._threads += 1
                name = f"feed-{self._threads}"
                threading.Thread(target=self._work, name=name, daemon=True).start()
        return made

    def hasten(self, hastened: Round) -> None:
        """Makes it the next thing done, unless it is being done."""
        with self._changed:
            for n, (_, order, waiting) in enumerate(self._waiting):
                if waiting is hastened:
                    self._waiting[n] = (0.0, order, waiting)
                    heapq.heapify(self._waiting)
                    self._changed.notify()
                    return
            hastened.is_urgent = True

    def _put(self, waiting: Round, seconds: float) -> None:
        due = 0.0 if waiting.is_urgent else time.monotonic() + seconds
        waiting.is_urgent = False
        heapq.heappush(self._waiting, (due, next(self._order), waiting))
        self._changed.notify()

    def _work(self) -> None:
        while True:
            current = self._take()
            seconds = current.perform()
            if seconds is not None:
                with self._changed:
                    self._put(current, seconds)

    def _take(self) -> Round:
        with self._changed:
            while True:
                if not self._waiting:
                    self._changed.wait()
                    continue
                left = self._waiting[0][0] - time.monotonic()
                if left <= 0:
                    return heapq.heappop(self._waiting)[2]
                self._changed.wait(left)


class Round:
    """One of them; `Rounds.add` makes it."""

    def __init__(self, rounds: Rounds, act: Act) -> None:
        self._rounds = rounds
        self._act = act
        self._is_closed = False
        self.is_urgent = False
        """Whether it was hastened while it was being done. The rounds' own."""

    def close(self) -> None:
        """No more of it; one that has begun ends by itself."""
        self._is_closed = True

    def hasten(self) -> None:
        """Now rather than at its time."""
        self._rounds.hasten(self)

    def perform(self) -> float | None:
        """Seconds until the next time. One that fails is done again."""
        if self._is_closed:
            return None
        try:
            return self._act()
        except Exception:  # noqa: BLE001 - the next round may find the table in reach again
            _log.exception("round_failed")
            return _AFTER_FAILURE
