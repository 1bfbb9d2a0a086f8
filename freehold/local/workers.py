"""Threads for work that starts now. A pool that grows as needed and never makes a job wait for
another one's end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

Job = Callable[[], None]

_IDLE_SECONDS = 30.0


class Workers:
    """Runs each job on a daemon thread, an idle one where there is one.

    A run may block for minutes in a model request, so a pool of fixed size would let slow sessions
    hold up quick ones. Daemon threads, because a process that is told to stop must not wait for
    them: whatever they were doing is in the log or is done again.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._idle = 0
        self._lock = threading.Lock()

    def run(self, job: Job) -> None:
        """Starts `job` and returns. It must not raise: nobody would hear it."""
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
                self._jobs.put(job)
                return
        threading.Thread(target=self._work, args=(job,), name=self._name, daemon=True).start()

    def _work(self, job: Job) -> None:
        while True:
            job()
            with self._lock:
                self._idle += 1
            try:
                job = self._jobs.get(timeout=_IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if self._idle > 0 and self._jobs.empty():
                        self._idle -= 1
                        return
                # A job was promised to an idle thread at this very moment; it is this one's now.
                job = self._jobs.get()
