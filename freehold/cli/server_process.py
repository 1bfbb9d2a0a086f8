"""A Freehold server as a child process on a free port of 127.0.0.1.

The demo, the benchmarks and the tests use it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_LISTENING = re.compile(r"listening +(http://\S+)$")
_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
_KEPT_LINES = 40


class ServerFailed(Exception):
    """The server ended or stayed silent before it said where it listens.

    The message is its last line.
    """


class ServerProcess:
    """`freehold serve --port 0` as a child; a context manager that leaves nothing running.

    `url` is where it listens, `lines` what it printed last. `environment` is added to this
    process's own.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._settled = threading.Event()
        self._url: str | None = None
        command = [sys.executable, "-u", "-m", "freehold.cli", "serve", "--port", "0"]
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
            [*command, "--data-dir", str(data_dir), *options],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, name="server-output", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """Drains the child's output for as long as it lives: a full pipe would stop the server."""
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip())
                found = _LISTENING.match(line.rstrip())
                if found and self._url is None:
                    self._url = found.group(1)
                    self._settled.set()
        self._settled.set()

    @property
    def url(self) -> str:
        """Where the server listens, as soon as it says so. Raises ServerFailed."""
        if not self._settled.wait(_START_SECONDS):
            raise ServerFailed(f"the server said nothing for {_START_SECONDS:.0f} s")
        if self._url is None:
            said = [line for line in self.lines if line]
            raise ServerFailed(said[-1] if said else "the server ended without a word")
        return self._url

    def stop(self) -> int:
        """SIGTERM, and SIGKILL when that does not end it. Answers the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        return self.process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
