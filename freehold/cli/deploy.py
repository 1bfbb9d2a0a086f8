"""`freehold deploy`: what a deployment on AWS would meet, before it is made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from freehold.cli.findings import report
from freehold.cli.options import JsonOption

deploy = typer.Typer(help="Deployments on AWS.", no_args_is_help=True)


@deploy.callback()
def _deploy() -> None:
    """Deployments on AWS."""


@deploy.command()
def check(
    *,
    assembly: Annotated[
        Path, typer.Option(help="What `./scripts/cdk synth` wrote, for the context it was given.")
    ] = Path("cdk.out"),
    prices: Annotated[
        Path | None,
        typer.Option(help="Prices of your own.", show_default="us-east-1, on demand"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check credentials, Region, bootstrap and quotas, and say what the deployment would cost.

    Reads only; of a deployed installation one item of the table, which is all that AWS charges
    for. Exit code 1 when something is missing.
    """
    from freehold.cli.deploy_checks import deploy_checks  # noqa: PLC0415 - no other command pays

    report(deploy_checks(assembly, prices), as_json=as_json)
