"""The price table: exact, dated, and replaced price by price."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest

from freehold.aws_cost import PriceTable, PriceTableInvalid


@pytest.fixture(scope="module")
def table():
    return PriceTable.shipped()


def write(tmp_path, prices, **replaced):
    given = {"region": "eu-west-1", "dated": "2026-12-01", "prices": prices, **replaced}
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(given))
    return file


def price(**replaced):
    given = {"usd": "0.03", "per": 1000, "unit": "state transition"}
    return {**given, "source": "an offer", "read": "2026-12-01", "how": "read", **replaced}


def test_every_price_says_where_and_when_it_was_read(table):
    assert table.region == "us-east-1"
    for name, found in table.prices.items():
        assert found.source.startswith("https://aws.amazon.com/"), name
        assert date(2026, 8, 1) <= found.read <= table.dated, name
        assert found.usd > 0, name


def test_costs_are_exact_to_the_last_digit(table):
    assert table.cost("states.transition", 721) == Decimal("0.018025")
    assert table.cost("lambda.arm_gb_second", Decimal(1260)) == Decimal("0.0168000840")
    tenth = table.cost("dynamodb.write_unit", 3) + table.cost("dynamodb.read_unit", 1)
    assert tenth == Decimal("0.000002")


def test_a_price_of_ones_own_replaces_that_one_and_no_other(table, tmp_path):
    found = PriceTable.read(write(tmp_path, {"states.transition": price()}))
    assert found.cost("states.transition", 1000) == Decimal("0.03")
    assert found.prices["kms.request"] == table.prices["kms.request"]
    assert (found.region, found.dated) == ("eu-west-1", date(2026, 12, 1))


@pytest.mark.parametrize(
    ("prices", "word"),
    [
        ({"states.transition": price(usd=0.03)}, "states.transition.usd"),
        ({"states.transition": price(usd="-1")}, "states.transition.usd"),
        ({"states.transition": price(usd="NaN")}, "states.transition.usd"),
        ({"states.transition": price(per=3)}, "states.transition.per"),
        ({"states.transition": price(per=0)}, "states.transition.per"),
        ({"states.transition": price(read="soon")}, "states.transition.read"),
        ({"states.transition": price(currency="EUR")}, "states.transition.currency"),
        ({"states.transitions": price()}, "no such price: states.transitions"),
    ],
)
def test_a_wrong_file_is_refused_by_the_place(tmp_path, prices, word):
    file = write(tmp_path, prices)
    with pytest.raises(PriceTableInvalid) as raised:
        PriceTable.read(file)
    assert word in str(raised.value)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(PriceTableInvalid, match=r"nowhere\.json: cannot be read"):
        PriceTable.read(tmp_path / "nowhere.json")
