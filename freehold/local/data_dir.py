"""The data directory belongs to one server at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class DataDirUnusable(Exception):
    """The message is one line for the person who started the server."""


class DataDirLock:
    """Held from construction to `close`, or to the end of the process however it ends."""

    def __init__(self, directory: Path) -> None:
        """Creates the directory for its owner alone. Raises DataDirUnusable."""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirUnusable(f"Cannot use {directory}: {error.strerror}.") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise DataDirUnusable(
                f"{directory} is in use by another server. Stop it, or give another --data-dir."
            ) from None

    def close(self) -> None:
        os.close(self._file)
