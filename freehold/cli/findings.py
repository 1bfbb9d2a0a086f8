"""How checks are shown: a line each with what helps, or one JSON object; and how a command ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import typer

from freehold.cli.terminal import console, print_json, printable

if TYPE_CHECKING:
    from freehold.cli.checks import Check

_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "missing": ("MISSING", "bold red")}


def report(checks: list[Check], *, as_json: bool) -> NoReturn:
    """Prints them and exits, with 1 when something is missing."""
    healthy = all(check.status != "missing" for check in checks)
    if as_json:
        print_json({"ok": healthy, "checks": [check.as_json() for check in checks]})
    else:
        for check in checks:
            _print(check)
    raise typer.Exit(0 if healthy else 1)


def _print(check: Check) -> None:
    screen = console()
    mark, style = _MARKS[check.status]
    screen.print(f"{mark:<8} ", style=style, end="")
    screen.print(printable(f"{check.name}: {check.detail}"))
    if check.remedy:
        screen.print(printable(f"{'':<9}-> {check.remedy}"))
