"""`freehold doctor`: what this machine has, what it lacks, and the command that helps."""

from __future__ import annotations

from freehold.cli.checks import all_checks
from freehold.cli.findings import report
from freehold.cli.options import (
    DEFAULT_DATA_DIR,
    DataDir,
    JsonOption,
    ModelOption,
    NetworkOption,
    SandboxOption,
    settings,
)


def doctor(
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    model: ModelOption = None,
    sandbox: SandboxOption = "auto",
    network: NetworkOption = "on",
    as_json: JsonOption = False,
) -> None:
    """Check what the server needs here. Exit code 1 when something it needs is missing.

    With ANTHROPIC_API_KEY set, one request asks the endpoint whether it accepts the key.
    """
    chosen = settings(data_dir=data_dir, model=model, sandbox=sandbox, network=network)
    report(all_checks(chosen), as_json=as_json)
