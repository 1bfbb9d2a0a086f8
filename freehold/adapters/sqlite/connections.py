"""Connections to one store: one that writes, and as many that read as threads read at once."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from freehold import schema
from freehold.adapters.sqlite.encoding import decode
from freehold.adapters.sqlite.transaction import Change, apply, to_row
from freehold.errors import Unavailable
from freehold.keys import SCHEMA

_APPLICATION_ID = 0x46524848
BUSY_SECONDS = 10.0
_IDLE_READERS = 16
_SCHEMA = """
CREATE TABLE items (
    pk TEXT NOT NULL,
    sk TEXT NOT NULL,
    due TEXT,
    size INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (pk, sk)
) WITHOUT ROWID;
CREATE INDEX items_due ON items (due) WHERE due IS NOT NULL;
"""

_INSPECT = """
SELECT (SELECT application_id FROM pragma_application_id),
       (SELECT user_version FROM pragma_user_version),
       (SELECT count(*) FROM sqlite_schema)
"""

_RELEASE = "SELECT value FROM items WHERE pk = ? AND sk = ?"

Synchronous = Literal["FULL", "NORMAL"]


class StoreUnusable(Exception):
    """The file cannot be used. The message is one line for the person who started the server."""


class Connections:
    """A file in WAL mode: readers see the last commit and never wait for the writer.

    `":memory:"` is one connection that reader and writer take in turns.
    """

    def __init__(self, path: Path | Literal[":memory:"], synchronous: Synchronous) -> None:
        """Opens the file, or creates it for its owner alone. Raises StoreUnusable."""
        self._path = path
        self._synchronous = synchronous
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._is_closed = False
        try:
            self._writing = self._prepared()
            self._file = self._identity()
        except (sqlite3.Error, OSError) as error:
            raise StoreUnusable(f"Cannot use {path} as a store: {error}.") from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """For the one thread that writes. Raises Unavailable when the file was moved or deleted:
        what SQLite still writes to it nobody would find again.
        """
        if self._path == ":memory:":
            with self._lock:
                yield self._writing
        else:
            self._check_place()
            yield self._writing

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """For any thread. An error of SQLite becomes Unavailable; so does a closed store."""
        if self._is_closed:
            raise Unavailable("The store is closed.")
        try:
            if self._path == ":memory:":
                with self._lock, _ended(self._writing):
                    yield self._writing
                return
            connection = self._reader()
            try:
                with _ended(connection):
                    yield connection
            finally:
                self._give_back(connection)
        except sqlite3.Error as error:
            raise Unavailable("The store cannot be read.") from error

    def close(self) -> None:
        """Nobody may be writing. Readers end with what they have begun."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        self._writing.close()

    def _reader(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            self._check_place()
            connection = self._connect()
            connection.execute("PRAGMA query_only = ON")
            return connection

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self._is_closed and len(self._idle) < _IDLE_READERS:
                self._idle.append(connection)
                return
        connection.close()

    def _identity(self) -> tuple[int, int] | None:
        """What the path names now; None where it names nothing."""
        if self._path == ":memory:":
            return None
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _check_place(self) -> None:
        if self._identity() != self._file:
            raise Unavailable(
                "The server's data directory was moved, deleted or replaced. Put it back, or stop "
                "the server and start it on the right one."
            )

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )

    def _prepared(self) -> sqlite3.Connection:
        if self._path != ":memory:":
            # SQLite gives its two further files the permissions of this one.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = self._connect()
        try:
            is_new = _is_new(connection)
            if self._path != ":memory:":
                _set_journal(connection)
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            # On macOS a plain sync stops at the disk's cache; elsewhere these two change nothing.
            connection.execute("PRAGMA fullfsync = ON")
            connection.execute("PRAGMA checkpoint_fullfsync = ON")
            # What is deleted is overwritten: a purged session leaves no content behind.
            connection.execute("PRAGMA secure_delete = ON")
            if is_new:
                _create_schema(connection)
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def _ended(connection: sqlite3.Connection) -> Iterator[None]:
    """Leaves no snapshot open behind a read that failed."""
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.rollback()


def _set_journal(connection: sqlite3.Connection) -> None:
    """SQLite does not wait for a lock here: two processes that create one file must repeat it."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    if mode != "wal":
        raise sqlite3.OperationalError("its file system has no shared memory for the WAL")


def version_of(connection: sqlite3.Connection) -> int:
    """The schema version of the file; 0 for an empty one. Raises OperationalError for what is not
    ours to open, a later version among it.
    """
    # One statement, one snapshot: another process may be creating the tables.
    application, version, tables = connection.execute(_INSPECT).fetchone()
    if not tables and not version:
        return 0
    if application != _APPLICATION_ID:
        raise sqlite3.OperationalError("it is a database of another program")
    if version > schema.VERSION:
        raise sqlite3.OperationalError(schema.refusal(_written_by(connection, version)))
    return int(version)


def _written_by(connection: sqlite3.Connection, version: int) -> schema.Schema:
    """Of a later version, of which only this much is known: where the item is, and its format."""
    row = connection.execute(_RELEASE, (SCHEMA.pk, SCHEMA.sk)).fetchone()
    release = schema.schema_of(decode(row[0])).release if row else ""
    return schema.Schema(version, release)


def _is_new(connection: sqlite3.Connection) -> bool:
    """Whether the file is empty. Raises OperationalError for what cannot be used as it is."""
    version = version_of(connection)
    if 0 < version < schema.VERSION:
        raise sqlite3.OperationalError(
            f"it has schema version {version}; `freehold serve` or `freehold migrate` brings it to "
            f"{schema.VERSION} and keeps a copy of it as it is"
        )
    return version == 0


def _create_schema(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    if _is_new(connection):
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        apply(connection, [Change(SCHEMA, to_row(SCHEMA, schema.current_item()))])
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {schema.VERSION}")
    connection.execute("COMMIT")
