"""What no store may accept, because DynamoDB would not (DESIGN 4). Refused, it leaves nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from freehold.errors import ItemTooLarge
from freehold.keys import Key
from freehold.ports import Condition, Records, Value, Write

_MAX_ITEM = 400 * 1024
_MAX_DEPTH = 32


def _is_refused(
    records: Records, writes: Sequence[Write], error: type[Exception] = ItemTooLarge
) -> None:
    with pytest.raises(error):
        records.write(writes)


def _filler(key: Key, **others: int) -> bytes:
    """Makes an item of exactly the most bytes, with `others` bytes of attributes beside it."""
    used = len("pk") + len(key.pk) + len("sk") + len(key.sk) + len("body")
    return bytes(_MAX_ITEM - used - sum(len(name) + size for name, size in others.items()))


def an_item_holds_400_kb(records: Records, pk: str) -> None:
    """Names and key count; as a put and as the outcome of an update."""
    key = Key(pk, "a")
    full = _filler(key)
    records.write([Write(key, put={"body": full})])
    assert records.get([key]) == [{"body": full}]
    _is_refused(records, [Write(key, put={"body": full + b"x"})])
    _is_refused(records, [Write(key, set={"x": None})])
    _is_refused(records, [Write(key, add={"x": 1})])
    assert records.get([key]) == [{"body": full}]
    records.write([Write(key, set={"body": b""})])


def texts_are_measured_in_utf_8(records: Records, pk: str) -> None:
    key = Key(pk, "a")
    text = "€" * ((_MAX_ITEM - 100) // 3)
    records.write([Write(key, put={"t": text})])
    _is_refused(records, [Write(key, put={"t": text + "€" * 33})])
    _is_refused(records, [Write(key, put={"t": text, "€" * 34: None})])
    assert records.get([key]) == [{"t": text}]


def lists_and_maps_cost_more_than_their_content(records: Records, pk: str) -> None:
    """3 bytes each and 1 an element: ten thousand empty lists are 40,003 bytes."""
    key = Key(pk, "a")
    lists: list[Value] = [[] for _ in range(10_000)]
    body = _filler(key, lists=40_003)
    records.write([Write(key, put={"body": body, "lists": lists})])
    _is_refused(records, [Write(key, put={"body": body + b"x", "lists": lists})])


def a_transaction_has_100_writes(records: Records, pk: str) -> None:
    """Checks count."""
    writes = [Write(Key(pk, f"{n:03d}"), put={"n": n}) for n in range(99)]
    check = Write(Key(pk, "check"), conditions=(Condition("", "absent"),))
    records.write([*writes, check])
    assert len(records.query(pk).items) == len(writes)
    more = [Write(Key(f"{pk}/more", f"{n:03d}"), put={"n": n}) for n in range(100)]
    _is_refused(records, [*more, check])
    assert records.query(f"{pk}/more").items == ()


def a_transaction_has_4_mb(records: Records, pk: str) -> None:
    body = bytes(380_000)
    *fitting, too_much = [Write(Key(pk, f"{n:02d}"), put={"body": body}) for n in range(12)]
    _is_refused(records, [*fitting, too_much])
    assert records.query(pk).items == ()
    records.write(fitting)
    assert len(records.query(pk).items) == len(fitting)


def two_writes_of_one_key_are_refused(records: Records, pk: str) -> None:
    check = Write(Key(pk, "a"), conditions=(Condition("", "absent"),))
    _is_refused(records, [Write(Key(pk, "a"), put={}), check], ValueError)
    assert records.get([Key(pk, "a")]) == [None]


def a_write_has_one_form(records: Records, pk: str) -> None:
    key = Key(pk, "a")
    for write in (
        Write(key, put={}, delete=True),
        Write(key, put={}, set={"a": 1}),
        Write(key, delete=True, add={"a": 1}),
        Write(key, set={"a": 1}, add={"a": 1}),
    ):
        _is_refused(records, [write], ValueError)
    assert records.get([key]) == [None]


def keys_have_two_parts_of_limited_length(records: Records, pk: str) -> None:
    longest = Key(pk + "p" * (2048 - len(pk)), "s" * 1024)
    records.write([Write(longest, put={"n": 1})])
    assert records.get([longest]) == [{"n": 1}]
    _is_refused(records, [Write(Key(longest.pk + "p", "s"), put={})])
    _is_refused(records, [Write(Key(pk, longest.sk + "s"), put={})])
    _is_refused(records, [Write(Key(pk, "€" * 342), put={})])
    for key in (Key("", "a"), Key(pk, "")):
        _is_refused(records, [Write(key, put={})], ValueError)
        with pytest.raises(ValueError, match="empty"):
            records.get([key])


def a_get_has_100_keys(records: Records, pk: str) -> None:
    keys = [Key(pk, str(n)) for n in range(101)]
    assert records.get(keys[:100]) == [None] * 100
    with pytest.raises(ValueError, match="100"):
        records.get(keys)


def nothing_nests_deeper_than_32(records: Records, pk: str) -> None:
    key = Key(pk, "a")
    deep: Value = 1
    for _ in range(_MAX_DEPTH - 1):
        deep = {"x": deep} if isinstance(deep, list) else [deep]
    records.write([Write(key, put={"deep": deep})])
    assert records.get([key]) == [{"deep": deep}]
    _is_refused(records, [Write(key, put={"deep": [[[deep]]]})])
    assert records.get([key]) == [{"deep": deep}]


def numbers_are_integers_of_38_digits(records: Records, pk: str) -> None:
    key = Key(pk, "a")
    records.write([Write(key, put={"n": 10**38 - 1})])
    _is_refused(records, [Write(key, put={"n": 10**38})])
    _is_refused(records, [Write(key, add={"n": 1})])
    _is_refused(records, [Write(key, put={"n": -(10**38)})])
    assert records.get([key]) == [{"n": 10**38 - 1}]


def only_values_of_the_port_are_stored(records: Records, pk: str) -> None:
    """A float above all: what is read back would not be what was written."""
    bad: list[Any] = [0.5, (1,), {1}, object(), bytearray(b"x"), {1: "x"}, [[0.5]]]
    for value in bad:
        _is_refused(records, [Write(Key(pk, "a"), put={"x": value})], TypeError)
        _is_refused(records, [Write(Key(pk, "a"), set={"x": value})], TypeError)
    _is_refused(records, [Write(Key(pk, "a"), add={"x": True})], TypeError)
    assert records.get([Key(pk, "a")]) == [None]


def names_are_texts_of_their_own(records: Records, pk: str) -> None:
    """Not empty, not the key's, and a text is whole characters."""
    for item in ({"": 1}, {"a": {"": 1}}, {"pk": "x"}, {"sk": "x"}, {"a": "\ud800"}, {"due": ""}):
        _is_refused(records, [Write(Key(pk, "a"), put=item)], ValueError)  # type: ignore[arg-type]
    assert records.get([Key(pk, "a")]) == [None]


def a_refused_transaction_leaves_nothing(records: Records, pk: str) -> None:
    records.write([Write(Key(pk, "full"), put={"body": _filler(Key(pk, "full"))})])
    _is_refused(
        records, [Write(Key(pk, "new"), put={}), Write(Key(pk, "full"), set={"more": b"x" * 9})]
    )
    assert records.get([Key(pk, "new")]) == [None]
