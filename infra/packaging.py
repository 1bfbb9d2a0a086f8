"""What is uploaded for the functions: our code as it is, and third-party code in one layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aws_cdk import IgnoreMode
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from infra.context import ROOT, Context

RUNTIME = lambda_.Runtime.PYTHON_3_14
CODE = ("egress_proxy", "freehold", "functions")
"""Of the proxy the functions use what says which hosts are public."""
_LEFT_AT_HOME = ["/*", *(f"!/{name}" for name in CODE), "__pycache__", "*.pyc"]
"""Nothing but our packages goes: whatever else lies in a checkout stays."""
_ARCHITECTURES = {
    "arm64": lambda_.Architecture.ARM_64,
    "x86_64": lambda_.Architecture.X86_64,
}


class LayerMissing(Exception):
    """The message is one line for the person who deploys."""


@dataclass(frozen=True, slots=True)
class Package:
    """What every function of a stack is made of."""

    code: lambda_.Code
    layer: lambda_.LayerVersion
    architecture: lambda_.Architecture


def package(scope: Construct, context: Context) -> Package:
    """The code and a layer of this stack's own.

    A layer shared between stacks would be an export, and CloudFormation refuses to change an export
    that is in use: the second deployment would fail. Raises LayerMissing.
    """
    architecture = _ARCHITECTURES[context.architecture]
    layer = lambda_.LayerVersion(
        scope,
        "Dependencies",
        description="Third-party code of the functions, as requirements-layer.lock pins it.",
        code=lambda_.Code.from_asset(str(_layer_folder(context))),
        compatible_runtimes=[RUNTIME],
        compatible_architectures=[architecture],
    )
    code = lambda_.Code.from_asset(str(ROOT), ignore_mode=IgnoreMode.GIT, exclude=_LEFT_AT_HOME)
    return Package(code, layer, architecture)


def code_asset(scope: Construct, id_: str) -> s3_assets.Asset:
    """The code of the functions, for what is none."""
    return s3_assets.Asset(
        scope, id_, path=str(ROOT), ignore_mode=IgnoreMode.GIT, exclude=_LEFT_AT_HOME
    )


def layer_asset(scope: Construct, id_: str, context: Context) -> s3_assets.Asset:
    """The third-party code of the functions, for what is none. Raises LayerMissing."""
    return s3_assets.Asset(scope, id_, path=str(_layer_folder(context)))


def _layer_folder(context: Context) -> Path:
    directory = ROOT / context.layer / context.architecture
    if not (directory / "python").is_dir():
        raise LayerMissing(
            f"{directory} holds no layer. Run: ./scripts/layer --architecture"
            f" {context.architecture}"
        )
    return directory
