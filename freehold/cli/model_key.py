"""`freehold model-key`: the key that pays for model requests of an installation on AWS."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from pydantic import SecretStr, TypeAdapter, ValidationError

from freehold.cli.terminal import CommandFailed, complain
from freehold.setting_types import HeaderSecret

_KEY: TypeAdapter[SecretStr] = TypeAdapter(HeaderSecret)

model_key = typer.Typer(help="The model key of an installation on AWS.", no_args_is_help=True)


@model_key.callback()
def _model_key() -> None:
    """The model key of an installation on AWS."""


@model_key.command("set")
def set_(
    *,
    stack: Annotated[str, typer.Option(help="The data stack, as the deployment named it.")],
) -> None:
    """Store the API key of the model's provider, typed in or piped in, never an argument.

    AWS credentials and Region come from the environment, as for the AWS command line. Functions
    that are running take a replaced key within five minutes.
    """
    from freehold.adapters.aws_clients import client  # noqa: PLC0415 - no other command pays
    from freehold.adapters.aws_stack import AwsStack, StackUnusable  # noqa: PLC0415 - as above

    try:
        installation = AwsStack(stack, client)
        secret_arn = installation.output("ModelKeySecretArn")
        installation.store_secret(secret_arn, _read().get_secret_value())
    except StackUnusable as failed:
        raise CommandFailed(str(failed)) from failed
    complain("stored")


def _read() -> SecretStr:
    """Raises CommandFailed, exit code 2, for what cannot be a key. The key is not shown."""
    if sys.stdin.isatty():
        text = typer.prompt("API key", hide_input=True, err=True)
    else:
        text = sys.stdin.readline()
    try:
        key = _KEY.validate_python(text.strip())
    except ValidationError:
        raise CommandFailed(
            "that is no API key: it must be printable ASCII without spaces", exit_code=2
        ) from None
    if not key.get_secret_value():
        raise CommandFailed("no API key was given", exit_code=2)
    return key
