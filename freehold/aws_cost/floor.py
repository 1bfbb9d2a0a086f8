"""What an installation costs in a month in which nobody uses it, from its synthesized templates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

from freehold.aws_cost.free import is_free
from freehold.aws_cost.prices import HOURS_OF_A_MONTH, SECONDS_OF_A_MONTH, PriceTable

Template: TypeAlias = Mapping[str, Any]
"""Of CloudFormation, as the CDK writes it: JSON, its references unresolved."""

_Properties: TypeAlias = Mapping[str, Any]
_Amounts: TypeAlias = Mapping[str, Decimal]
"""How many units of a price a month has of a thing."""

_CPU_UNITS = 1024
_MEGABYTES = 1024
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_MINUTES = {"minute": 1, "hour": 60, "day": 1440}
_MINUTES_OF_A_MONTH = HOURS_OF_A_MONTH * 60


@dataclass(frozen=True, slots=True)
class FloorLine:
    """One thing that costs while nothing happens. `usd` is of a month, for all `count` of them."""

    what: str
    count: int
    usd: Decimal


@dataclass(frozen=True, slots=True)
class MonthlyFloor:
    """`unknown` are types of resources that this version has no price for: the floor may be higher
    by what they cost. What is stored, and usage, come on top.
    """

    lines: tuple[FloorLine, ...]
    unknown: tuple[str, ...]

    @property
    def usd(self) -> Decimal:
        return sum((line.usd for line in self.lines), Decimal(0))


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one scheduled invocation does while there is nothing to do."""

    seconds: Decimal = Decimal(1)
    """Billed. Assumed: it asks the index and nothing else, and a cold start is rare."""
    read_units: Decimal = Decimal(16)
    """Four kinds of work, in eight shards: so many eventual reads that find nothing."""
    log_gb: Decimal = Decimal("0.0000015")
    """Its line, its metric, and the platform's lines about it."""


def monthly_floor(
    templates: Iterable[Template], table: PriceTable, sweep: Sweep | None = None
) -> MonthlyFloor:
    """The floor of the installation that these templates make, retained resources included."""
    counts: dict[str, int] = {}
    sums: dict[str, Decimal] = {}
    unknown: set[str] = set()
    for template in templates:
        resources = template.get("Resources", {})
        for resource in resources.values():
            kind, properties = resource["Type"], resource.get("Properties", {})
            if kind not in _RULES:
                unknown |= set() if is_free(kind) else {kind}
                continue
            for what, amounts in _RULES[kind](properties, resources, sweep or Sweep()):
                counts[what] = counts.get(what, 0) + 1
                usd = sum((table.cost(name, n) for name, n in amounts.items()), Decimal(0))
                sums[what] = sums.get(what, Decimal(0)) + usd
    lines = tuple(FloorLine(what, counts[what], sums[what]) for what in sorted(sums))
    return MonthlyFloor(lines, tuple(sorted(unknown)))


# ---------------------------------------------------------------- what a type of resource costs
_Rule: TypeAlias = Callable[[_Properties, Mapping[str, Any], Sweep], Iterator[tuple[str, _Amounts]]]


def _monthly(what: str, name: str, amount: Decimal = Decimal(1)) -> _Rule:
    def rule(*_: object) -> Iterator[tuple[str, _Amounts]]:
        yield what, {name: amount}

    return rule


def _interface_endpoint(properties: _Properties, *_: object) -> Iterator[tuple[str, _Amounts]]:
    """By the zone. A gateway endpoint is free."""
    if properties.get("VpcEndpointType") == "Interface":
        zones = max(1, len(properties.get("SubnetIds", ())))
        yield "interface endpoint", {"ec2.interface_endpoint_hour": HOURS_OF_A_MONTH * zones}


def _load_balancer(properties: _Properties, *_: object) -> Iterator[tuple[str, _Amounts]]:
    """One that faces the internet has an address in each of its zones."""
    yield "load balancer", {"elb.load_balancer_hour": HOURS_OF_A_MONTH}
    if properties.get("Scheme") == "internet-facing":
        for _subnet in properties.get("Subnets", ()):
            yield "public IPv4 address", {"ec2.public_ipv4_hour": HOURS_OF_A_MONTH}


def _service(
    properties: _Properties, resources: Mapping[str, Any], _: Sweep
) -> Iterator[tuple[str, _Amounts]]:
    """The tasks that a service keeps running, by the size of their definition."""
    task = _referenced(properties["TaskDefinition"], resources)
    family = "x86" if _architecture(task) == "X86_64" else "arm"
    hours = HOURS_OF_A_MONTH
    network = properties.get("NetworkConfiguration", {}).get("AwsvpcConfiguration", {})
    for _number in range(int(properties.get("DesiredCount", 1))):
        yield (
            "Fargate task that always runs",
            {
                f"ecs.{family}_vcpu_hour": Decimal(task["Cpu"]) / _CPU_UNITS * hours,
                f"ecs.{family}_gb_hour": Decimal(task["Memory"]) / _MEGABYTES * hours,
            },
        )
        if network.get("AssignPublicIp") == "ENABLED":
            yield "public IPv4 address", {"ec2.public_ipv4_hour": hours}


def _architecture(task: _Properties) -> str:
    platform = task.get("RuntimePlatform", {})
    return str(platform.get("CpuArchitecture", "X86_64"))


def _schedule(
    properties: _Properties, resources: Mapping[str, Any], sweep: Sweep
) -> Iterator[tuple[str, _Amounts]]:
    """What a rule that fires by the clock has its functions do. Raises ValueError for a schedule
    that is no rate.
    """
    if "ScheduleExpression" not in properties:
        return
    found = _RATE.fullmatch(properties["ScheduleExpression"])
    if found is None:
        raise ValueError(f"no rate: {properties['ScheduleExpression']}")
    times = _MINUTES_OF_A_MONTH / (int(found[1]) * _MINUTES[found[2]])
    for target in properties.get("Targets", ()):
        function = _referenced(target["Arn"], resources)
        family = "arm" if function.get("Architectures") == ["arm64"] else "x86"
        gigabytes = Decimal(function["MemorySize"]) / _MEGABYTES
        yield (
            "scheduled sweep",
            {
                "lambda.request": times,
                f"lambda.{family}_gb_second": times * sweep.seconds * gigabytes,
                "dynamodb.read_unit": times * sweep.read_units,
                "logs.ingested_gb": times * sweep.log_gb,
                "cloudwatch.metric_month": Decimal(1),
                "xray.trace": times,
            },
        )


def _firewall_names(properties: _Properties, *_: object) -> Iterator[tuple[str, _Amounts]]:
    names = Decimal(len(properties.get("Domains", ())))
    yield "names of the DNS firewall", {"route53.firewall_name_month": names}


def _version(
    properties: _Properties, resources: Mapping[str, Any], _: Sweep
) -> Iterator[tuple[str, _Amounts]]:
    """A published version keeps its snapshot, whether it is called or not."""
    function = _referenced(properties["FunctionName"], resources)
    if function.get("SnapStart", {}).get("ApplyOn") == "PublishedVersions":
        gigabytes = Decimal(function["MemorySize"]) / _MEGABYTES
        amount = SECONDS_OF_A_MONTH * gigabytes
        yield "SnapStart snapshot", {"lambda.snap_start_cache_gb_second": amount}


def _referenced(value: Any, resources: Mapping[str, Any]) -> _Properties:
    """Of the resource of the same template that `Ref` or `Fn::GetAtt` names; of an alias, those of
    its function.
    """
    name = value.get("Ref") or value["Fn::GetAtt"][0]
    properties: _Properties = resources[name].get("Properties", {})
    if resources[name].get("Type") == "AWS::Lambda::Alias":
        return _referenced(properties["FunctionName"], resources)
    return properties


_RULES: Mapping[str, _Rule] = {
    "AWS::CloudWatch::Alarm": _monthly("alarm", "cloudwatch.alarm_month"),
    "AWS::CloudWatch::Dashboard": _monthly("dashboard", "cloudwatch.dashboard_month"),
    "AWS::EC2::EIP": _monthly("public IPv4 address", "ec2.public_ipv4_hour", HOURS_OF_A_MONTH),
    "AWS::EC2::NatGateway": _monthly("NAT gateway", "ec2.nat_gateway_hour", HOURS_OF_A_MONTH),
    "AWS::EC2::VPCEndpoint": _interface_endpoint,
    "AWS::ECS::Service": _service,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": _load_balancer,
    "AWS::Events::Rule": _schedule,
    "AWS::KMS::Key": _monthly("KMS key", "kms.key_month"),
    "AWS::Lambda::Version": _version,
    "AWS::Route53Resolver::FirewallDomainList": _firewall_names,
    "AWS::SecretsManager::Secret": _monthly("secret", "secrets_manager.secret_month"),
}
