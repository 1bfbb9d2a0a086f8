"""The one thread that writes. What waits while a commit is synced is the next group: one sync for
all of it.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence

from freehold.adapters.sqlite.connections import Connections
from freehold.adapters.sqlite.transaction import Change, Transaction, apply
from freehold.errors import AmbiguousWrite, Unavailable
from freehold.keys import Key

_log = logging.getLogger("freehold.store")
_QUIET_SECONDS = 1.0
_FULL = "The disk of the server's data directory is full. Free some space on it, then try again."
_REFUSED = "The store cannot take the write. The server's log says why."

Stream = Callable[[Sequence[Key]], None]


class _Submission:
    """A transaction and the wait for its outcome: unknown, until something else is certain."""

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self.error: Exception | None = AmbiguousWrite("the store failed while it wrote")
        self._is_over = threading.Lock()
        self._is_over.acquire()

    def finish(self) -> None:
        self._is_over.release()

    def wait(self) -> None:
        self._is_over.acquire()
        if self.error is not None:
            raise self.error


class Writer:
    """Owns the writing side of `connections` until `stop`."""

    def __init__(self, connections: Connections, stream: Stream | None) -> None:
        self._connections = connections
        self._stream = stream
        self._queue: queue.SimpleQueue[_Submission | None] = queue.SimpleQueue()
        self._entry = threading.Lock()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="freehold-store", daemon=True)
        self._thread.start()

    def write(self, transaction: Transaction) -> None:
        """Returns once it is committed and the stream has heard of it."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("the store's stream must not write to the store")
        submission = _Submission(transaction)
        with self._entry:
            if self._is_stopped:
                raise Unavailable("The store is closed.")
            self._queue.put(submission)
        submission.wait()

    def stop(self) -> None:
        """Ends after everything submitted before. May be called again."""
        with self._entry:
            if not self._is_stopped:
                self._is_stopped = True
                self._queue.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # ------------------------------------------------------------ on the thread
    def _run(self) -> None:
        is_dirty = False
        while True:
            try:
                first = self._queue.get(timeout=_QUIET_SECONDS if is_dirty else None)
            except queue.Empty:
                self._truncate_log()
                is_dirty = False
                continue
            group, is_last = self._gather(first)
            if group:
                self._write_group(group)
                is_dirty = True
            if is_last:
                if is_dirty:  # another process may have the file open, and write nothing for long
                    self._truncate_log()
                return

    def _gather(self, first: _Submission | None) -> tuple[list[_Submission], bool]:
        """Everything that waits now, and whether the end is among it."""
        group: list[_Submission] = []
        while first is not None:
            group.append(first)
            try:
                first = self._queue.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _write_group(self, group: Sequence[_Submission]) -> None:
        changes: list[Change] = []
        try:
            with self._connections.writing() as connection:
                changes = _commit(connection, group)
        except Unavailable as error:
            _log.error("write_refused", extra={"reason": error.message})
            for submission in group:
                submission.error = error
        except Exception:  # noqa: BLE001 - the callers learn it; who comes next must not wait for ever
            _log.exception("writer_failed")
        finally:
            if changes and self._stream is not None:
                try:
                    self._stream([change.key for change in changes])
                except Exception:  # noqa: BLE001 - the commit must be answered all the same
                    _log.exception("stream_failed")
            for submission in group:
                submission.finish()

    def _truncate_log(self) -> None:
        """Empties the log into the file: frames of deleted items must not lie there for ever."""
        try:
            with self._connections.writing() as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except (sqlite3.Error, Unavailable):
            # Nothing is lost: the log still holds it all, and the next commits checkpoint too.
            _log.exception("checkpoint_failed")


def _commit(connection: sqlite3.Connection, group: Sequence[_Submission]) -> list[Change]:
    """One SQLite transaction for the group. Answers what was committed; the rest learns its error.

    An error of SQLite before the commit undoes the whole group, and each then tries alone: one that
    does not fit on the disk must not fail its neighbours.
    """
    try:
        changes, taken = _perform(connection, group)
        _end(connection)
    except AmbiguousWrite:
        _roll_back(connection)
        return []
    except Exception as error:  # noqa: BLE001 - handed to the thread that waits for the outcome
        _roll_back(connection)
        if len(group) > 1:
            return [change for submission in group for change in _commit(connection, [submission])]
        group[0].error = _as_unavailable(error)
        return []
    for submission in taken:
        submission.error = None
    return changes


def _perform(
    connection: sqlite3.Connection, group: Sequence[_Submission]
) -> tuple[list[Change], list[_Submission]]:
    """What was written, and for whom. A refused submission has its error already."""
    connection.execute("BEGIN IMMEDIATE")
    done: list[Change] = []
    taken: list[_Submission] = []
    for submission in group:
        try:
            changes = submission.transaction.judge(connection)
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - as above; nothing of it was written
            submission.error = error
            continue
        apply(connection, changes)
        done += changes
        taken.append(submission)
    return done, taken


def _end(connection: sqlite3.Connection) -> None:
    """Raises AmbiguousWrite where the log may hold the commit although its sync failed: a crash now
    could bring it to life. A full disk is certain: the frame that commits is written last.
    """
    try:
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise
        _log.error("commit_failed", extra={"code": error.sqlite_errorname})
        raise AmbiguousWrite("the commit failed") from error


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _as_unavailable(error: Exception) -> Exception:
    if not isinstance(error, sqlite3.Error | MemoryError):
        return error
    code = error.sqlite_errorname if isinstance(error, sqlite3.Error) else "out of memory"
    _log.error("write_refused", extra={"reason": code})
    is_full = code == "SQLITE_FULL"
    unavailable = Unavailable(_FULL if is_full else _REFUSED, retry_after=5 if is_full else 1)
    unavailable.__cause__ = error
    return unavailable
