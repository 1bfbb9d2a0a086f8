"""What this boot of the sandbox was asked to do: a file that only grows, and an index of it.

Nothing is executed that is not written here first, so a call is executed at most once per boot.
Results stay in the file, not in memory: a session may read many large files.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from freehold.toolset import JsonObject


@dataclass(frozen=True, slots=True)
class CallKey:
    """Names a call within a session."""

    thread_id: str
    event_id: str


class Journal:
    """Belongs to one supervisor. `path` must not exist: a journal says what one boot has done."""

    def __init__(self, path: str) -> None:
        self._file = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self._lock = Lock()
        self._results: dict[CallKey, tuple[int, int]] = {}
        self._size = 0

    def note(self, what: Literal["started", "cancelled"], key: CallKey, digest: str) -> None:
        """Written before it is acted on."""
        self._append({"what": what, **_named(key), "digest": digest})

    def put_result(self, key: CallKey, result: JsonObject) -> None:
        self._results[key] = self._append({"what": "done", **_named(key), "result": result})

    def result(self, key: CallKey) -> JsonObject | None:
        """What `put_result` was given; None when nothing was."""
        place = self._results.get(key)
        if place is None:
            return None
        result = json.loads(os.pread(self._file, place[1], place[0]))["result"]
        assert isinstance(result, dict)
        return result

    def _append(self, entry: JsonObject) -> tuple[int, int]:
        """Offset and length of the line."""
        line = json.dumps(entry).encode() + b"\n"
        with self._lock:
            offset = self._size
            left = memoryview(line)
            while left:
                written = os.write(self._file, left)
                self._size += written
                left = left[written:]
        return offset, len(line)


def _named(key: CallKey) -> JsonObject:
    return {"thread_id": key.thread_id, "event_id": key.event_id}
