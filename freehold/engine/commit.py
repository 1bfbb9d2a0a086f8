"""The only loop around a transaction of the log: read, decide, write; a stale read decides again
(DESIGN 4).

After a lost answer every further attempt reads the head, looks for its own `commit_id` below that
very head, and conditions on it: the lost request may still land.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from freehold.domain.draft import Draft, Snapshot
from freehold.domain.entry import Entry
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

    `landed` gives the answer when an earlier attempt turns out to have been committed. `inputs` are
    bodies of queued events for a given snapshot.
    """

    key: SessionKey
    thread_id: str
    actor: str
    plan: Callable[[Draft], T]
    landed: Callable[[Snapshot, Entry], T]
    inputs: Callable[[Snapshot], Mapping[str, JsonObject]] = lambda _: {}
    every: bool = False


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The answer, the draft it came with, and the entry where an earlier attempt had landed."""

    answer: T
    draft: Draft
    entry: Entry | None = None

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
            if head.status == "running" and (self.entry is not None or not same):
                name = (key.workspace_id, key.session_id, thread_id, head.epoch, head.leg)
                found.append(Run(*name))
        return found


def perform(app: App, transaction: Transaction[T]) -> Done[T]:
    """Raises what the plan raises, NotFound for a session that is not there, Unavailable after too
    many attempts.
    """
    commit_id = new_id("cmt")
    since: int | None = None
    unsure = False
    for attempt in range(app.settings.write_attempts):
        if attempt:
            _pause(app.settings.write_backoff_seconds * 2**attempt)
        snapshot = app.log.read(transaction.key, transaction.thread_id, every=transaction.every)
        thread_id = transaction.thread_id or snapshot.session.primary_id
        draft = Draft(
            snapshot,
            commit_id=commit_id,
            actor=transaction.actor,
            now=app.clock(),
            inputs=transaction.inputs(snapshot),
        )
        head = snapshot.heads.get(thread_id)
        since = (head.version if head else 0) if since is None else since
        if unsure:
            entry = app.log.find_commit(transaction.key, thread_id, commit_id, since)
            if entry is not None:
                return Done(transaction.landed(snapshot, entry), draft, entry)
        answer = transaction.plan(draft)
        if not draft.touched and not draft.extra:
            return Done(answer, draft)
        try:
            app.log.commit(draft)
        except StaleRead:
            continue
        except AmbiguousWrite:
            unsure = True
            continue
        return Done(answer, draft)
    raise Unavailable("The session is too busy to take this write. Try again.", retry_after=1)


def _pause(ceiling: float) -> None:
    """Full jitter, at most 200 ms: writers that collided must not collide again in step."""
    threading.Event().wait(random.uniform(0.0, min(0.2, ceiling)))  # noqa: S311 - spreads load, guards nothing
