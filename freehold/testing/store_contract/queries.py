"""Queries over a partition, and the sparse index."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

from freehold.keys import Key
from freehold.ports import Records, Write

_LAG_SECONDS = 20.0
_MB = 1024 * 1024
_BATCH = 50


def _put(records: Records, pk: str, sort_keys: Sequence[str]) -> None:
    for n in range(0, len(sort_keys), _BATCH):
        batch = sort_keys[n : n + _BATCH]
        records.write([Write(Key(pk, sk), put={"is": sk}) for sk in batch])


def _found(records: Records, pk: str, **bounds: str) -> list[str]:
    """The sort keys in both directions, which must agree."""
    up = [key.sk for key, _ in records.query(pk, **bounds).items]  # type: ignore[arg-type]
    down = [key.sk for key, _ in records.query(pk, reverse=True, **bounds).items]  # type: ignore[arg-type]
    assert up == down[::-1]
    return up


def a_query_stays_in_its_partition(records: Records, pk: str) -> None:
    for neighbour in (pk, f"{pk}/", f"{pk}/x", pk[:-1]):
        records.write([Write(Key(neighbour, "a"), put={"of": neighbour})])
    assert records.query(pk).items == ((Key(pk, "a"), {"of": pk}),)
    with pytest.raises(ValueError, match="empty"):
        records.query("")


def sort_keys_are_ordered_by_their_utf_8_bytes(records: Records, pk: str) -> None:
    """UTF-16 would put the second last before the third last."""
    ordered = ["\x00", "!", "%", "A", "_", "a", "a/", "aa", "b", "ä", "\uffee", "😀", "\U0010ffff"]
    _put(records, pk, sorted(ordered, key=hash))
    assert _found(records, pk) == ordered


def bounds_are_open(records: Records, pk: str) -> None:
    _put(records, pk, ["a", "b", "c", "d"])
    assert _found(records, pk, after="a") == ["b", "c", "d"]
    assert _found(records, pk, before="d") == ["a", "b", "c"]
    assert _found(records, pk, after="a", before="d") == ["b", "c"]
    assert _found(records, pk, after="aa", before="bb") == ["b"]
    assert _found(records, pk, after="b", before="c") == []
    assert _found(records, pk, after="c", before="b") == []
    assert _found(records, pk, after="d") == []


def a_prefix_is_taken_literally(records: Records, pk: str) -> None:
    _put(
        records,
        pk,
        ["a%b", "a", "a%", "aXb", "b", "a\U0010ffff", "\U0010ffff\U0010ffff", "\ud7ff", "\ue000"],
    )
    assert _found(records, pk, prefix="a") == ["a", "a%", "a%b", "aXb", "a\U0010ffff"]
    assert _found(records, pk, prefix="a%") == ["a%", "a%b"]
    assert _found(records, pk, prefix="a\U0010ffff") == ["a\U0010ffff"]
    assert _found(records, pk, prefix="\U0010ffff") == ["\U0010ffff\U0010ffff"]
    assert _found(records, pk, prefix="\ud7ff") == ["\ud7ff"]
    assert _found(records, pk, prefix="c") == []


def a_prefix_and_bounds_narrow_together(records: Records, pk: str) -> None:
    _put(records, pk, ["a1", "b1", "b2", "b3", "b4", "c1"])
    assert _found(records, pk, prefix="b", after="b1", before="b4") == ["b2", "b3"]
    assert _found(records, pk, prefix="b", after="a") == ["b1", "b2", "b3", "b4"]
    assert _found(records, pk, prefix="b", before="c1") == ["b1", "b2", "b3", "b4"]
    assert _found(records, pk, prefix="b", after="b4") == []
    assert _found(records, pk, prefix="b", before="b1") == []


def pages_lose_and_repeat_nothing(records: Records, pk: str) -> None:
    """Walked in both directions at several sizes of a page."""
    ordered = [f"{n:03d}" for n in range(60)]
    _put(records, pk, ordered)
    for limit in (1, 7, 60, 61):
        assert _walk(records, pk, limit, reverse=False) == ordered
        assert _walk(records, pk, limit, reverse=True) == ordered[::-1]
    page = records.query(pk, limit=59)
    assert (len(page.items), page.more) == (59, True)
    page = records.query(pk, limit=61)
    assert (len(page.items), page.more) == (60, False)
    with pytest.raises(ValueError, match="limit"):
        records.query(pk, limit=0)


def _walk(records: Records, pk: str, limit: int, *, reverse: bool) -> list[str]:
    found: list[str] = []
    at, more = "", True
    while more:
        before, after = (at, "") if reverse else ("", at)
        page = records.query(pk, before=before, after=after, limit=limit, reverse=reverse)
        assert len(page.items) <= limit
        found += [key.sk for key, _ in page.items]
        at, more = found[-1], page.more
    return found


def a_page_ends_at_4_mb(records: Records, pk: str) -> None:
    body = bytes(300_000)
    keys = [f"{n:02d}" for n in range(16)]
    for sk in keys:
        records.write([Write(Key(pk, sk), put={"body": body})])
    page = records.query(pk)
    assert page.more
    assert 3 * _MB < len(page.items) * len(body) <= 4 * _MB
    assert _walk(records, pk, 1000, reverse=False) == keys
    assert _walk(records, pk, 1000, reverse=True) == keys[::-1]


# ---------------------------------------------------------------- the sparse index
def _eventually(answer: Callable[[], object], expected: object) -> None:
    """Waits for the index, which may lag behind the table."""
    deadline = time.monotonic() + _LAG_SECONDS
    while (found := answer()) != expected:
        assert time.monotonic() < deadline, f"{found!r} is still not {expected!r}"
        time.sleep(0.01)


def items_are_due_in_the_order_of_due(records: Records, pk: str) -> None:
    for sk, moment in (("a", "3"), ("b", "1"), ("c", "2"), ("d", "20")):
        records.write([Write(Key(pk, sk), put={"due": f"{pk}/{moment}"})])
    records.write([Write(Key(pk, "e"), put={"other": f"{pk}/0"})])
    ordered = tuple(Key(pk, sk) for sk in ("b", "c", "d", "a"))
    _eventually(lambda: records.due(f"{pk}/"), ordered)
    assert records.due(f"{pk}/2") == ordered[1:3]
    assert records.due(f"{pk}/", limit=2) == ordered[:2]
    assert records.due(f"{pk}/9") == ()


def what_is_no_longer_due_leaves_the_index(records: Records, pk: str) -> None:
    """By an update to None, a put without it, a deletion. An update of something else keeps it."""
    keys = {name: Key(pk, name) for name in ("none", "put", "deleted", "kept", "moved")}
    for key in keys.values():
        records.write([Write(key, put={"due": f"{pk}/1", "n": 1})])
    _eventually(lambda: len(records.due(pk)), len(keys))
    records.write(
        [
            Write(keys["none"], set={"due": None}),
            Write(keys["put"], put={"n": 2}),
            Write(keys["deleted"], delete=True),
            Write(keys["kept"], add={"n": 1}),
            Write(keys["moved"], set={"due": f"{pk}/0"}),
        ]
    )
    _eventually(lambda: records.due(pk), (keys["moved"], keys["kept"]))
    none, kept = records.get([keys["none"], keys["kept"]])
    assert none is not None
    assert none.get("due") is None
    assert none["n"] == 1
    assert kept == {"due": f"{pk}/1", "n": 2}
    records.write([Write(keys["none"], set={"due": f"{pk}/2"})])
    _eventually(lambda: records.due(f"{pk}/2"), (keys["none"],))
