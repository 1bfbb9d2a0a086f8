"""One transaction, judged before its first row is written: refused, it has nothing to undo."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from freehold.adapters.sqlite import limits
from freehold.adapters.sqlite.encoding import decode, encode
from freehold.errors import StaleRead
from freehold.keys import Key
from freehold.ports import Condition, Item, Value, Write

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
                failed += [c.reason or f"{c.attribute} {c.op}" for c in _broken(write, item)]
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


def _broken(write: Write, item: Item | None) -> list[Condition]:
    return [condition for condition in write.conditions if not _holds(condition, item)]


def _holds(condition: Condition, item: Item | None) -> bool:
    if condition.op == "exists":
        return item is not None
    if condition.op == "absent":
        return item is None
    found = item.get(condition.attribute) if item else None
    if condition.op == "==":
        return _is_same(found, condition.value)
    if condition.op == "!=":
        return not _is_same(found, condition.value)
    return _is_ordered(found, condition.value, or_same=condition.op == "<=")


def _is_same(one: Value, other: Value) -> bool:
    """Equality of type and value: to Python alone `True` is `1`."""
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(_is_same(value, other[name]) for name, value in one.items())
        )
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(_is_same, one, other))
    return isinstance(one, bool) is isinstance(other, bool) and one == other


def _is_ordered(one: Value, other: Value, *, or_same: bool) -> bool:
    """Numbers, texts and byte strings have an order, each among themselves."""
    if isinstance(one, bool) or isinstance(other, bool):
        return False
    if isinstance(one, int) and isinstance(other, int):
        return one <= other if or_same else one < other
    if isinstance(one, str) and isinstance(other, str):
        return one <= other if or_same else one < other
    if isinstance(one, bytes) and isinstance(other, bytes):
        return one <= other if or_same else one < other
    return False
