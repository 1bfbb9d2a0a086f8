"""`Blobs` in a directory. A blob is complete or absent: written beside, synced, renamed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import quote, unquote


class DirectoryBlobs:
    """One file a blob; a name's segments become directories, encoded so that none can climb out."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, name: str, data: bytes) -> None:
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.urandom(8).hex()}.part")
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync_directory(path.parent)

    def get(self, name: str) -> bytes:
        """Raises KeyError when absent."""
        try:
            return self._path(name).read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            raise KeyError(name) from None

    def delete(self, prefix: str) -> None:
        """Deletes every blob whose name starts with `prefix`."""
        top = self._directory
        for part in prefix.split("/")[:-1]:
            top /= _encode(part)
        for path in sorted(top.rglob("*"), reverse=True):
            if path.is_dir():
                if not any(path.iterdir()):
                    path.rmdir()
            elif self._name(path).startswith(prefix):
                path.unlink()

    def _path(self, name: str) -> Path:
        path = self._directory
        for part in name.split("/"):
            path /= _encode(part)
        return path

    def _name(self, path: Path) -> str:
        return "/".join(unquote(part[1:]) for part in path.relative_to(self._directory).parts)


def _encode(part: str) -> str:
    """A file name for any text: marked, percent-encoded, and a digest where it would be too
    long.
    """
    encoded = "_" + quote(part, safe="")
    if len(encoded) > 200:  # noqa: PLR2004 - below every file system's 255
        return f"{encoded[:130]}{hashlib.sha256(part.encode()).hexdigest()}"
    return encoded


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
