"""One boot of one sandbox, from start to stop."""

from __future__ import annotations

import json
import select
import time
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from freehold.adapters.subprocess_sandbox.client import SupervisorClient
from freehold.errors import SandboxLost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freehold.adapters.subprocess_sandbox.rungs import Launched, Rung, Start
    from freehold.ports import Secrets
    from freehold.toolset import JsonObject

_START_SECONDS = 20.0
_LAST_WORDS = 500


class RunningSandbox:
    """`boot_id` is the supervisor's own word for this boot."""

    def __init__(self, launched: Launched, secrets: Secrets, start: Start, rung: Rung) -> None:
        """Waits until the supervisor listens. Raises CannotStart; nothing is left running then."""
        self._launched = launched
        self.directories = start.directories
        self._lock = Lock()
        self._in_use = 0
        self._used_at = time.monotonic()
        self._is_stopped = False
        try:
            self.boot_id = _await_boot_id(launched)
        except SandboxLost:
            launched.stop()
            raise rung.explain(_last_words(start)) from None
        self._client = SupervisorClient(launched.connect, secrets, start.session_id, self.boot_id)

    @property
    def is_alive(self) -> bool:
        return not self._is_stopped and self._launched.process.poll() is None

    @property
    def idle_seconds(self) -> float:
        """0 while a request is open."""
        with self._lock:
            return 0.0 if self._in_use else time.monotonic() - self._used_at

    def touch(self) -> None:
        """Somebody is about to use it."""
        with self._lock:
            self._used_at = time.monotonic()

    def post(self, path: str, value: JsonObject) -> tuple[int, JsonObject]:
        """Raises SandboxLost."""
        with self._used():
            return self._client.post(path, value)

    @contextmanager
    def _used(self) -> Iterator[None]:
        with self._lock:
            self._in_use += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_use -= 1
                self._used_at = time.monotonic()

    def stop(self) -> None:
        """Kills everything in it and waits for that. Safe to repeat."""
        with self._lock:
            if self._is_stopped:
                return
            self._is_stopped = True
        self._launched.stop()
        self._client.close()


def _await_boot_id(launched: Launched) -> str:
    """The line a supervisor prints once it listens. Raises SandboxLost."""
    output = launched.process.stdout
    assert output is not None
    ready, _, _ = select.select([output], [], [], _START_SECONDS)
    # The line is written at once, and is shorter than what a pipe delivers in one piece.
    line = output.readline(4096) if ready else b""
    try:
        boot_id = json.loads(line)["boot_id"]
    except (ValueError, KeyError, TypeError):
        raise SandboxLost("The sandbox did not start.") from None
    if not isinstance(boot_id, str):
        raise SandboxLost("The sandbox did not start.")
    return boot_id


def _last_words(start: Start) -> str:
    try:
        words = (start.directories.state / "stderr").read_text(errors="replace")
    except OSError:
        return ""
    return " ".join(words.split())[-_LAST_WORDS:]
