"""What costs while nothing happens, by what a template has."""

from __future__ import annotations

from decimal import Decimal

import pytest

from freehold.aws_cost import PriceTable, monthly_floor
from freehold.aws_cost.floor import Sweep

TABLE = PriceTable.shipped()


def resource(kind, **properties):
    return {"Type": f"AWS::{kind}", "Properties": properties}


def floor_of(**resources):
    return monthly_floor([{"Resources": resources}], TABLE)


def test_an_empty_installation_costs_nothing():
    found = monthly_floor([{}, {"Resources": {}}], TABLE)
    assert (found.usd, found.lines, found.unknown) == (0, (), ())


def test_what_is_paid_by_use_is_no_part_of_it():
    found = floor_of(Table=resource("DynamoDB::GlobalTable"), Machine=resource("S3::Bucket"))
    assert (found.usd, found.unknown) == (0, ())


def test_things_of_a_kind_are_one_line():
    found = floor_of(One=resource("KMS::Key"), Two=resource("KMS::Key"), Three=resource("EC2::EIP"))
    lines = {line.what: (line.count, line.usd) for line in found.lines}
    assert lines == {"KMS key": (2, Decimal(2)), "public IPv4 address": (1, Decimal("3.65"))}
    assert found.usd == Decimal("5.65")


def test_stacks_are_added_up():
    key = {"Resources": {"Key": resource("KMS::Key")}}
    assert monthly_floor([key, key], TABLE).usd == 2


def test_a_type_without_a_price_is_named_and_not_taken_for_free():
    found = floor_of(Cache=resource("ElastiCache::ServerlessCache"), Own={"Type": "Custom::Thing"})
    assert found.unknown == ("AWS::ElastiCache::ServerlessCache", "Custom::Thing")


def test_a_service_pays_for_each_of_its_tasks_by_their_size():
    task = resource(
        "ECS::TaskDefinition",
        Cpu="256",
        Memory="512",
        RuntimePlatform={"CpuArchitecture": "ARM64"},
    )
    service = resource("ECS::Service", TaskDefinition={"Ref": "Task"}, DesiredCount=2)
    found = floor_of(Task=task, Service=service)
    hour = Decimal("0.03238") / 4 + Decimal("0.00356") / 2
    assert found.usd == hour * 730 * 2
    del task["Properties"]["RuntimePlatform"]
    assert floor_of(Task=task, Service=service).usd > found.usd


def test_a_load_balancer_of_the_internet_pays_for_its_addresses_too():
    balancer = resource("ElasticLoadBalancingV2::LoadBalancer", Subnets=["a", "b"])
    inside = floor_of(Balancer=balancer).usd
    balancer["Properties"]["Scheme"] = "internet-facing"
    assert floor_of(Balancer=balancer).usd - inside == Decimal("0.005") * 730 * 2


def test_an_interface_endpoint_is_paid_by_the_zone_and_a_gateway_is_free():
    endpoint = resource("EC2::VPCEndpoint", VpcEndpointType="Interface", SubnetIds=["a", "b"])
    assert floor_of(Endpoint=endpoint).usd == Decimal("14.6")
    endpoint["Properties"]["VpcEndpointType"] = "Gateway"
    assert floor_of(Endpoint=endpoint).usd == 0


def rule(**properties):
    target = {"Arn": {"Fn::GetAtt": ["Reaper", "Arn"]}, "Id": "Target0"}
    return resource("Events::Rule", Targets=[target], **properties)


def reaper(**properties):
    return resource("Lambda::Function", MemorySize=256, Architectures=["arm64"], **properties)


def test_a_rule_by_the_clock_pays_for_what_its_function_does_each_time():
    found = floor_of(Reaper=reaper(), Rule=rule(ScheduleExpression="rate(1 minute)"))
    times, sweep = 730 * 60, Sweep()
    each = (
        TABLE.cost("lambda.request", 1)
        + TABLE.cost("lambda.arm_gb_second", sweep.seconds / 4)
        + TABLE.cost("dynamodb.read_unit", sweep.read_units)
        + TABLE.cost("logs.ingested_gb", sweep.log_gb)
        + TABLE.cost("xray.trace", 1)
    )
    assert found.usd == each * times + TABLE.cost("cloudwatch.metric_month", 1)
    rarer = floor_of(Reaper=reaper(), Rule=rule(ScheduleExpression="rate(1 hour)"))
    assert rarer.usd < found.usd


def test_a_rule_by_events_waits_for_nothing():
    assert floor_of(Reaper=reaper(), Rule=rule(EventPattern={"source": ["aws.states"]})).usd == 0


def test_a_schedule_that_cannot_be_counted_is_refused():
    with pytest.raises(ValueError, match="cron"):
        floor_of(Reaper=reaper(), Rule=rule(ScheduleExpression="cron(0 * * * ? *)"))


def test_a_kept_snapshot_is_paid_by_its_memory():
    version = resource("Lambda::Version", FunctionName={"Ref": "Reaper"})
    assert floor_of(Reaper=reaper(), Version=version).usd == 0
    kept = reaper(SnapStart={"ApplyOn": "PublishedVersions"})
    found = floor_of(Reaper=kept, Version=version)
    assert found.usd == Decimal("0.0000015046") * 730 * 3600 / 4
