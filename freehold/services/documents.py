"""Documents of a collection: their bytes in items, and the loop around their transactions."""

from __future__ import annotations

import hashlib
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from freehold.errors import AmbiguousWrite, StaleRead, Unavailable
from freehold.wire.base import WireModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from freehold.keys import Key
    from freehold.ports import App, Blobs, Item, Write

M = TypeVar("M", bound=WireModel)
T = TypeVar("T")

MAX_ITEM = 300_000
_LONGEST_PAUSE = 0.2


def pack(blobs: Blobs, key: Key, document: WireModel) -> dict[str, Any]:
    """The document's attributes, always both: `doc`, or `blob` for a large one, written here first.

    The blob is named by its content, so that a repetition writes the same bytes to the same name.
    """
    body = document.model_dump_json().encode()
    if len(body) <= MAX_ITEM:
        return {"doc": body, "blob": None}
    name = f"{key.pk}/doc/{hashlib.sha256(body).hexdigest()}"
    blobs.put(name, body)
    return {"doc": None, "blob": name}


def unpack(blobs: Blobs, item: Item, model: type[M]) -> M:
    """The document of an item, read leniently: it may be older than this program, or newer."""
    stored: Any = item
    body = stored["doc"] if stored["doc"] is not None else blobs.get(stored["blob"])
    return model.model_validate_json(body, extra="ignore")


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """A transaction and what it answers. `landed` finds out whether it has been applied."""

    answer: T
    writes: Sequence[Write] = ()
    landed: Callable[[], bool] = lambda: False


def perform(app: App, plan: Callable[[], Change[T]]) -> T:
    """Reads, decides, writes; a stale read decides again.

    After a lost answer each further attempt first asks whether an earlier one has landed. Raises
    what `plan` raises, Unavailable after too many attempts.
    """
    unsure: list[Change[T]] = []
    for attempt in range(app.settings.write_attempts):
        if attempt:
            longest = min(_LONGEST_PAUSE, app.settings.write_backoff_seconds * 2**attempt)
            time.sleep(random.uniform(0, longest))  # noqa: S311 - jitter, not a secret
        for earlier in unsure:
            if earlier.landed():
                return earlier.answer
        change = plan()
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
