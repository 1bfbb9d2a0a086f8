"""Things that happen later, in this process: one clock thread hands over the jobs that are due."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable

Job = Callable[[], None]


class Alarms:
    """`hand_over` is called on the clock's thread with each job that is due; it must not block."""

    def __init__(self, hand_over: Callable[[Job], None]) -> None:
        self._hand_over = hand_over
        self._jobs: list[tuple[float, int, Job]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._is_closed = False
        threading.Thread(target=self._watch, name="alarms", daemon=True).start()

    def after(self, seconds: float, job: Job) -> None:
        """Once, in `seconds`; never when the alarms are closed before."""
        with self._changed:
            heapq.heappush(self._jobs, (time.monotonic() + seconds, next(self._numbers), job))
            self._changed.notify_all()

    def every(self, seconds: float, job: Job) -> None:
        """Again and again, `seconds` after the last one ended, until the alarms are closed. `job`
        must not raise.
        """

        def again() -> None:
            job()
            self.after(seconds, again)

        self.after(seconds, again)

    def close(self) -> None:
        """Nothing is handed over any more."""
        with self._changed:
            self._is_closed = True
            self._jobs.clear()
            self._changed.notify_all()

    def _watch(self) -> None:
        while True:
            with self._changed:
                if self._is_closed:
                    return
                wait = self._jobs[0][0] - time.monotonic() if self._jobs else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
                job = heapq.heappop(self._jobs)[2]
            self._hand_over(job)
