"""`freehold keys`: API keys of a data directory."""

from __future__ import annotations

import os
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.options import (
    DEFAULT_DATA_DIR,
    DataDir,
    JsonOption,
    StackOption,
)
from freehold.cli.stores import open_records
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
    stack: StackOption = None,
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
    from freehold.services.keys import create_key  # noqa: PLC0415 - no other command pays

    if stack is None:
        _prepare_data_dir(data_dir)
    with open_records(data_dir, stack) as records:
        key = create_key(records, workspace)
    if as_json:
        print_json({"workspace": workspace, "key": key})
    else:
        complain("keep this key; it is not shown again")
        typer.echo(key)


@keys.command("list")
def list_(
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    stack: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the API keys that were created, oldest first: never the keys themselves.

    FREEHOLD_API_KEY, which a server may be started with, is not among them.
    """
    from freehold.services.keys import list_keys  # noqa: PLC0415 - no other command pays

    with open_records(data_dir, stack) as records:
        found = list_keys(records)
    if as_json:
        print_json([asdict(key) for key in found])
        return
    for key in found:
        ended = f"  revoked {key.revoked_at}" if key.revoked_at else ""
        typer.echo(f"{key.id}  {key.workspace}  …{key.last_characters}  {key.created_at}{ended}")


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="As `keys list` shows it: `apikey_…`.")],
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    stack: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke an API key, for good. A running server refuses it from its next request on."""
    from freehold.errors import NotFound  # noqa: PLC0415 - no other command pays
    from freehold.services.keys import revoke_key  # noqa: PLC0415 - as above

    with open_records(data_dir, stack) as records:
        try:
            key = revoke_key(records, key_id)
        except NotFound as unknown:
            raise CommandFailed(unknown.message) from unknown
    if as_json:
        print_json(asdict(key))
    else:
        typer.echo(f"{key.id} was revoked at {key.revoked_at}")


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
