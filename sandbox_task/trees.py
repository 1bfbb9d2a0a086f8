"""Processes that were started for the tools, each with everything it starts."""

from __future__ import annotations

import queue
import subprocess
import threading
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Started: TypeAlias = "subprocess.Popen[bytes]"


class Tree:
    """A process started for the tools, with everything it starts. Standard input and output are
    pipes; standard error joins the output.
    """

    def __init__(self, process: Started, kill: Callable[[Started], None]) -> None:
        self._process = process
        self._kill = kill
        self._lock = threading.Lock()
        self.killed_because: str | None = None
        assert process.stdin is not None
        assert process.stdout is not None
        self.stdin = process.stdin
        self.stdout = process.stdout

    @property
    def root(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def exit_code(self) -> int | None:
        """Of its root; None while that runs."""
        return self._process.poll()

    def wait(self) -> int:
        """The exit code of its root, once it has ended."""
        return self._process.wait()

    def kill(self, reason: str) -> None:
        """Everything in it is dead within a second. The first reason is kept."""
        with self._lock:
            if self.killed_because is None:
                self.killed_because = reason
        self._kill(self._process)
        self._process.wait()

    def close(self) -> None:
        """Kills it if need be and closes the pipes."""
        self._kill(self._process)
        self._process.wait()
        self.stdin.close()
        self.stdout.close()


class Spawner:
    """Runs jobs on the thread that called `run`.

    The kernel takes a child's parent to be the *thread* that started it: a sandbox that is to die
    with its parent would die with the connection whose call it was started for.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def run(self) -> None:
        """Never returns."""
        while True:
            self._jobs.get()()

    def start(self, command: Sequence[str], **options: object) -> Started:
        """`Popen` with pipes. Raises what it raises."""
        done = threading.Event()
        outcome: list[Started | OSError] = []

        def job() -> None:
            try:
                outcome.append(
                    subprocess.Popen(  # type: ignore[call-overload]  # noqa: S603 - never a shell line
                        command,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT,
                        bufsize=0,
                        **options,
                    )
                )
            except OSError as error:
                outcome.append(error)
            finally:
                done.set()

        self._jobs.put(job)
        done.wait()
        if isinstance(outcome[0], OSError):
            raise outcome[0]
        return outcome[0]
