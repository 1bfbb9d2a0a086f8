"""Conditions, judged on an item in hand (`ports.Condition`)."""

from __future__ import annotations

from freehold.ports import Condition, Item, Value, Write


def failed_reasons(write: Write, item: Item | None) -> list[str]:
    """Of the conditions of `write` that do not hold for `item`, in their order; None: no item."""
    broken = (condition for condition in write.conditions if not _holds(condition, item))
    return [c.reason or f"{c.attribute} {c.op}" for c in broken]


def has_order(value: Value) -> bool:
    """Whether `<` can ever hold for it: numbers, texts and byte strings, each among themselves."""
    return isinstance(value, int | str | bytes) and not isinstance(value, bool)


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
    if not (has_order(one) and has_order(other)):
        return False
    if isinstance(one, int) and isinstance(other, int):
        return one <= other if or_same else one < other
    if isinstance(one, str) and isinstance(other, str):
        return one <= other if or_same else one < other
    if isinstance(one, bytes) and isinstance(other, bytes):
        return one <= other if or_same else one < other
    return False
