"""What a command prints, on its way to the model: bounded while it runs, complete up to a limit,
and in a file when it is too long for a result.
"""

# ruff: noqa: PTH108, PTH123 - pathlib is slow to import

from __future__ import annotations

import os
import re
from contextlib import suppress
from threading import Lock

from freehold.toolset import MAX_KEPT_OUTPUT_BYTES, MAX_RESULT_CHARACTERS, excerpt

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_MAX_STORED_BYTES = 256 * 1024 * 1024


class Output:
    """Bytes of a command in order. Of more than 16 MiB the first and the last half are kept."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, chunk: bytes) -> None:
        half = MAX_KEPT_OUTPUT_BYTES // 2
        room = max(0, half - len(self._head))
        self._head += chunk[:room]
        self._tail += chunk[room:]
        # The tail is cut now and then, not with every chunk: each cut moves all of it.
        if len(self._tail) > 2 * half:
            self._dropped += len(self._tail) - half
            del self._tail[: len(self._tail) - half]

    def last(self, count: int) -> bytes:
        """The last `count` bytes, or all there are."""
        if len(self._tail) >= count:
            return bytes(self._tail[-count:])
        return bytes((self._head[-count:] + self._tail)[-count:])

    def text(self) -> str:
        """Without terminal escapes; what is no UTF-8 becomes the replacement character."""
        middle = f"\n[{self._dropped} bytes left out here]\n".encode() if self._dropped else b""
        whole = bytes(self._head) + middle + bytes(self._tail)
        return _ESCAPES.sub("", whole.decode(errors="replace"))


class LongResults:
    """Files for results of more than 100,000 characters; the tools can read, not write, them."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._lock = Lock()
        self._stored: dict[str, int] = {}

    def shorten(self, text: str, event_id: str) -> str:
        """`text` itself when it is short enough, else its beginning and end and where the whole is.

        The oldest files go when all together exceed 256 MiB. Raises OSError.
        """
        if len(text) <= MAX_RESULT_CHARACTERS:
            return text
        path = f"{self._directory}/{event_id}.txt"
        self._store(path, text.encode(errors="replace"))
        return excerpt(text, f"all of them are in {path}")

    def _store(self, path: str, content: bytes) -> None:
        with self._lock:
            while self._stored and sum(self._stored.values()) + len(content) > _MAX_STORED_BYTES:
                oldest = next(iter(self._stored))
                with suppress(FileNotFoundError):
                    os.unlink(oldest)
                del self._stored[oldest]
            with open(path, "wb") as file:
                os.fchmod(file.fileno(), 0o644)
                file.write(content)
            self._stored[path] = len(content)
