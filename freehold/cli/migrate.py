"""`freehold migrate`: a store of an earlier release, brought to this one's schema version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from freehold.cli.options import DEFAULT_DATA_DIR, DataDir, StackOption
from freehold.cli.stores import table_of
from freehold.cli.terminal import CommandFailed

if TYPE_CHECKING:
    from pathlib import Path


def migrate(*, data_dir: DataDir = DEFAULT_DATA_DIR, stack: StackOption = None) -> None:
    """Bring the store to the schema version of this release, as `freehold serve` does by itself.

    A data directory must not be served meanwhile; its database is kept beside the new one. An
    installation on AWS is migrated while it works, after a deployment; doing it again does nothing.
    """
    typer.echo(_of_stack(stack) if stack is not None else _of_data_dir(data_dir))


def _of_stack(stack: str) -> str:
    from freehold.errors import NewerStore  # noqa: PLC0415 - no other command pays
    from freehold.schema import VERSION, migrate  # noqa: PLC0415 - as above

    try:
        with table_of(stack) as records:
            before = migrate(records).version
    except NewerStore as newer:
        raise CommandFailed(str(newer)) from newer
    if before == VERSION:
        return f"schema version {VERSION} already"
    return f"schema version {before} became {VERSION}"


def _of_data_dir(data_dir: Path) -> str:
    from freehold.adapters.sqlite import StoreUnusable  # noqa: PLC0415 - no other command pays
    from freehold.local.data_dir import DataDirLock, DataDirUnusable  # noqa: PLC0415 - as above
    from freehold.local.store import bring_up_to_date  # noqa: PLC0415 - as above
    from freehold.schema import VERSION  # noqa: PLC0415 - as above

    if not data_dir.is_dir():
        raise CommandFailed(f"--data-dir {data_dir}: there is no such directory")
    try:
        lock = DataDirLock(data_dir)
        try:
            migrated = bring_up_to_date(data_dir)
        finally:
            lock.close()
    except (DataDirUnusable, StoreUnusable) as failed:
        raise CommandFailed(str(failed)) from failed
    if migrated is None:
        return f"schema version {VERSION} already"
    return f"schema version {migrated.before} became {VERSION}; as it was: {migrated.backup}"
