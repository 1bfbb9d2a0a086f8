"""The supervisor's side of a prefix that other sandboxes use as well: taken as one archive when it
is installed and before a tool has run, or filled from one.
"""

# ruff: noqa: PTH108, PTH120, PTH100, PTH123 - pathlib is slow to import

from __future__ import annotations

import hashlib
import os
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Timer
from typing import TYPE_CHECKING, BinaryIO

from freehold.toolset.packages import MAX_ARCHIVE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_task.launch import Launcher
    from sandbox_task.settings import Settings
    from sandbox_task.trees import Tree
    from sandbox_task.watchdog import Watchdog

_SECONDS = 60.0
"""What brings an archive, or takes one, has no longer (`dispatch`)."""
_CHUNK = 1 << 20
_PROGRAM = (
    f"import sys; sys.path[:0] = {[os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]!r};"
    " from sandbox_task.package_archive import main; main()"
)


class ArchiveRefused(Exception):
    """It did not come whole, or is none of packages. The prefix is as it was."""


class NotCleared(Exception):
    """What an archive left is still in the prefix: nothing may run in this boot."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An archive on the supervisor's disk. `digest` is its SHA-256 in hexadecimal."""

    path: str
    size: int
    digest: str


class KeptPrefix:
    """Whose processes are the installing user's. One at a time."""

    def __init__(self, settings: Settings, launcher: Launcher, watchdog: Watchdog) -> None:
        self._prefix = settings.packages
        self._path = f"{settings.state}/packages.tar.gz"
        self._launcher = launcher
        self._watchdog = watchdog

    def take(self) -> Kept | None:
        """The prefix as it is; None where it is no tree that can be kept, or too large."""
        digest, size = hashlib.sha256(), 0
        try:
            with self._program("pack") as tree, open(self._path, "wb") as file:
                while chunk := os.read(tree.stdout.fileno(), _CHUNK):
                    size += len(chunk)
                    if size > MAX_ARCHIVE_BYTES:
                        break
                    digest.update(chunk)
                    file.write(chunk)
                is_whole = size <= MAX_ARCHIVE_BYTES and _succeeded(tree)
        except OSError:
            is_whole = False
        if not is_whole:
            self.drop()
            return None
        return Kept(self._path, size, digest.hexdigest())

    def drop(self) -> None:
        """The archive that was taken, if one was."""
        with suppress(FileNotFoundError):
            os.unlink(self._path)

    def fill(self, content: BinaryIO, digest: str) -> None:
        """The prefix from an archive of this digest. Raises ArchiveRefused, NotCleared."""
        try:
            self._unpack(content, digest)
        except (OSError, ArchiveRefused) as failed:
            self._clear()
            raise ArchiveRefused from failed

    def _unpack(self, content: BinaryIO, digest: str) -> None:
        found, until = hashlib.sha256(), time.monotonic() + _SECONDS
        with self._program("unpack") as tree:
            while chunk := content.read(_CHUNK):
                found.update(chunk)
                if time.monotonic() > until:
                    raise ArchiveRefused
                _write(tree.stdin.fileno(), chunk)
            tree.stdin.close()
            if found.hexdigest() != digest or not _succeeded(tree):
                raise ArchiveRefused

    def _clear(self) -> None:
        try:
            with self._program("clear") as tree:
                tree.stdin.close()
                if _succeeded(tree):
                    return
        except OSError as failed:
            raise NotCleared from failed
        raise NotCleared

    @contextmanager
    def _program(self, what: str) -> Iterator[Tree]:
        """Nothing of it is left afterwards, nor is anything of it longer than its time."""
        command = (sys.executable, "-I", "-S", "-c", _PROGRAM, what, self._prefix)
        tree = self._launcher.launch(command, {"LANG": "C.UTF-8"})
        limit = Timer(_SECONDS, tree.kill, ["too slow"])
        limit.start()
        self._watchdog.watch(tree)
        self._watchdog.begin(tree)
        try:
            yield tree
        finally:
            limit.cancel()
            self._watchdog.end(tree)
            tree.close()


def _succeeded(tree: Tree) -> bool:
    """Its output is read to the end first: it may have something left to say."""
    while os.read(tree.stdout.fileno(), _CHUNK):
        pass
    return tree.wait() == 0


def _write(descriptor: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
