"""`freehold keys`: API keys of a data directory."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.options import (
    DEFAULT_DATA_DIR,
    DataDir,
    JsonOption,
    settings,
)
from freehold.cli.terminal import CommandFailed, complain, print_json

if TYPE_CHECKING:
    from pathlib import Path

_WORKSPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")

keys = typer.Typer(help="API keys.", no_args_is_help=True)


@keys.callback()
def _keys() -> None:
    """API keys."""


@keys.command()
def create(
    *,
    workspace: Annotated[
        str, typer.Option(help="The workspace the key belongs to; made when it is new.")
    ] = "default",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    stack: Annotated[
        str | None, typer.Option(help="The data stack of an installation on AWS.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Create an API key and print it, once: only its hash is kept.

    A running server accepts it at once, and so does an installation on AWS.
    """
    if not _WORKSPACE.match(workspace):
        raise CommandFailed(
            "--workspace: at most 64 letters, digits and `._-`, the first a letter or digit",
            exit_code=2,
        )
    key = _create_on_aws(stack, workspace) if stack else _create_here(data_dir, workspace)
    if as_json:
        print_json({"workspace": workspace, "key": key})
    else:
        complain("keep this key; it is not shown again")
        typer.echo(key)


def _create_here(data_dir: Path, workspace: str) -> str:
    chosen = settings(data_dir=data_dir, model="scripted")
    _prepare_data_dir(chosen.data_dir)
    from freehold.adapters.sqlite import (  # noqa: PLC0415 - no other command pays
        SqliteRecords,
        StoreUnusable,
    )
    from freehold.services.keys import create_key  # noqa: PLC0415 - as above

    # The store alone: a server that runs in this directory has everything else of it.
    try:
        records = SqliteRecords(chosen.data_dir / "freehold.db")
    except StoreUnusable as failed:
        raise CommandFailed(str(failed)) from failed
    try:
        return create_key(records, workspace)
    finally:
        records.close()


def _create_on_aws(stack: str, workspace: str) -> str:
    from freehold.adapters.aws_clients import client  # noqa: PLC0415 - no other command pays
    from freehold.adapters.aws_stack import AwsStack, StackUnusable  # noqa: PLC0415 - as above
    from freehold.bootstrap_aws import records  # noqa: PLC0415 - as above
    from freehold.services.keys import create_key  # noqa: PLC0415 - as above

    try:
        table = AwsStack(stack, client).output("TableName")
    except StackUnusable as failed:
        raise CommandFailed(str(failed)) from failed
    return create_key(records(table), workspace)


def _prepare_data_dir(data_dir: Path) -> None:
    """Makes the data directory, readable by its owner only.

    Raises CommandFailed when it cannot be used.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as failed:
        raise CommandFailed(f"--data-dir {data_dir}: {failed.strerror}") from failed
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise CommandFailed(f"--data-dir {data_dir}: not writable by this user")
