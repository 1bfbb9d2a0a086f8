"""The loop around a transaction of a collection: a stale read decides again."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from freehold.errors import AmbiguousWrite, ApiError, StaleRead, Unavailable
from freehold.wire.base import WireModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from freehold.ports import App, Write
    from freehold.services.idempotency import Once

M = TypeVar("M", bound=WireModel)
T = TypeVar("T")

MAX_ITEM = 300_000
_LONGEST_PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """A transaction and what it answers. `landed` finds out whether it has been applied."""

    answer: T
    writes: Sequence[Write] = ()
    landed: Callable[[], bool] = lambda: False


def perform(app: App, plan: Callable[[], Change[T]], once: Once | None = None) -> T:
    """Reads, decides, writes; a stale read decides again.

    After a lost answer each further attempt first asks whether an earlier one has landed. Raises
    what `plan` raises, what `once.open` raises, Unavailable after too many attempts.
    """
    unsure: list[Change[T]] = []
    for attempt in range(app.settings.write_attempts):
        if attempt:
            longest = min(_LONGEST_PAUSE, app.settings.write_backoff_seconds * 2**attempt)
            time.sleep(random.uniform(0, longest))  # noqa: S311 - jitter, not a secret
        for earlier in unsure:
            if earlier.landed():
                return earlier.answer
        change = _decide(plan, once)
        if not change.writes:
            return change.answer
        try:
            app.records.write(change.writes)
        except StaleRead:
            continue
        except AmbiguousWrite:
            unsure.append(change)
            continue
        return change.answer
    raise Unavailable("The store did not take the write in time.", retry_after=1)


def _decide(plan: Callable[[], Change[T]], once: Once | None) -> Change[T]:
    """A refusal may be of what the same request made meanwhile, such as a name that is taken: then
    it was answered before.
    """
    if once is None:
        return plan()
    once.open()
    try:
        return plan()
    except ApiError:
        once.open()
        raise
