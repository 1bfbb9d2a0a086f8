"""Reading and writing items."""

from __future__ import annotations

import pytest

from freehold.errors import StaleRead
from freehold.keys import Key
from freehold.ports import Condition, Page, Records, Value, Write


def absent_items_are_none(records: Records, pk: str) -> None:
    """Nothing is created by looking, and deleting nothing is no error."""
    assert records.get([Key(pk, "a"), Key(pk, "b")]) == [None, None]
    assert records.query(pk) == Page((), more=False)
    assert records.due(pk) == ()
    records.write([Write(Key(pk, "a"), delete=True)])
    assert records.get([Key(pk, "a")]) == [None]
    assert records.get([]) == []


def items_come_in_the_order_asked(records: Records, pk: str) -> None:
    records.write([Write(Key(pk, sk), put={"is": sk}) for sk in "abc"])
    keys = [Key(pk, sk) for sk in ("c", "x", "a", "c")]
    assert records.get(keys) == [{"is": "c"}, None, {"is": "a"}, {"is": "c"}]


def values_come_back_as_they_were(records: Records, pk: str) -> None:
    """Also in type: True is not 1."""
    item: dict[str, Value] = {
        "none": None,
        "flags": [True, False],
        "numbers": [0, 1, -1, 10**38 - 1, -(10**38) + 1],
        "texts": ["", "\x00\n\u2028", "ÄÖ", "😀", "\U0010ffff"],
        "bytes": [b"", bytes(range(256))],
        "map": {"list": [], "map": {}, "$": {"b": b"\n"}, "with space": [[{"a": [b"x"]}]]},
        "Größe": 1,
    }
    records.write([Write(Key(pk, "a"), put=item), Write(Key(pk, "bare"), put={})])
    found, bare = records.get([Key(pk, "a"), Key(pk, "bare")])
    assert found == item
    assert bare == {}
    flags = found["flags"]
    assert isinstance(flags, list)
    assert flags[0] is True
    assert records.query(pk).items[0] == (Key(pk, "a"), item)


def an_item_is_put_whole(records: Records, pk: str) -> None:
    """Also over one that is there. Consistent or not, a read shows whole items."""
    key = Key(pk, "a")
    records.write([Write(key, put={"is": "old", "was": 1})])
    put: dict[str, Value] = {"is": "new", "bytes": b"x"}
    records.put(key, put)
    assert records.get([key]) == [put]
    assert records.query(pk) == Page(((key, put),), more=False)
    records.put(Key(pk, "b"), {})
    # What is written last may be missing where the read need not be consistent.
    assert records.query(pk, consistent=False).items[:1] == ((key, put),)


def nothing_is_aliased(records: Records, pk: str) -> None:
    key = Key(pk, "a")
    inner: list[Value] = [1]
    item: dict[str, Value] = {"list": inner}
    records.write([Write(key, put=item)])
    inner.append(2)
    item["more"] = True
    one, other = records.get([key, key])
    assert one == other == {"list": [1]}
    assert isinstance(one, dict)
    one["list"].append(3)
    assert other == {"list": [1]}
    assert records.get([key]) == [{"list": [1]}]
    assert records.query(pk).items == ((key, {"list": [1]}),)


def a_put_replaces_and_an_update_merges(records: Records, pk: str) -> None:
    key = Key(pk, "a")
    records.write([Write(key, put={"a": 1, "b": {"x": 1}})])
    records.write([Write(key, set={"b": {"y": 2}, "c": None}, add={"a": -3, "new": 7})])
    assert records.get([key]) == [{"a": -2, "b": {"y": 2}, "c": None, "new": 7}]
    records.write([Write(key, put={"z": b"z"})])
    assert records.get([key]) == [{"z": b"z"}]
    records.write([Write(key, delete=True)])
    assert records.get([key]) == [None]


def large_amounts_are_added_and_compared_exactly(records: Records, pk: str) -> None:
    """Beyond what a machine's number holds: money is counted in parts of a picodollar."""
    key, amount = Key(pk, "a"), 9 * 10**25 + 1
    for _ in range(2):
        records.write([Write(key, set={"due": f"{pk}/x", "kept": 1}, add={"spend": amount})])
    assert records.get([key]) == [{"due": f"{pk}/x", "kept": 1, "spend": 2 * amount}]
    below = Condition("spend", "<", 2 * amount + 1)
    records.write([Write(key, add={"spend": 1}, conditions=(below,))])
    with pytest.raises(StaleRead):
        records.write([Write(key, add={"spend": 1}, conditions=(below,))])
    assert records.get([key]) == [{"due": f"{pk}/x", "kept": 1, "spend": 2 * amount + 1}]


def an_update_creates_what_is_missing(records: Records, pk: str) -> None:
    records.write([Write(Key(pk, "a"), set={"x": 1}), Write(Key(pk, "b"), add={"n": 2})])
    assert records.get([Key(pk, "a"), Key(pk, "b")]) == [{"x": 1}, {"n": 2}]


def a_check_writes_nothing(records: Records, pk: str) -> None:
    records.write([Write(Key(pk, "a"), conditions=(Condition("", "absent"),))])
    assert records.get([Key(pk, "a")]) == [None]
    records.write([])
    assert records.query(pk).items == ()


def what_was_written_is_read(records: Records, pk: str) -> None:
    key = Key(pk, "a")
    for n in range(50):
        records.write([Write(key, put={"n": n}), Write(Key(pk, f"log/{n:03d}"), put={})])
        assert records.get([key]) == [{"n": n}]
        assert (
            records.query(pk, prefix="log/", reverse=True, limit=1)
            .items[0][0]
            .sk.endswith(f"{n:03d}")
        )
