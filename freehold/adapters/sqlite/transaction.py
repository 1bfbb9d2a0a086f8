"""One transaction, judged before its first row is written: refused, it has nothing to undo."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from freehold.adapters.sqlite.encoding import decode, encode
from freehold.errors import StaleRead
from freehold.items import limits
from freehold.items.conditions import failed_reasons
from freehold.keys import Key
from freehold.ports import Item, Write

_READ = "SELECT size, value FROM items WHERE pk = ? AND sk = ?"
_DELETE = "DELETE FROM items WHERE pk = ? AND sk = ?"
_PUT = """
INSERT INTO items (pk, sk, due, size, value) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (pk, sk) DO UPDATE SET due = excluded.due, size = excluded.size, value = excluded.value
"""


@dataclass(frozen=True, slots=True)
class Row:
    """An item ready to be stored."""

    due: str | None
    size: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one key: a new row, or None for a deletion."""

    key: Key
    row: Row | None


class Transaction:
    """A checked transaction. What needs no reading is done at once, on the caller's thread."""

    def __init__(self, writes: Sequence[Write]) -> None:
        """Raises what `limits.check` and `limits.check_size` raise."""
        limits.check(writes)
        self._writes = writes
        self._puts = {w.key: to_row(w.key, w.put) for w in writes if w.put is not None}

    def judge(self, connection: sqlite3.Connection) -> list[Change]:
        """What to write, from what is stored now. Raises StaleRead, ItemTooLarge, TypeError."""
        failed: list[str] = []
        updates: list[tuple[Write, Item]] = []
        sizes: dict[Key, int] = {}
        for write in self._writes:
            stored = connection.execute(_READ, (write.key.pk, write.key.sk)).fetchone()
            sizes[write.key] = stored[0] if stored else 0
            if write.conditions or write.set or write.add:
                item: Item | None = decode(stored[1]) if stored else None
                failed += failed_reasons(write, item)
                updates.append((write, item or {}))
        if failed:
            raise StaleRead(failed)
        rows: dict[Key, Row | None] = dict(self._puts)
        for write, before in updates:
            if write.set or write.add:
                rows[write.key] = to_row(write.key, _updated(write, before))
        rows |= {write.key: None for write in self._writes if write.delete}
        # What the table counts for a deletion is not documented: what is there counts.
        for key, row in rows.items():
            sizes[key] = max(sizes[key], row.size if row else 0)
        limits.check_total(list(sizes.values()))
        return [Change(key, row) for key, row in rows.items()]


def apply(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """Writes rows. After an error the whole SQLite transaction must be rolled back."""
    for change in changes:
        key, row = change.key, change.row
        if row is None:
            connection.execute(_DELETE, (key.pk, key.sk))
        else:
            connection.execute(_PUT, (key.pk, key.sk, row.due, row.size, row.value))


def to_row(key: Key, item: Item) -> Row:
    """`due` with the value None is no entry in the index, and is not kept."""
    due = item.get("due")
    if due is None and "due" in item:
        item = {name: value for name, value in item.items() if name != "due"}
    size = limits.check_size(key, item)
    return Row(str(due) if due is not None else None, size, encode(item))


def _updated(write: Write, item: Item) -> Item:
    changed = {**item, **write.set}
    for name, amount in write.add.items():
        before = item.get(name, 0)
        if not isinstance(before, int) or isinstance(before, bool):
            raise TypeError(f"cannot add to `{name}`, which is a {type(before).__name__}")
        changed[name] = before + amount
    return changed
