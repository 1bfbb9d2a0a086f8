"""The time of one web call, and its end from outside: whatever the call waits for, it ends then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Lock, Thread, Timer
from typing import TypeVar

from freehold.adapters.web.failure import Failed
from freehold.errors import WebCallStopped

T = TypeVar("T")


class Lifeline:
    """One call waits; any thread may close."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None
        self._lock = Lock()
        self._enders: list[Callable[[], None]] = []
        self._is_closed = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """The time counts within. Raises WebCallStopped where it was closed, Failed where the time
        ran out, whatever that made fail.
        """
        self._until = time.monotonic() + self._seconds
        timer = Timer(self._seconds, self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        except Exception:
            self.check()
            raise
        finally:
            timer.cancel()
        self.check()

    def close(self) -> None:
        self._is_closed = True
        self._end()

    @property
    def seconds_left(self) -> float:
        """Raises WebCallStopped, Failed. Above zero."""
        self.check()
        assert self._until is not None
        return max(0.001, self._until - time.monotonic())

    def check(self) -> None:
        """Raises WebCallStopped, Failed."""
        if self._is_closed:
            raise WebCallStopped
        if self._until is not None and time.monotonic() >= self._until:
            raise Failed("url_not_accessible", f"it took longer than {self._seconds:g} seconds")

    @contextmanager
    def ended_by(self, end: Callable[[], None]) -> Iterator[None]:
        """Within the block the call's end calls `end`, which must make the block return. At once,
        where the call has ended before.
        """
        with self._lock:
            self._enders.append(end)
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._enders.remove(end)

    def wait_for(self, work: Callable[[], T], discard: Callable[[T], None]) -> T:
        """What `work` gives, on a thread of its own since nothing can interrupt it; `discard` takes
        what came too late.
        """
        done: Future[T] = Future()

        def run() -> None:
            try:
                found = work()
            except BaseException as error:  # noqa: BLE001 - carried to the thread that waits
                if done.set_running_or_notify_cancel():
                    done.set_exception(error)
                return
            if done.set_running_or_notify_cancel():
                done.set_result(found)
            else:
                discard(found)

        with self.ended_by(lambda: _cancel(done)):
            Thread(target=run, daemon=True, name="web-wait").start()
            return done.result()

    def _end(self) -> None:
        with self._lock:
            enders = list(self._enders)
        for end in enders:
            end()


def _cancel(done: Future[T]) -> None:
    """Wakes whoever waits for it."""
    done.cancel()
