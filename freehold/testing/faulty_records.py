"""Fault injection over `Records`: what can happen to a call between the caller and the store.

    records = FaultyRecords(store, {("write", 3): Fault.UNANSWERED})

The third `write` is then applied and answered with AmbiguousWrite; everything else goes through.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TypeVar

from freehold.errors import AmbiguousWrite, StaleRead, Unavailable
from freehold.keys import Key
from freehold.ports import Item, Page, Records, Write

T = TypeVar("T")


class Killed(BaseException):
    """The process dies here. Not an Exception: nobody may catch it to carry on."""


class Fault(Enum):
    """What happens to one call."""

    REFUSED = "Unavailable; nothing was applied"
    KILLED_BEFORE = "Killed; nothing was applied"
    KILLED_AFTER = "Killed; it was applied"
    LOST = "AmbiguousWrite; it never arrived (writes only)"
    UNANSWERED = "AmbiguousWrite, of a put Unavailable; it was applied (writes and puts only)"
    HELD = "AmbiguousWrite; it lands when `land` is called (writes only)"


_WRITES_ONLY = {Fault.LOST, Fault.UNANSWERED, Fault.HELD}
_MAY_BE_UNSURE = {*(("write", fault) for fault in _WRITES_ONLY), ("put", Fault.UNANSWERED)}


class FaultyRecords:
    """`Records` over `records`. Calls are counted by name, from 1; `plan` says which of them fail.

    Counts and faults belong to this wrapper alone, so several may stand before one store, as
    several processes would. Threads may share it.
    """

    def __init__(
        self, records: Records, plan: Mapping[tuple[str, int], Fault] | None = None
    ) -> None:
        """Raises ValueError for a fault that its call cannot have."""
        self.calls: Counter[str] = Counter()
        self._records = records
        self._plan = dict(plan or {})
        self._held: list[Sequence[Write]] = []
        self._lock = threading.Lock()
        for (name, number), fault in self._plan.items():
            if name not in {"get", "query", "write", "put", "due"} or number < 1:
                raise ValueError(f"there is no call {name} {number}")
            if fault in _WRITES_ONLY and (name, fault) not in _MAY_BE_UNSURE:
                raise ValueError(f"a {name} cannot be {fault.name}")

    @property
    def held(self) -> int:
        """How many writes are on their way."""
        with self._lock:
            return len(self._held)

    def land(self) -> bool:
        """The oldest held write arrives at last. Whether it was applied, or refused as stale.

        Raises IndexError when none is held.
        """
        with self._lock:
            writes = self._held.pop(0)
        try:
            self._records.write(writes)
        except StaleRead:
            return False
        return True

    def get(self, keys: Sequence[Key]) -> list[Item | None]:
        return self._call("get", lambda: self._records.get(keys))

    def query(
        self,
        pk: str,
        *,
        after: str = "",
        before: str = "",
        prefix: str = "",
        limit: int = 1000,
        reverse: bool = False,
        consistent: bool = True,
    ) -> Page:
        return self._call(
            "query",
            lambda: self._records.query(
                pk,
                after=after,
                before=before,
                prefix=prefix,
                limit=limit,
                reverse=reverse,
                consistent=consistent,
            ),
        )

    def due(self, prefix: str, limit: int = 1000) -> tuple[Key, ...]:
        return self._call("due", lambda: self._records.due(prefix, limit))

    def write(self, writes: Sequence[Write]) -> None:
        self._call("write", lambda: self._records.write(writes), writes)

    def put(self, key: Key, item: Item) -> None:
        self._call("put", lambda: self._records.put(key, item))

    def _call(self, name: str, call: Callable[[], T], writes: Sequence[Write] = ()) -> T:
        with self._lock:
            self.calls[name] += 1
            number = self.calls[name]
            fault = self._plan.get((name, number))
            if fault is Fault.HELD:
                self._held.append(writes)
        if fault is None:
            return call()
        if fault is Fault.REFUSED:
            raise Unavailable(f"{name} {number} was refused by plan")
        if fault in {Fault.LOST, Fault.HELD}:
            raise AmbiguousWrite(f"{name} {number} was lost by plan")
        if fault is not Fault.KILLED_BEFORE:
            call()
        if fault is Fault.UNANSWERED and name == "put":
            raise Unavailable(f"the answer to put {number} was lost by plan")
        if fault is Fault.UNANSWERED:
            raise AmbiguousWrite(f"the answer to {name} {number} was lost by plan")
        raise Killed(f"{name} {number}")
