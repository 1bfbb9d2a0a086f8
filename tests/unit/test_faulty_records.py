from __future__ import annotations

from contextlib import closing

import pytest

from freehold.adapters.sqlite import SqliteRecords
from freehold.errors import AmbiguousWrite, Unavailable
from freehold.keys import Key
from freehold.ports import Condition, Write
from freehold.testing.faulty_records import Fault, FaultyRecords, Killed

A = Key("p", "a")


@pytest.fixture
def store():
    with closing(SqliteRecords(":memory:")) as records:
        yield records


@pytest.mark.parametrize(
    ("fault", "error", "applied"),
    [
        (Fault.REFUSED, Unavailable, False),
        (Fault.KILLED_BEFORE, Killed, False),
        (Fault.KILLED_AFTER, Killed, True),
        (Fault.LOST, AmbiguousWrite, False),
        (Fault.UNANSWERED, AmbiguousWrite, True),
        (Fault.HELD, AmbiguousWrite, False),
    ],
)
def test_the_planned_write_fails_as_planned_and_no_other(store, fault, error, applied):
    records = FaultyRecords(store, {("write", 2): fault})
    records.write([Write(A, put={"n": 1})])
    with pytest.raises(error):
        records.write([Write(A, put={"n": 2})])
    assert store.get([A]) == [{"n": 2 if applied else 1}]
    records.write([Write(A, put={"n": 3})])
    assert store.get([A]) == [{"n": 3}]


def test_a_held_write_lands_later_and_may_be_stale_by_then(store):
    plan = {("write", n): Fault.HELD for n in (1, 2)}
    records = FaultyRecords(store, plan)
    for n in (1, 2):
        write = Write(A, put={"n": n}, conditions=(Condition("", "absent"),))
        with pytest.raises(AmbiguousWrite):
            records.write([write])
    assert records.held == 2
    assert records.land()
    assert store.get([A]) == [{"n": 1}]
    assert not records.land()
    assert store.get([A]) == [{"n": 1}]
    with pytest.raises(IndexError):
        records.land()


def test_reads_can_fail_too_and_calls_are_counted_by_name(store):
    plan = {("get", 2): Fault.KILLED_BEFORE, ("query", 1): Fault.REFUSED}
    records = FaultyRecords(store, plan)
    assert records.get([A]) == [None]
    with pytest.raises(Killed):
        records.get([A])
    with pytest.raises(Unavailable):
        records.query("p")
    records.due("")
    assert records.calls == {"get": 2, "query": 1, "due": 1}
    assert not isinstance(Killed(), Exception)


@pytest.mark.parametrize(
    "plan",
    [{("get", 1): Fault.HELD}, {("put", 1): Fault.LOST}, {("write", 0): Fault.LOST}],
)
def test_a_plan_that_cannot_be_is_refused(store, plan):
    with pytest.raises(ValueError, match=r"no call|cannot be"):
        FaultyRecords(store, plan)
