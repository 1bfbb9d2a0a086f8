"""What a condition says about an item, and what an update makes of it. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from freehold.ports import Condition, Write


def holds(condition: Condition, item: Mapping[str, Any] | None) -> bool:
    """A missing attribute, or item, compares as None; order never holds for None, nor across
    types.
    """
    if condition.op == "exists":
        return item is not None
    if condition.op == "absent":
        return item is None
    have: Any = (item or {}).get(condition.attribute)
    want: Any = condition.value
    if condition.op == "==":
        return _same(have, want)
    if condition.op == "!=":
        return not _same(have, want)
    if have is None or type(have) is not type(want):
        return False
    return bool(have < want if condition.op == "<" else have <= want)


def _same(have: Any, want: Any) -> bool:
    """Equality that keeps types apart: True is not 1."""
    return type(have) is type(want) and bool(have == want)


def updated(write: Write, item: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The item after the write; None where it is deleted."""
    if write.delete:
        return None
    if write.put is not None:
        return dict(write.put)
    after = {**(item or {}), **write.set}
    for name, amount in write.add.items():
        after[name] = (after.get(name) or 0) + amount
    return after


def changes(write: Write) -> bool:
    """Whether the write does anything, or only checks."""
    return bool(write.delete or write.put is not None or write.set or write.add)
