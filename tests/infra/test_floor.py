"""The fixed monthly floor of the stacks as `cdk.json` has them."""

from __future__ import annotations

from decimal import Decimal

from freehold.aws_cost import PriceTable, monthly_floor
from tests.infra.templates import STACKS

CHOSEN = {"alarm", "dashboard", "SnapStart snapshot"}
"""What watches, and what makes a start quick."""


def test_every_type_of_resource_has_a_price_or_is_known_to_have_none(assembly):
    floor = monthly_floor(map(assembly.template, STACKS), PriceTable.shipped())
    assert floor.unknown == ()


def test_the_floor_is_a_key_a_secret_a_sweep_and_what_watches_them(assembly):
    floor = monthly_floor(map(assembly.template, STACKS), PriceTable.shipped())
    counts = {line.what: line.count for line in floor.lines}
    assert counts.items() >= {"KMS key": 1, "secret": 1, "scheduled sweep": 1}.items()
    assert counts["alarm"] == len(assembly.all("AWS::CloudWatch::Alarm"))
    by_choice = {line.what: line.usd for line in floor.lines if line.what in CHOSEN}
    assert Decimal(2) < floor.usd - sum(by_choice.values()) < Decimal(3)
    watching = by_choice["alarm"] + by_choice["dashboard"]
    # An account's first ten alarms and three dashboards are free; the table knows no free tier.
    assert watching < Decimal(7)
