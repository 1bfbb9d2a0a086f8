"""Saves, restores and erases the files of slots, on the one file system that it mounts.

Sandboxes have no credentials and reach only their own files, so somebody else moves them.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from functions.workspaces import trees

_ERASE_SECONDS = 8.0
"""Whoever asks waits for the answer."""
_DIRECTORIES = ("workspace", "outputs")
_RESTORE_SECONDS = 1_000.0
"""This function has 900 for one."""
_LAST = "workspace"
"""Renamed into place last: where it is, a restore is complete."""


class Archives(Protocol):
    """`freehold.adapters.fargate_sandbox.archives`."""

    def has(self, name: str) -> bool: ...

    def write(self, name: str, content: BinaryIO) -> None: ...

    def read(self, name: str) -> BinaryIO: ...


class SaveFailed(Exception):
    """The tree could not be read to its end; nothing was stored."""


def make_handler(
    root: Path, archives: Archives, owner: int
) -> Callable[[Any, Any], dict[str, Any]]:
    """Takes `{"save" | "restore": slot, "object": name}`, `{"look" | "erase": slot}` or
    `{"list": true}`. Each may be repeated, and be under way twice. `owner` is whom files belong to.
    """
    files = _Files(root, archives, owner)

    def handler(event: Any, _context: Any) -> dict[str, Any]:
        if "save" in event:
            files.save(event["save"], event["object"])
            return {}
        if "restore" in event:
            files.restore(event["restore"], event["object"])
            return {}
        if "look" in event:
            return {"is_restored": files.directory(event["look"], _LAST).exists()}
        if "erase" in event:
            return {"is_erased": files.erase(event["erase"])}
        return {"slots": files.slots()}

    return handler


class _Files:
    """Directories at the top of the file system: `{slot}-workspace`, `{slot}-outputs`."""

    def __init__(self, root: Path, archives: Archives, owner: int) -> None:
        self._root = root
        self._archives = archives
        self._owner = owner

    def directory(self, slot_id: str, name: str) -> Path:
        if not slot_id.replace("_", "").isalnum():
            raise ValueError("not a slot's id")
        return self._root / f"{slot_id}-{name}"

    def slots(self) -> list[str]:
        """Ids, and names of what a restore left that was cut short. What one may be unpacking now
        is nobody's yet and not to be erased, so it is left out.
        """
        found = [path for path in self._root.iterdir() if not _may_be_unpacked(path)]
        return sorted({path.name.rpartition("-")[0] for path in found})

    def save(self, slot_id: str, name: str) -> None:
        """Raises SaveFailed, and nothing is stored then. Lambda may bring a request once more when
        it was done long ago, and its files are erased.
        """
        if self._archives.has(name):
            return
        roots = {one: self.directory(slot_id, one) for one in _DIRECTORIES}
        present = {one: path for one, path in roots.items() if path.exists()}
        with _Packing(present) as content:
            self._archives.write(name, content)

    def restore(self, slot_id: str, name: str) -> None:
        """Unpacked beside, then renamed: of two that do it at once one is in place, whole."""
        if self.directory(slot_id, _LAST).exists():
            return
        apart = f"{slot_id}_{os.urandom(8).hex()}"
        parts = {one: self.directory(apart, one) for one in _DIRECTORIES}
        try:
            with self._archives.read(name) as content:
                trees.unpack(content, parts, self._owner)
            for one in sorted(_DIRECTORIES, key=_LAST.__eq__):
                with suppress(FileExistsError, OSError):
                    parts[one].rename(self.directory(slot_id, one))
        finally:
            for path in parts.values():
                shutil.rmtree(path, ignore_errors=True)

    def erase(self, slot_id: str) -> bool:
        until = time.monotonic() + _ERASE_SECONDS
        return all(trees.erase(self.directory(slot_id, one), until) for one in _DIRECTORIES)


def _may_be_unpacked(path: Path) -> bool:
    if path.name.count("_") == 1:  # a slot's own
        return False
    try:
        return path.stat().st_ctime > time.time() - _RESTORE_SECONDS
    except FileNotFoundError:  # in its place by now
        return True


class _Packing:
    """An archive as it is made, to be read from: a tree is larger than this process."""

    def __init__(self, roots: dict[str, Path]) -> None:
        self._roots = roots
        self._error: Exception | None = None
        read, self._write = os.pipe()
        self._reader = os.fdopen(read, "rb")
        self._thread = threading.Thread(target=self._pack)

    def __enter__(self) -> Any:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._thread.join()

    def read(self, size: int = -1) -> bytes:
        """Raises SaveFailed in place of an end that is none. Less than was asked for is the end:
        nobody has to ask again behind it.
        """
        found = self._reader.read(size)
        if size < 0 or len(found) < size:
            self._thread.join()
            if self._error is not None:
                raise SaveFailed(str(self._error)) from self._error
        return found

    def _pack(self) -> None:
        try:
            with os.fdopen(self._write, "wb") as content:
                trees.pack(self._roots, content)
        except Exception as error:  # noqa: BLE001 - raised where it is read
            self._error = error
