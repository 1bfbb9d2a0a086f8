"""Brings a file of an earlier schema version up to date, on a copy that takes its place when all is
done: a crash before that moment leaves the file as it was, and the next start begins anew.

The file itself becomes the backup, `freehold.db.v1` beside it. To go back, stop the server, put it
in the place of `freehold.db` and start the release that wrote it; what was written since is lost.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from freehold import schema
from freehold.adapters.sqlite.connections import BUSY_SECONDS, StoreUnusable, version_of
from freehold.adapters.sqlite.records import SqliteRecords
from freehold.errors import Unavailable
from freehold.ports import Records

_COMPANIONS = ("", "-wal", "-shm", "-journal")

Upgrade = Callable[[Records], object]


@dataclass(frozen=True, slots=True)
class Migrated:
    """`backup` is the file as it was, of schema version `before`."""

    before: int
    backup: Path


def stored_version(path: Path) -> int:
    """The schema version of the file; 0 where there is none. Changes nothing. Raises StoreUnusable
    for what this release cannot use.
    """
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
            connection.execute("PRAGMA query_only = ON")
            return version_of(connection)
    except sqlite3.Error as error:
        raise _unusable(path, error) from error


def migrate(path: Path, upgrade: Upgrade = schema.migrate) -> Migrated | None:
    """None where there is nothing to do. The caller has the data directory to itself.

    `upgrade` changes the copy. Raises StoreUnusable, with the file as it was.
    """
    copy = path.with_name(f"{path.name}.migrating")
    _remove(copy)
    before = stored_version(path)
    if before in (0, schema.VERSION):
        return None
    try:
        with _alone(path) as connection:
            _copy(connection, copy)
            with closing(SqliteRecords(copy)) as records:
                upgrade(records)
            _sync(copy)
            backup = _keep(path, before)
            os.replace(copy, path)  # noqa: PTH105 - the one step that counts, by its own name
            _sync(path.parent)
    except (sqlite3.Error, OSError, Unavailable) as error:
        _remove(copy)
        raise _unusable(path, error) from error
    return Migrated(before, backup)


@contextmanager
def _alone(path: Path) -> Iterator[sqlite3.Connection]:
    """Nobody else has the file open, and nobody opens it before the end. All of it is in one file:
    a log left beside it would be taken for the new file's.
    """
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        # Only now: in this mode a change of the journal's would leave a journal behind.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")  # the lock stays, in this mode
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode != "delete":
            raise sqlite3.OperationalError("another program has just opened it")
        yield connection


def _copy(connection: sqlite3.Connection, copy: Path) -> None:
    """As of the version to come: what opens it is the code of that version."""
    os.close(os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(copy, isolation_level=None)) as target:
        connection.backup(target)
        target.execute(f"PRAGMA user_version = {schema.VERSION}")


def _keep(path: Path, version: int) -> Path:
    """A second name for the file, beside it. An earlier backup is never overwritten."""
    for n in count(1):
        backup = path.with_name(f"{path.name}.v{version}" + (f".{n}" if n > 1 else ""))
        with suppress(FileExistsError):
            os.link(path, backup)
            return backup
        if backup.samefile(path):
            return backup  # of an attempt that ended right here
    raise AssertionError("unreachable")


def _remove(copy: Path) -> None:
    for suffix in _COMPANIONS:
        copy.with_name(copy.name + suffix).unlink(missing_ok=True)


def _sync(place: Path) -> None:
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unusable(path: Path, error: Exception) -> StoreUnusable:
    return StoreUnusable(f"Cannot use {path} as a store: {error}.")
