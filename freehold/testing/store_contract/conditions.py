"""Conditions, and what a transaction does when one of them does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import pytest

from freehold.errors import StaleRead
from freehold.keys import Key
from freehold.ports import Condition, Item, Records, Value, Write

Op = Literal["==", "!=", "<", "<=", "exists", "absent"]

ITEM: Final[Item] = {
    "n": 5,
    "zero": 0,
    "t": "b",
    "bytes": b"b",
    "yes": True,
    "none": None,
    "list": [1, {"a": True}],
    "map": {"a": 1, "b": [b"x"]},
}
HOLDS: Final[tuple[tuple[str, Op, Value], ...]] = (
    ("n", "==", 5),
    ("n", "!=", 6),
    ("n", "!=", "5"),
    ("n", "!=", None),
    ("n", "<", 6),
    ("n", "<=", 5),
    ("zero", "!=", False),
    ("zero", "!=", None),
    ("yes", "==", True),
    ("yes", "!=", 1),
    ("t", "<", "c"),
    ("t", "<=", "b"),
    ("t", "<", "b\x00"),
    ("t", "<", "\U0001f600"),
    ("bytes", "<", b"\xff"),
    ("bytes", "<=", b"b"),
    ("none", "==", None),
    ("none", "!=", 0),
    ("missing", "==", None),
    ("missing", "!=", "x"),
    ("list", "==", [1, {"a": True}]),
    ("list", "!=", [1, {"a": 1}]),
    ("map", "==", {"b": [b"x"], "a": 1}),
    ("map", "!=", {"a": 1}),
    ("", "exists", None),
)
FAILS: Final[tuple[tuple[str, Op, Value], ...]] = (
    ("n", "==", 6),
    ("n", "==", "5"),
    ("n", "==", None),
    ("n", "!=", 5),
    ("n", "<", 5),
    ("n", "<=", 4),
    ("n", "<", "9"),
    ("zero", "==", None),
    ("zero", "==", False),
    ("yes", "==", 1),
    ("none", "!=", None),
    ("none", "<", 1),
    ("none", "<=", 1),
    ("missing", "!=", None),
    ("missing", "==", "x"),
    ("missing", "<", 1),
    ("missing", "<=", "z"),
    ("t", "<=", "a"),
    ("list", "==", [1]),
    ("map", "==", {"a": 1, "b": [b"y"]}),
    ("", "absent", None),
)
ON_NOTHING: Final[Mapping[tuple[str, Op, Value], bool]] = {
    ("a", "==", None): True,
    ("a", "!=", 1): True,
    ("a", "==", 1): False,
    ("a", "!=", None): False,
    ("a", "<", 1): False,
    ("a", "<=", 1): False,
    ("", "exists", None): False,
    ("", "absent", None): True,
}


def conditions_hold_or_fail(records: Records, pk: str) -> None:
    """Each by itself, on an item and on none. A failed one changes nothing and gives its reason."""
    key = Key(pk, "a")
    records.write([Write(key, put=ITEM)])
    for n, (attribute, op, value) in enumerate(HOLDS):
        condition = Condition(attribute, op, value, "reason")
        records.write([Write(key, set={"writes": n}, conditions=(condition,))])
    for attribute, op, value in FAILS:
        _is_refused(records, key, Condition(attribute, op, value, "reason"))
    assert records.get([key]) == [{**ITEM, "writes": len(HOLDS) - 1}]
    for n, ((attribute, op, value), holds) in enumerate(ON_NOTHING.items()):
        fresh, condition = Key(pk, f"none/{n}"), Condition(attribute, op, value, "reason")
        if holds:
            records.write([Write(fresh, put={}, conditions=(condition,))])
        else:
            _is_refused(records, fresh, condition)
            assert records.get([fresh]) == [None]


def _is_refused(records: Records, key: Key, condition: Condition) -> None:
    for form in (Write(key, put={"bad": 1}), Write(key, delete=True), Write(key, add={"bad": 1})):
        write = Write(key, form.put, form.set, form.add, form.delete, (condition,))
        with pytest.raises(StaleRead) as stale:
            records.write([write])
        assert stale.value.failed == ("reason",), condition


def a_stale_read_names_every_condition_that_failed(records: Records, pk: str) -> None:
    records.write([Write(Key(pk, "a"), put={"n": 1})])
    conditions = (
        Condition("n", "==", 2, "n is two"),
        Condition("n", "==", 1, "n is one"),
        Condition("", "absent", reason="a is new"),
    )
    on_b = (Condition("", "exists", reason="b exists"),)
    with pytest.raises(StaleRead) as stale:
        records.write(
            [Write(Key(pk, "a"), conditions=conditions), Write(Key(pk, "b"), conditions=on_b)]
        )
    assert set(stale.value.failed) == {"n is two", "a is new", "b exists"}


def a_transaction_is_all_or_nothing(records: Records, pk: str) -> None:
    """Wherever in it the failed condition stands."""
    fails = Write(Key(pk, "gate"), conditions=(Condition("", "exists"),))
    records.write([Write(Key(pk, "old"), put={"n": 1})])
    effects = [
        Write(Key(pk, "new"), put={}),
        Write(Key(pk, "old"), add={"n": 1}),
        Write(Key(f"{pk}/other", "a"), put={}),
    ]
    for place in range(len(effects) + 1):
        with pytest.raises(StaleRead):
            records.write([*effects[:place], fails, *effects[place:]])
    keys = [Key(pk, "new"), Key(pk, "old"), Key(f"{pk}/other", "a")]
    assert records.get(keys) == [None, {"n": 1}, None]
