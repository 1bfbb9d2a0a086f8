"""Read and write units of DynamoDB on demand, from the sizes of items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

_WRITE_BYTES = 1024
_READ_BYTES = 4096


def read_units(sizes: Sequence[int], *, consistent: bool) -> Decimal:
    """Each by 4 KB begun, also what is not there; half of it where the read may lag. The items of a
    query are one size together.
    """
    units = sum(max(1, -(-size // _READ_BYTES)) for size in sizes)
    return Decimal(units) if consistent else Decimal(units) / 2


class Table:
    """What has been written so far: an item's size before a write counts as well as after."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._due: dict[str, str | None] = {}

    def write_units(self, writes: Iterable[Mapping[str, Any]], *, applied: bool) -> Decimal:
        """Of one transaction, which pays twice, conditions too, and also where it is refused. The
        index pays once for each entry that goes or comes; its entries are below 1 KB.

        A write is `{kind, key, bytes, due, is_there}` as tests/e2e/worker/metered.py leaves it.
        """
        units = 0
        for write in writes:
            key, size = write["key"], write["bytes"]
            largest = max(size, self._sizes.get(key, 0))
            units += 2 * max(1, -(-largest // _WRITE_BYTES))
            if applied and write["kind"] != "ConditionCheck":
                units += self._move(key, write["due"])
                self._sizes[key] = size if write["is_there"] else 0
        return Decimal(units)

    def _move(self, key: str, due: str | None) -> int:
        before = self._due.get(key)
        self._due[key] = due
        if before == due:
            return 0
        return (before is not None) + (due is not None)
