"""The only loop around a transaction of the log: read, decide, write; a stale read decides again
(DESIGN 4).

After a lost answer every further attempt reads the head, looks for its own `commit_id` below that
very head, and conditions on it: the lost request may still land.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from freehold.domain.draft import Draft, Snapshot
from freehold.domain.entry import Entry
from freehold.engine.day_spend import booking
from freehold.engine.observing import committed
from freehold.errors import AmbiguousWrite, StaleRead, Unavailable
from freehold.ids import new_id
from freehold.keys import SessionKey
from freehold.ports import App, Run
from freehold.toolset import JsonObject

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Transaction(Generic[T]):
    """What to do to a thread. `plan` composes or answers; it may be called again, and raises to
    refuse.

    `landed` gives the answer when an earlier attempt turns out to have been committed, from its
    commits, one a feed. `inputs` are bodies of queued events for a given snapshot.
    """

    key: SessionKey
    thread_id: str
    actor: str
    plan: Callable[[Draft], T]
    landed: Callable[[Snapshot, Sequence[Entry]], T]
    inputs: Callable[[Snapshot], Mapping[str, JsonObject]] = lambda _: {}
    every: bool = False


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The answer, the draft it came with, and the commits of an earlier attempt that had landed."""

    answer: T
    draft: Draft
    entries: tuple[Entry, ...] = ()

    def runs(self) -> list[Run]:
        """The executions to start: threads that run now and did not under this name before.

        Where an earlier attempt had landed, every running thread of the snapshot: starting one
        twice is a no-op.
        """
        key = self.draft.snapshot.key
        found = []
        for thread_id, head in self.draft.heads.items():
            before = self.draft.snapshot.heads.get(thread_id)
            same = before is not None and before.is_busy
            same = (
                same and before is not None and (before.epoch, before.leg) == (head.epoch, head.leg)
            )
            if head.status == "running" and (self.entries or not same):
                name = (key.workspace_id, key.session_id, thread_id, head.epoch, head.leg)
                found.append(Run(*name))
        return found


def perform(app: App, transaction: Transaction[T]) -> Done[T]:
    """Raises what the plan raises, NotFound for a session that is not there, Unavailable after too
    many attempts.
    """
    commit_id = new_id("cmt")
    unsure: dict[str, int] = {}
    began = time.perf_counter()
    for attempt in range(app.settings.write_attempts):
        if attempt:
            _pause(app.settings.write_backoff_seconds * 2**attempt)
        snapshot = app.log.read(transaction.key, transaction.thread_id, every=transaction.every)
        draft = Draft(
            snapshot,
            commit_id=commit_id,
            actor=transaction.actor,
            now=app.clock(),
            inputs=transaction.inputs(snapshot),
        )
        if found := _find(app, draft, unsure):
            done = Done(transaction.landed(snapshot, found), draft, found)
            return committed(app, done, began, attempt)
        answer = transaction.plan(draft)
        if not draft.touched and not draft.extra:
            return Done(answer, draft)
        draft.extra += booking(app, draft)
        began = time.perf_counter()
        try:
            app.log.commit(draft)
        except StaleRead:
            continue
        except AmbiguousWrite:
            for entry in draft.entries():
                unsure.setdefault(entry.thread_id, entry.head.version - 1)
            continue
        return committed(app, Done(answer, draft), began, attempt)
    raise Unavailable("The session is too busy to take this write. Try again.", retry_after=1)


def _find(app: App, draft: Draft, unsure: Mapping[str, int]) -> tuple[Entry, ...]:
    """The commits of attempts that got no answer, in the feeds they wrote to: by thread, the
    version each would have. A transaction lands in all of its feeds or in none, so with one of them
    seen, the others are there too.
    """

    def look() -> tuple[Entry, ...]:
        find, key = app.log.find_commit, draft.snapshot.key
        found = (find(key, t, draft.commit_id, since) for t, since in unsure.items())
        return tuple(entry for entry in found if entry is not None)

    return look() and look()


def _pause(ceiling: float) -> None:
    """Full jitter, at most 200 ms: writers that collided must not collide again in step."""
    threading.Event().wait(random.uniform(0.0, min(0.2, ceiling)))  # noqa: S311 - spreads load, guards nothing
