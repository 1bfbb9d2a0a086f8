"""The persistent bash of one thread."""

from __future__ import annotations

import os
import re
import select
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_task.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_task.trees import Tree

_CHUNK_BYTES = 64 * 1024
_ENDING_BYTES = 64
"""More than the longest ending: marker, exit status, line feed."""
_SHELL = ("/bin/bash", "--noprofile", "--norc")
_CLOSED = "bash session terminated; restart required"


class ShellClosed(Exception):
    """The shell has ended; only a restart helps. The text is for the model."""


class Killed(Exception):
    """The command was killed from outside, for the reason in the text."""


@dataclass(frozen=True, slots=True)
class Finished:
    """`code` is -1 when the shell ended before it could say."""

    output: str
    code: int


class Shell:
    """Not for two callers at once."""

    def __init__(self, launch: Callable[[tuple[str, ...]], Tree]) -> None:
        self._tree = launch(_SHELL)
        self._timed_out = False

    @property
    def tree(self) -> Tree:
        return self._tree

    @property
    def has_ended(self) -> bool:
        return self._timed_out or self._tree.has_ended

    def run(self, command: str, seconds: float) -> Finished:
        """Runs `command` with empty input.

        Raises ShellClosed when the shell had ended, Killed when it was killed meanwhile, and
        TimeoutError, after which everything the shell started is dead.
        """
        if self.has_ended:
            raise ShellClosed(self._why_closed())
        # The marker is random, so no program can print it and pass for the end of the command; and
        # it stands split in what is sent, so `set -v` does not print it either.
        marker = f"__DONE_{os.urandom(16).hex()}__"
        line = f"{{ {command}\n}} </dev/null 2>&1; printf '\\n{marker[:8]}''{marker[8:]}%d\\n' $?\n"
        deadline = time.monotonic() + seconds
        output = Output()
        try:
            self._send(line.encode(errors="replace"), output, marker, deadline)
        except TimeoutError:
            self._timed_out = True
            self._tree.kill("timed out")
            raise TimeoutError(f"bash command timed out after {seconds}s") from None
        return self._result(output.text(), marker)

    def _send(self, line: bytes, output: Output, marker: str, deadline: float) -> None:
        """Writes and reads in turn: a shell that prints while it reads must not block us both."""
        reader, writer = self._tree.stdout.fileno(), self._tree.stdin.fileno()
        os.set_blocking(writer, False)
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        poll.register(writer, select.POLLOUT)
        left = memoryview(line)
        ending = re.compile(marker.encode() + rb"\d+\n")
        while True:
            wait = deadline - time.monotonic()
            ready = dict(poll.poll(max(0.0, wait) * 1000))
            if not ready or wait <= 0:
                raise TimeoutError
            if writer in ready:
                with suppress(BrokenPipeError):
                    left = left[os.write(writer, left) :]
                if not left or ready[writer] & (select.POLLERR | select.POLLHUP):
                    poll.unregister(writer)
            if reader in ready:
                chunk = os.read(reader, _CHUNK_BYTES)
                output.add(chunk)
                # The ending can straddle two chunks.
                if not chunk or ending.search(output.last(len(chunk) + _ENDING_BYTES)):
                    return

    def _result(self, text: str, marker: str) -> Finished:
        place = text.rfind(marker)
        if place < 0:
            self._tree.close()
            if self._tree.killed_because:
                raise Killed(self._tree.killed_because)
            return Finished(text.strip(), -1)
        said = text[place + len(marker) :].strip().splitlines()
        code = int(said[0]) if said and said[0].isdigit() else -1
        return Finished(text[:place].rstrip("\n"), code)

    def _why_closed(self) -> str:
        reason = self._tree.killed_because
        if reason is None or self._timed_out:
            return _CLOSED
        return f"{_CLOSED} ({reason})"

    def close(self) -> None:
        """Everything it started is dead within a second."""
        self._tree.close()
