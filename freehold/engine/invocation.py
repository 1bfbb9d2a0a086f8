"""What RunTurn and RunTools share: a holder, a lease that is renewed, and a watch for
interrupts.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from freehold.domain import lifecycle
from freehold.domain.draft import Snapshot
from freehold.domain.entry import Entry
from freehold.domain.step import Lease, Limits, Next
from freehold.errors import AmbiguousWrite, NotFound, StaleRead, Unavailable
from freehold.ids import new_id, timestamp
from freehold.keys import SessionKey
from freehold.ports import App, Condition, Run, Write

MARGIN_SECONDS = 40.0
"""Before the deadline: a sandbox may hold a call for 25 s, and a last transaction needs its
attempts (test_deadlines).
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the state machine branches on, and all it carries besides the ids."""

    next: Next
    seconds: int = 0
    turns: int = 0


def limits_of(app: App) -> Limits:
    """The numbers a plan needs."""
    settings = app.settings
    return Limits(
        settings.leg_turns,
        settings.max_model_retries,
        settings.max_tool_rounds,
        settings.max_compactions,
    )


@dataclass(frozen=True, slots=True)
class Watch:
    """What to do, from another thread, when an interrupt was accepted, the claim lost, or the
    invocation's time is nearly up.
    """

    interrupted: Callable[[], None]
    lost: Callable[[], None]
    late: Callable[[], None]


class Invocation:
    """One invocation of a function for a run. `holder` is random, so no two ever share a claim."""

    def __init__(self, app: App, run: Run, deadline: float | None = None) -> None:
        """`deadline`: when the platform ends this invocation, on the clock of `time.monotonic`."""
        self.app = app
        self.run = run
        self.deadline = deadline
        self.key = SessionKey(run.workspace_id, run.session_id)
        self.holder = new_id("inv")
        self.limits = limits_of(app)

    def lease(self) -> Lease:
        until = self.app.clock() + timedelta(seconds=self.app.settings.lease_seconds)
        return Lease(self.holder, timestamp(until))

    def landed(self, snapshot: Snapshot, _: Sequence[Entry]) -> Next | None:
        """After a lost answer: None when our claim landed and is still ours, else what the head
        says comes next.
        """
        claim = snapshot.claims.get(self.run.thread_id)
        if claim is not None and claim.holder == self.holder:
            return None
        head = snapshot.heads[self.run.thread_id]
        if not lifecycle.may_work(snapshot, head.thread_id, self.run.epoch, self.run.leg):
            return "taken"
        if head.status == "rescheduling":
            return "wait"
        return "tools" if head.is_runnable else "turn"

    @property
    def seconds_left(self) -> float:
        """Until it should come to an end by itself, with time left to write."""
        if self.deadline is None:
            return math.inf
        return self.deadline - MARGIN_SECONDS - time.monotonic()

    def look(self, watch: Watch) -> None:
        """Asks the log, not a message, whether this invocation must stop."""
        try:
            snapshot = self.app.log.read(self.key, self.run.thread_id)
        except NotFound:
            watch.lost()
            return
        if not lifecycle.may_work(snapshot, self.run.thread_id, self.run.epoch, self.run.leg):
            watch.lost()
        elif lifecycle.is_interrupted(snapshot.session, snapshot.heads[self.run.thread_id]):
            watch.interrupted()

    @contextmanager
    def watched(self, watch: Watch) -> Iterator[None]:
        """Within the block the log, the lease and the time are watched from other threads.

        The doorbell must not block, so each ring looks at the log on a thread of its own; rings are
        rare here, since while a claim is held only clients write to the thread.
        """
        closed = threading.Event()

        def look() -> None:
            if not closed.is_set():
                self.look(watch)

        def ring() -> None:
            threading.Thread(target=look, name="watch", daemon=True).start()

        topic = self.key.feed(self.run.thread_id)
        subscription = self.app.feed.subscribe(topic, ring)
        renewal = _Renewal(self, watch)
        try:
            look()
            yield
        finally:
            closed.set()
            subscription.close()
            renewal.close()


class _Renewal:
    """Extends the lease until closed, and says when the claim is lost or the time is up."""

    def __init__(self, invocation: Invocation, watch: Watch) -> None:
        self._invocation = invocation
        self._watch = watch
        self._timer: threading.Timer | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._schedule()

    def _schedule(self) -> None:
        with self._lock:
            if self._closed:
                return
            renew = self._invocation.app.settings.renew_seconds
            pause = max(0.0, min(renew, self._invocation.seconds_left))
            self._timer = threading.Timer(pause, self._renew)
            self._timer.daemon = True
            self._timer.start()

    def _renew(self) -> None:
        invocation = self._invocation
        if invocation.seconds_left <= 0:
            self._watch.late()
            return
        held = Condition("holder", "==", invocation.holder, "claim still held")
        key = invocation.key.claim(invocation.run.thread_id)
        try:
            lease = invocation.lease()
            invocation.app.records.write(
                [Write(key, set={"until": lease.until}, conditions=(held,))]
            )
        except StaleRead as stale:
            # Without a condition that failed it only met another transaction, ours perhaps.
            if stale.failed:
                self._watch.lost()
                return
        except (AmbiguousWrite, Unavailable):
            pass  # renewed or not: the next beat comes well within the lease
        self._schedule()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._timer:
                self._timer.cancel()
