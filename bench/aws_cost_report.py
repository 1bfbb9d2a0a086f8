"""The figures of `bench.aws_cost` as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from freehold.aws_cost import Counts, Functions, Hour, PriceTable, control_plane, monthly_floor
from freehold.aws_cost.session_hour import (
    CONTROL_PLANE_BOUND,
    READER_BOUND,
    CostLine,
    sandbox,
    shared_metrics,
    socket,
    stream,
    total,
)

_SIZES = (("0.25", "0.5"), ("0.5", "1"), ("1", "2"))
_PLACES = Decimal("0.00001")
Templates = Sequence[Mapping[str, Any]]


def sections(
    table: PriceTable, counts: Counts, templates: Templates
) -> dict[str, tuple[CostLine, ...]]:
    """Parts of an active session-hour by what they are of."""
    functions, hour = Functions.of(templates), Hour()
    return {
        "control plane": control_plane(table, counts, functions, hour),
        "a reader over SSE": stream(table, functions, hour),
        "a reader over a WebSocket": socket(table, functions, hour),
        "a sandbox": tuple(sandbox(table, Decimal(v), Decimal(g)) for v, g in _SIZES),
        "shared": (shared_metrics(table),),
    }


def as_json(table: PriceTable, counts: Counts, templates: Templates) -> dict[str, Any]:
    """Amounts as strings: they are exact."""
    found = sections(table, counts, templates)
    floor = monthly_floor(templates, table)
    return {
        "what": "US dollars of an active session-hour on AWS",
        "prices": {"region": table.region, "dated": str(table.dated)},
        "counted": counts.model_dump(mode="json"),
        "control_plane_usd": str(total(found["control plane"])),
        "control_plane_bound_usd": str(CONTROL_PLANE_BOUND),
        "reader_usd": str(total(found["a reader over SSE"])),
        "reader_bound_usd": str(READER_BOUND),
        "sections": {
            name: [{"what": line.what, "usd": str(line.usd)} for line in lines]
            for name, lines in found.items()
        },
        "monthly_floor_usd": str(floor.usd),
        "monthly_floor": [
            {"what": line.what, "count": line.count, "usd": str(line.usd)} for line in floor.lines
        ],
        "monthly_floor_without_price": list(floor.unknown),
    }


def as_text(table: PriceTable, counts: Counts, templates: Templates) -> str:
    found = sections(table, counts, templates)
    hour, floor = Hour(), monthly_floor(templates, table)
    assumed = (
        f"An active session-hour is {hour.turns} turns of {hour.model_seconds} s of model and"
        f" {hour.tool_seconds} s of tools in {hour.runs} runs: assumed, as all durations are."
    )
    text = [
        f"Prices of {table.region}, {table.dated}; counted on {counts.counted}, emulated.",
        assumed,
        "",
        *_counted(counts),
        "",
    ]
    for name, lines in found.items():
        text += [f"{name}, $ an hour", *_rows(lines)]
        text += [] if name in {"a sandbox", "shared"} else [_row("together", total(lines))]
        text.append("")
    text += [
        _judged("control plane", total(found["control plane"]), CONTROL_PLANE_BOUND),
        _judged("with a reader, more", total(found["a reader over SSE"]), READER_BOUND),
        "",
        "monthly floor, $",
        *(_row(f"{line.count} x {line.what}", line.usd) for line in floor.lines),
        _row("together", floor.usd),
    ]
    return "\n".join(text)


def _counted(counts: Counts) -> list[str]:
    rows = [f"{'counted':<44} {'a turn':>10} {'a run':>10}"]
    turn, run = counts.turn, counts.run
    pairs = {
        "state transitions": (turn.transitions, run.transitions),
        "read units": (turn.read_units, run.read_units),
        "write units": (turn.write_units, run.write_units),
        "bytes of our own logs": (turn.log_bytes, run.log_bytes),
    }
    for what, one, other in (
        ("invocations of ", turn.invocations, run.invocations),
        ("", turn.requests, run.requests),
    ):
        for name in sorted({*one, *other}):
            pairs[f"{what}{name}"] = (one.get(name, Decimal(0)), other.get(name, Decimal(0)))
    return rows + [
        f"{name:<44} {one:>10.2f} {other:>10.2f}" for name, (one, other) in pairs.items()
    ]


def _rows(lines: Iterable[CostLine]) -> list[str]:
    return [_row(line.what, line.usd) for line in lines]


def _row(what: str, usd: Decimal) -> str:
    return f"  {what:<52} {usd.quantize(_PLACES):>10}"


def _judged(what: str, usd: Decimal, bound: Decimal) -> str:
    verdict = "holds" if usd <= bound else f"missed by {(usd - bound).quantize(_PLACES)}"
    return f"{what}: ${usd.quantize(_PLACES)} (bound <= ${bound}: {verdict})"
