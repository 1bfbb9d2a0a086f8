"""What an hour of a session at work costs: counted work, stated assumptions, dated prices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from freehold.aws_cost.counts import Counts
from freehold.aws_cost.prices import HOURS_OF_A_MONTH, PriceTable

CONTROL_PLANE_BOUND = Decimal("0.045")
READER_BOUND = Decimal("0.02")
"""DESIGN 10: of an active session-hour, and on top with a reader of its stream."""

_GB = Decimal(10**9)
_HOUR = Decimal(3600)
_MEGABYTES = 1024
_CPU_UNITS = 1024


@dataclass(frozen=True, slots=True)
class CostLine:
    """A part of the whole, in US dollars of one hour."""

    what: str
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Hour:
    """What is assumed of the hour; nothing of it is measured. Seconds are billed ones."""

    turns: int = 180
    turns_of_a_run: int = 10
    """Short enough that one invocation carries a run to its end (ADR 0014)."""
    model_seconds: Decimal = Decimal(14)
    """A turn waits so long for the model."""
    tool_seconds: Decimal = Decimal(6)
    """And so long for its calls."""
    step_seconds: Mapping[str, Decimal] = field(
        default_factory=lambda: {"turn": Decimal("0.2"), "tools": Decimal("0.1")}
    )
    """Of a step of a run, beside what it waits for."""
    own_seconds: Mapping[str, Decimal] = field(
        default_factory=lambda: {"api": Decimal("0.15"), "wake": Decimal("0.05")}
    )
    """Of an invocation that is no step of a run."""
    looks_a_second: Decimal = Decimal(2)
    """For an interrupt, while a function waits (`adapters/table_feed/`)."""
    units_of_a_look: Decimal = Decimal(3)
    """The session's item, the thread's head and its claim, each read consistently."""
    platform_log_bytes: int = 700
    """The platform's own lines about an invocation: its start, its report."""

    @property
    def look_units(self) -> Decimal:
        """Read units of a turn's looks."""
        waits = self.model_seconds + self.tool_seconds
        return waits * self.looks_a_second * self.units_of_a_look

    @property
    def runs(self) -> Decimal:
        return Decimal(self.turns) / self.turns_of_a_run


@dataclass(frozen=True, slots=True)
class Reader:
    """What one reader asks for in the hour, from ADR 0007; not counted, but computed. What the
    fan-out asks of the table is pinned by tests/contract/test_fan_out.py.
    """

    looks_a_second: Decimal = Decimal(4)
    """Of a stream at the feed and at previews while something happens, none of them consistent: a
    unit for both.
    """
    reads_of_a_doorbell: int = 2
    """Of what a commit brought, consistent."""
    key_seconds: Decimal = Decimal(10)
    """How often a stream asks whether its key stands."""
    lease_seconds: Decimal = Decimal(20)
    """How often it says that it wants previews, by a transaction."""
    wanted_seconds: Decimal = Decimal(2)
    """How often `run_turn` asks while the model speaks, of streams and of sockets."""
    preview_seconds: Decimal = Decimal("0.3")
    """Of previews in an item: written for anyone, read by each, sent to each."""
    events_of_a_turn: Decimal = Decimal(10)
    commits_of_a_turn: Decimal = Decimal(5)
    reads_of_a_commit: int = 8
    reads_of_a_preview: int = 4
    """Of the fan-out for one connection, each consistent and of one unit: who follows, whether its
    key stands, what it has not been sent.
    """
    stream_megabytes: int = 256
    fan_out_megabytes: int = 256
    fan_out_seconds: Decimal = Decimal("0.05")


@dataclass(frozen=True, slots=True)
class Functions:
    """Megabytes of each function by its folder, and the processor that they are priced by."""

    megabytes: Mapping[str, int]
    architecture: str

    @classmethod
    def of(cls, templates: Iterable[Mapping[str, Any]]) -> Functions:
        """As synthesized templates have them. Raises ValueError where there are none."""
        found: dict[str, int] = {}
        architectures: set[str] = set()
        for template in templates:
            for resource in template.get("Resources", {}).values():
                properties = resource.get("Properties", {})
                parts = str(properties.get("Handler", "")).replace("/", ".").split(".")
                if resource["Type"] != "AWS::Lambda::Function" or parts[0] != "functions":
                    continue
                found[parts[1]] = int(properties["MemorySize"])
                architectures |= set(properties.get("Architectures", ["x86_64"]))
        if len(architectures) != 1:
            raise ValueError("no functions of one architecture in these templates")
        return cls(found, architectures.pop())

    def price(self, table: PriceTable, folder: str, seconds: Decimal) -> Decimal:
        """Of so many billed seconds. Raises ValueError for a function that is not there."""
        if folder not in self.megabytes:
            raise ValueError(f"no function `{folder}` in these templates")
        return self.seconds(table, self.megabytes[folder], seconds)

    def seconds(self, table: PriceTable, megabytes: int, seconds: Decimal) -> Decimal:
        """Of so many billed seconds at a size that is no function's of these templates."""
        name = "lambda.arm_gb_second" if self.architecture == "arm64" else "lambda.x86_gb_second"
        return table.cost(name, seconds * megabytes / _MEGABYTES)


def control_plane(
    table: PriceTable, counts: Counts, functions: Functions, hour: Hour | None = None
) -> tuple[CostLine, ...]:
    """The parts of one hour of one session, the largest first. Neither the model nor the sandbox is
    among them, nor what is paid while nothing happens.
    """
    hour = hour or Hour()
    work = counts.turn.times(hour.turns) + counts.run.times(hour.runs)
    steps = _steps(counts, hour) if work.invocations.get("run_turn") else {}
    looks = hour.look_units * hour.turns if steps else 0
    lines = []
    for folder, number in work.invocations.items():
        own = hour.own_seconds.get(folder, Decimal(0)) * number
        seconds = own + steps.get(folder, Decimal(0))
        usd = functions.price(table, folder, seconds) + table.cost("lambda.request", number)
        lines.append(CostLine(f"Lambda {folder}, {functions.megabytes[folder]} MB", usd))
    bytes_ = work.log_bytes + sum(work.invocations.values()) * hour.platform_log_bytes
    lines += [
        CostLine("Step Functions", table.cost("states.transition", work.transitions)),
        CostLine("DynamoDB writes", table.cost("dynamodb.write_unit", work.write_units)),
        CostLine("DynamoDB reads", table.cost("dynamodb.read_unit", work.read_units)),
        CostLine("looks for interrupts", table.cost("dynamodb.read_unit", looks)),
        CostLine("logs", table.cost("logs.ingested_gb", bytes_ / _GB)),
        *(CostLine(name, table.cost(name, number)) for name, number in work.requests.items()),
    ]
    return tuple(sorted(lines, key=lambda line: line.usd, reverse=True))


def _steps(counts: Counts, hour: Hour) -> Mapping[str, Decimal]:
    """Seconds of each function in steps of runs. Each run ends with a step without calls."""
    turns = hour.step_seconds["turn"] * (hour.turns + hour.runs) + hour.model_seconds * hour.turns
    rounds = (hour.step_seconds["tools"] + hour.tool_seconds) * hour.turns
    if counts.turn.invocations.get("run_tools"):
        return {"run_turn": turns, "run_tools": rounds}
    return {"run_turn": turns + rounds}


def total(lines: Iterable[CostLine]) -> Decimal:
    return sum((line.usd for line in lines), Decimal(0))


# ---------------------------------------------------------------- readers
def stream(
    table: PriceTable, functions: Functions, hour: Hour | None = None, reader: Reader | None = None
) -> tuple[CostLine, ...]:
    """One reader over SSE with previews for the whole hour: a function of its own."""
    hour, reader = hour or Hour(), reader or Reader()
    speaking = hour.model_seconds * hour.turns
    commits = reader.commits_of_a_turn * hour.turns
    looks = reader.looks_a_second * _HOUR + commits * reader.reads_of_a_doorbell
    others = _HOUR / reader.key_seconds + speaking / reader.wanted_seconds * 2
    megabytes = functions.megabytes.get("stream", reader.stream_megabytes)
    return (
        CostLine(f"Lambda stream, {megabytes} MB", functions.seconds(table, megabytes, _HOUR)),
        CostLine("looks at feed and previews", table.cost("dynamodb.read_unit", looks)),
        CostLine("looks at its key and who listens", table.cost("dynamodb.read_unit", others)),
        CostLine("lease", table.cost("dynamodb.write_unit", _HOUR / reader.lease_seconds * 2)),
        _previews(table, speaking, reader),
    )


def socket(
    table: PriceTable, functions: Functions, hour: Hour | None = None, reader: Reader | None = None
) -> tuple[CostLine, ...]:
    """One reader over a WebSocket with previews for the whole hour."""
    hour, reader = hour or Hour(), reader or Reader()
    speaking = hour.model_seconds * hour.turns
    commits = reader.commits_of_a_turn * hour.turns
    previews = speaking / reader.preview_seconds
    rings = commits + previews
    looks = commits * reader.reads_of_a_commit + previews * reader.reads_of_a_preview
    messages = reader.events_of_a_turn * hour.turns + previews
    megabytes = functions.megabytes.get("fan_out", reader.fan_out_megabytes)
    seconds = functions.seconds(table, megabytes, rings * reader.fan_out_seconds)
    minutes = table.cost("api_gateway.socket_minute", 60)
    return (
        CostLine("messages", table.cost("api_gateway.socket_message", messages) + minutes),
        CostLine(f"Lambda fan_out, {megabytes} MB", seconds + table.cost("lambda.request", rings)),
        # Where a connection stands is written by a transaction, at twice the price: its cursor, and
        # each item of previews before it is sent.
        CostLine("cursors, previews taken up", table.cost("dynamodb.write_unit", rings * 2)),
        CostLine("looks of the fan-out", table.cost("dynamodb.read_unit", looks)),
        _previews(table, speaking, reader),
    )


def _previews(table: PriceTable, speaking: Decimal, reader: Reader) -> CostLine:
    """An item of up to 1 KB each, put by itself. Their expiry is free."""
    units = speaking / reader.preview_seconds
    return CostLine("preview items", table.cost("dynamodb.write_unit", units))


# ---------------------------------------------------------------- beside the session's own
def shared_metrics(table: PriceTable, number: int = 5) -> CostLine:
    """Of an installation in an hour in which anything happens: `Outcomes` by function and outcome,
    however many sessions share them.
    """
    usd = table.cost("cloudwatch.metric_month", number) / HOURS_OF_A_MONTH
    return CostLine(f"{number} metrics, shared by all sessions of the hour", usd)


def sandbox(table: PriceTable, vcpu: Decimal, gigabytes: Decimal, family: str = "arm") -> CostLine:
    """An hour of a Fargate task; `family` is `arm` or `x86`."""
    cpu = table.cost(f"ecs.{family}_vcpu_hour", vcpu)
    usd = cpu + table.cost(f"ecs.{family}_gb_hour", gigabytes)
    return CostLine(f"sandbox on Fargate, {vcpu} vCPU, {gigabytes} GB", usd)


def sandbox_of(table: PriceTable, templates: Iterable[Mapping[str, Any]]) -> CostLine | None:
    """The sandboxes of these templates, of which the function `slots` is told; None where there are
    none.
    """
    for template in templates:
        for resource in template.get("Resources", {}).values():
            properties = resource.get("Properties", {})
            given = properties.get("Environment", {})
            told = given.get("Variables", {}) if isinstance(given, Mapping) else {}
            if "FREEHOLD_SANDBOX_CPU" in told:
                vcpu = Decimal(told["FREEHOLD_SANDBOX_CPU"]) / _CPU_UNITS
                gigabytes = Decimal(told["FREEHOLD_SANDBOX_MEMORY_MIB"]) / _MEGABYTES
                is_arm = told["FREEHOLD_SANDBOX_ARCHITECTURE"] == "arm64"
                return sandbox(table, vcpu, gigabytes, "arm" if is_arm else "x86")
    return None
