"""Packages that are installed already, below the data directory.

{data_dir}/packages/{key}                     what was installed, whole
{data_dir}/packages/{key}.lock                held for as long as somebody builds or uses it
{data_dir}/packages/{key}.building-{random}   an installation that goes on, or did not end

The key is a digest of everything that decides what is in there: the packages, the machine and its
interpreter, and whose they are. Two workspaces never share what code of one of them has written.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.adapters.subprocess_sandbox.directories import remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from freehold.toolset.packages import Packages

_LAYOUT = 1
"""Of what `sandbox_task.managers` puts where. Another layout is another prefix."""
_UNUSED_SECONDS = 30 * 24 * 3600.0
_BUILDING = ".building-"


class HeldPrefix:
    """An installed prefix, which stays for as long as this is held."""

    def __init__(self, directory: Path, lock: int) -> None:
        self.directory = directory
        self._lock = lock

    def release(self) -> None:
        os.close(self._lock)


class Prefixes:
    """For many threads, and for several processes on one directory."""

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir.absolute() / "packages"

    def hold(self, key: str) -> HeldPrefix | None:
        """None where it is not installed."""
        with suppress(FileNotFoundError):
            lock = os.open(self._root / f"{key}.lock", os.O_RDONLY | os.O_CLOEXEC)
            if self._is_there(key, lock):
                os.utime(lock)
                return HeldPrefix(self._root / key, lock)
            os.close(lock)
        return None

    def _is_there(self, key: str, lock: int) -> bool:
        """What somebody removes or builds at this moment is not."""
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return (self._root / key).is_dir()

    def build(self, key: str, install: Callable[[Path], None]) -> None:
        """Has it installed into an empty directory and keeps that when `install` returns. Of those
        who want the same at once one installs, the others wait. Raises what `install` raises.
        """
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sweep()
        with self._alone(key):
            if (self._root / key).is_dir():
                return
            building = Path(tempfile.mkdtemp(prefix=f"{key}{_BUILDING}", dir=self._root))
            try:
                install(building)
                os.sync()  # before the name: it must never mean half of it
                (building / "prefix").rename(self._root / key)
            finally:
                remove_tree(building)

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        lock = os.open(self._root / f"{key}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _sweep(self) -> None:
        """Removes what dead servers did not finish and what nobody has used for a month."""
        for path in list(self._root.glob("*.lock")):
            with suppress(OSError):
                self._clear(path, path.name.removesuffix(".lock"))

    def _clear(self, path: Path, key: str) -> None:
        """Raises OSError where somebody has it, or had."""
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in self._root.glob(f"{key}{_BUILDING}*"):
                remove_tree(left)
            if time.time() - os.fstat(lock).st_mtime > _UNUSED_SECONDS:
                remove_tree(self._root / key)
        finally:
            os.close(lock)


def key_of(workspace_id: str, packages: Packages, rung: str) -> str:
    """The same for the same packages in the same order on the same kind of machine."""
    decides = [_LAYOUT, workspace_id, rung, *_machine(), {**packages}]
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()


def _machine() -> list[str]:
    system = {}
    with suppress(OSError):
        system = platform.freedesktop_os_release()
    return [
        platform.machine(),
        f"{sys.version_info.major}.{sys.version_info.minor}",
        system.get("ID", ""),
        system.get("VERSION_ID", ""),
    ]
