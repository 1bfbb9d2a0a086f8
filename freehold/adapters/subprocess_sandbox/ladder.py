"""Which rung to use: the one asked for, or the first that works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.adapters.subprocess_sandbox.bubblewrap import Bubblewrap
from freehold.adapters.subprocess_sandbox.container import Container
from freehold.adapters.subprocess_sandbox.plain import Plain
from freehold.adapters.subprocess_sandbox.rungs import CannotStart, Finding, Probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from freehold.adapters.subprocess_sandbox.rungs import Rung, RungName

_RUNGS: dict[RungName, Callable[[], Rung]] = {
    "bubblewrap": Bubblewrap,
    "container": Container,
    "none": Plain,
}
_AUTO: tuple[RungName, ...] = ("bubblewrap", "container")
"""Never `none`: who wants no isolation says so."""


def find_rung(wanted: str, run: Callable[[Rung], Finding]) -> tuple[Rung | None, Probe]:
    """The first rung that `run` finds no reason against, and what was found on the way."""
    findings: list[Finding] = []
    for name in _AUTO if wanted == "auto" else tuple(n for n in _RUNGS if n == wanted):
        try:
            rung = _RUNGS[name]()
        except CannotStart as failed:
            findings.append(Finding(name, failed.reason, failed.remedy))
            continue
        findings.append(run(rung))
        if not findings[-1].reason:
            return rung, Probe(name, tuple(findings))
    return None, Probe(None, tuple(findings))
