"""What a benchmark prints: the machine, the date, n, p50 and p99 against their bounds."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Bounds:
    """In milliseconds; None where there is no bound."""

    p50: float | None = None
    p99: float | None = None


def options(
    description: str | None,
    *,
    n: int,
    more: Callable[[argparse.ArgumentParser], None] | None = None,
) -> argparse.Namespace:
    """The command line of a benchmark: `--n`, `--json` and what `more` adds."""
    parser = argparse.ArgumentParser(description=description)
    if more is not None:
        more(parser)
    parser.add_argument("--n", type=int, default=n, help=f"measured samples ({n})")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


def report(what: str, seconds: list[float], bounds: Bounds, *, as_json: bool) -> None:
    """Prints one measurement; `seconds` are its samples."""
    found: dict[str, object] = {
        "what": what,
        "machine": machine(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "n": len(seconds),
        "p50_ms": round(percentile(seconds, 50) * 1000, 2),
        "p99_ms": round(percentile(seconds, 99) * 1000, 2),
        "p50_bound_ms": bounds.p50,
        "p99_bound_ms": bounds.p99,
    }
    if as_json:
        print(json.dumps(found))
        return
    print(f"{found['machine']}, {found['date']}")
    print(f"{'what':<44} {'n':>5} {'p50 ms':>9} {'bound':>7} {'p99 ms':>9} {'bound':>7}")
    print(
        f"{what:<44} {len(seconds):>5} {found['p50_ms']:>9} {_bound(bounds.p50):>7}"
        f" {found['p99_ms']:>9} {_bound(bounds.p99):>7}"
    )


def percentile(samples: list[float], percent: int) -> float:
    """The smallest sample that `percent` of them do not exceed."""
    ordered = sorted(samples)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(rank, 1) - 1]


def machine() -> str:
    """Processor, number of cores this process may use, system, Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    system = f"{platform.system()} {platform.release()}"
    return f"{_processor()}, {cores} cores, {system}, Python {platform.python_version()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _bound(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"<= {milliseconds:g}"
