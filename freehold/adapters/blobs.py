"""`Blobs` in a directory. Complete or absent: written aside, synced, then linked into place."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from freehold.errors import Unavailable

_log = logging.getLogger("freehold.blobs")

_INCOMING = ".incoming"
_SUFFIX = ".blob"
_MAX_SEGMENT = 240
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class DirectoryBlobs:
    """One file a blob, owner-only; the segments of a name are directories.

    A segment is percent-encoded, dots included, so no name leaves the directory, a blob never meets
    a directory of its own name, and a prefix of a name is a prefix of its path.
    """

    def __init__(self, directory: Path, *, is_shared: bool = False) -> None:
        """Creates the directory, removes what a crash left half written. One process at a time;
        `is_shared`: beside a process that has it, which may be writing. Nothing is removed then.
        """
        self._directory = directory
        self._incoming = directory / _INCOMING
        self._lock = threading.Lock()
        if is_shared:
            return
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(mode=0o700, parents=True)

    def put(self, name: str, data: bytes) -> None:
        """On the disk when it returns. Raises ValueError when the name holds other bytes,
        Unavailable when the disk does not take them.
        """
        path = self._path(name)
        draft = self._incoming / os.urandom(16).hex()
        with _unavailable("written"):
            try:
                _write(draft, data)
                self._place(draft, path)
            except FileExistsError:
                if path.read_bytes() != data:
                    raise ValueError(f"blob {name} was written with other bytes") from None
                _sync(path.parent)  # whoever linked it may have died before
            finally:
                # Also what was half written: it holds the space that is missing.
                draft.unlink(missing_ok=True)

    def get(self, name: str) -> bytes:
        """As the port. Raises Unavailable when the disk does not give it."""
        path = self._path(name)
        with _unavailable("read"):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                raise KeyError(name) from None

    def delete(self, prefix: str) -> None:
        """Raises ValueError for an empty prefix, which would be everything."""
        if not prefix:
            raise ValueError("an empty prefix names every blob")
        *segments, start = map(_encode, prefix.split("/"))
        top = self._directory.joinpath(*segments)
        with self._lock:
            if not top.is_dir():
                return
            for path in list(top.iterdir()):
                if not path.name.startswith(start):
                    continue
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            _sync(top)
            self._remove_empty(top)

    def _place(self, draft: Path, path: Path) -> None:
        with self._lock:
            _make_directories(path.parent)
            os.link(draft, path)
            _sync(path.parent)

    def _remove_empty(self, directory: Path) -> None:
        while directory != self._directory and not any(directory.iterdir()):
            directory.rmdir()
            directory = directory.parent
            _sync(directory)

    def _path(self, name: str) -> Path:
        segments = [_encode(segment) for segment in name.split("/")]
        if not all(segments) or max(map(len, segments)) > _MAX_SEGMENT:
            raise ValueError(f"{name!r} cannot name a blob")
        return self._directory.joinpath(*segments[:-1], segments[-1] + _SUFFIX)


@contextmanager
def _unavailable(what: str) -> Iterator[None]:
    """Turns the disk's refusal into an answer that says what to do."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        _log.error("blob_refused", extra={"reason": reason})
        message = f"The disk of the server's data directory cannot be {what}: {reason}."
        if error.errno in _FULL:
            message += " Free some space on it, then try again."
        raise Unavailable(message, retry_after=5) from error


def _encode(segment: str) -> str:
    return quote(segment, safe="").replace(".", "%2E")


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _make_directories(path: Path) -> None:
    """Also their entries must survive a power cut, or the blob is lost with them."""
    if not path.is_dir():
        _make_directories(path.parent)
        path.mkdir(mode=0o700)
        _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
