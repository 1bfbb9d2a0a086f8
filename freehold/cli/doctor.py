"""`freehold doctor`: what this machine has, what it lacks, and the command that helps."""

from __future__ import annotations

import typer

from freehold.cli.checks import Check, all_checks
from freehold.cli.options import (
    DEFAULT_DATA_DIR,
    DataDir,
    JsonOption,
    ModelOption,
    SandboxOption,
    settings,
)
from freehold.cli.terminal import console, print_json

_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "missing": ("MISSING", "bold red")}


def doctor(
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    model: ModelOption = None,
    sandbox: SandboxOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Check what the server needs here. Exit code 1 when something it needs is missing.

    With ANTHROPIC_API_KEY set, one request asks the endpoint whether it accepts the key.
    """
    chosen = settings(data_dir=data_dir, model=model, sandbox=sandbox)
    checks = all_checks(chosen)
    healthy = all(check.status != "missing" for check in checks)
    if as_json:
        print_json({"ok": healthy, "checks": [check.as_json() for check in checks]})
    else:
        _print(checks)
    raise typer.Exit(0 if healthy else 1)


def _print(checks: list[Check]) -> None:
    screen = console()
    for check in checks:
        mark, style = _MARKS[check.status]
        screen.print(f"{mark:<8} ", style=style, end="")
        screen.print(f"{check.name}: {check.detail}")
        if check.remedy:
            screen.print(f"{'':<9}-> {check.remedy}")
