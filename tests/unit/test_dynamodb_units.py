"""Units of DynamoDB from the sizes of items."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bench.dynamodb_units import Table, read_units


def write(key="a", size=100, *, kind="Put", due=None, is_there=True):
    return {"kind": kind, "key": key, "bytes": size, "due": due, "is_there": is_there}


@pytest.mark.parametrize(
    ("sizes", "consistent", "units"),
    [
        ([0], True, "1"),
        ([1, 4096, 4097], True, "4"),
        ([9000], False, "1.5"),
        ([], True, "0"),
    ],
)
def test_a_read_pays_by_four_kilobytes_begun(sizes, consistent, units):
    assert read_units(sizes, consistent=consistent) == Decimal(units)


@pytest.mark.parametrize(("size", "units"), [(1, 2), (1024, 2), (1025, 4), (10_000, 20)])
def test_a_write_of_a_transaction_pays_twice_by_kilobytes_begun(size, units):
    assert Table().write_units([write(size=size)], applied=True) == units


def test_conditions_and_refused_transactions_pay_as_well():
    table = Table()
    writes = [write("a", 1500), write("b", kind="ConditionCheck")]
    assert table.write_units(writes, applied=True) == 6
    assert table.write_units(writes, applied=False) == 6


def test_the_larger_of_before_and_after_counts_and_what_is_gone_counts_once():
    table = Table()
    table.write_units([write(size=5000)], applied=True)
    assert table.write_units([write(size=100)], applied=True) == 10
    assert table.write_units([write(size=0, kind="Delete", is_there=False)], applied=True) == 2
    assert table.write_units([write(size=100)], applied=True) == 2


def test_the_index_pays_for_each_entry_that_comes_or_goes():
    table = Table()
    came = table.write_units([write(due="busy/1")], applied=True)
    stayed = table.write_units([write(due="busy/1")], applied=True)
    moved = table.write_units([write(due="busy/2")], applied=True)
    refused = table.write_units([write(due="busy/3")], applied=False)
    left = table.write_units([write()], applied=True)
    assert [units - 2 for units in (came, stayed, moved, refused, left)] == [1, 0, 2, 0, 1]
