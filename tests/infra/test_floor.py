"""The fixed monthly floor of the stacks as `cdk.json` has them."""

from __future__ import annotations

from decimal import Decimal

from freehold.aws_cost import PriceTable, monthly_floor
from tests.infra.synthesis import ROOT

CHOSEN = {"alarm", "dashboard", "SnapStart snapshot"}
"""What watches, and what makes a start quick."""


def _floor(assembly):
    return monthly_floor(map(assembly.template, assembly.stacks), PriceTable.shipped())


def test_every_type_of_resource_has_a_price_or_is_known_to_have_none(deployed):
    assert _floor(deployed).unknown == ()


def test_the_floor_is_a_key_a_secret_a_sweep_and_what_watches_them(assembly):
    floor = _floor(assembly)
    counts = {line.what: line.count for line in floor.lines}
    assert counts.items() >= {"KMS key": 1, "secret": 1, "scheduled sweep": 1}.items()
    assert counts["alarm"] == len(assembly.all("AWS::CloudWatch::Alarm"))
    by_choice = {line.what: line.usd for line in floor.lines if line.what in CHOSEN}
    assert Decimal(2) < floor.usd - sum(by_choice.values()) < Decimal(3)
    watching = by_choice["alarm"] + by_choice["dashboard"]
    # An account's first ten alarms and three dashboards are free; the table knows no free tier.
    assert watching < Decimal(7)


def test_sandboxes_add_their_endpoints_a_sweep_and_what_watches_them(assembly, sandboxed):
    without = {line.what: line for line in _floor(assembly).lines}
    added = {
        line.what: line.usd - (without[line.what].usd if line.what in without else 0)
        for line in _floor(sandboxed).lines
    }
    assert {what for what, usd in added.items() if usd} == {
        *("interface endpoint", "names of the DNS firewall", "scheduled sweep", "alarm"),
    }
    assert added["interface endpoint"] == Decimal("43.80")
    assert added["names of the DNS firewall"] < Decimal("0.01")
    assert added["scheduled sweep"] < Decimal("1.20")
    variables = sandboxed.function("slots").properties["Environment"]["Variables"]
    assert variables["FREEHOLD_SANDBOX_STARTED"] == "0"


def test_the_document_says_what_sandboxes_add(assembly, sandboxed):
    """With the one file system that `cdk.json` has; the stacks here have two."""
    alarms_of_a_function = 3
    another = PriceTable.shipped().cost("cloudwatch.alarm_month", alarms_of_a_function)
    names = PriceTable.shipped().cost("route53.firewall_name_month", 1)
    added = _floor(sandboxed).usd - _floor(assembly).usd - another - names
    assert f"${added:.2f}" in (ROOT / "docs/aws.md").read_text()


def test_the_document_says_what_an_hour_of_the_egress_proxy_costs(sandboxed):
    table, task = PriceTable.shipped(), sandboxed.one("AWS::ECS::TaskDefinition").properties
    usd = (
        table.cost("ecs.arm_vcpu_hour", Decimal(task["Cpu"]) / 1024)
        + table.cost("ecs.arm_gb_hour", Decimal(task["Memory"]) / 1024)
        + table.cost("ec2.public_ipv4_hour", 1)
    )
    assert f"${usd:.3f} an hour" in (ROOT / "docs/aws.md").read_text()
