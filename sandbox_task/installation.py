"""The packages of an environment, installed once and before any tool has run: in a sandbox that has
no session, or in the session's own by another user than the tools'.

What a package brings runs here when it is installed. It finds the prefix and an empty directory.
"""

from __future__ import annotations

import os
import select
import time
from threading import Condition, Thread
from typing import TYPE_CHECKING

from sandbox_task.managers import Step, steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from freehold.toolset.packages import Packages
    from sandbox_task.launch import Launcher
    from sandbox_task.settings import Settings
    from sandbox_task.trees import Tree
    from sandbox_task.watchdog import Watchdog

_LOOK_SECONDS = 0.2
_KEPT_BYTES = 16 * 1024
_LAST_LINES, _LAST_CHARACTERS = 12, 1500
_IN_SCRATCH = 'mkdir -p "$TMPDIR" && exec "$@"'


class OtherPackages(Exception):
    """This sandbox installs something else, or has run tools without packages."""


class StillInstalling(Exception):
    """No tool may run yet."""


class _Failed(Exception):
    """The text is for the model: the manager's name and its last lines."""


class Installation:
    """Started by the first that asks, joined by all others."""

    def __init__(
        self,
        settings: Settings,
        launcher: Launcher,
        watchdog: Watchdog,
        environment: Callable[[], dict[str, str]],
    ) -> None:
        """Its processes are the launcher's, start in `settings.places.workspace`, and find what
        `environment` says then.
        """
        self._environment = environment
        self._settings = settings
        self._launcher = launcher
        self._watchdog = watchdog
        self._scratch = f"{settings.places.workspace}/scratch"
        self._is_late = False
        self._changed = Condition()
        self._packages: Packages | None = None
        self._is_done = False
        self._error = ""

    def join(self, packages: Packages, wait: float) -> str | None:
        """Empty when all is installed, else why not; None while it goes on after `wait` seconds.
        Raises OtherPackages.
        """
        with self._changed:
            if self._packages is None and self._is_late:
                raise OtherPackages
            if self._packages is None:
                self._packages = packages
                Thread(target=self._run, args=(packages,), daemon=True, name="install").start()
            if packages != self._packages:
                raise OtherPackages
            self._changed.wait_for(lambda: self._is_done, wait)
            return self._error if self._is_done else None

    def end_before_calls(self) -> None:
        """A tool is about to run: from now on nothing is installed. Raises StillInstalling, also
        when that failed: a session shall not run without what its environment promises.
        """
        with self._changed:
            if self._packages is not None and (not self._is_done or self._error):
                raise StillInstalling
            self._is_late = True

    def _run(self, packages: Packages) -> None:
        error = "the supervisor failed"
        deadline = time.monotonic() + self._settings.install_seconds
        try:
            for manager, names in packages.items():
                for step in steps(manager, names, self._settings.packages, self._scratch):
                    self._carry_out(manager, step, deadline)
            self._carry_out("rm", Step(("rm", "-rf", "--", self._scratch)), deadline)
            error = ""
        except _Failed as failed:
            error = str(failed)
        except OSError as failure:
            error = f"cannot be started: {failure.strerror}"
        finally:
            with self._changed:
                self._is_done, self._error = True, error
                self._changed.notify_all()

    def _carry_out(self, manager: str, step: Step, deadline: float) -> None:
        """Raises _Failed, OSError."""
        environment = {
            **self._environment(),
            "HOME": self._scratch,
            "TMPDIR": self._scratch,
            **step.environment,
        }
        command = ("/bin/sh", "-c", _IN_SCRATCH, manager, *step.command)
        tree = self._launcher.launch(command, environment)
        self._watchdog.watch(tree)
        self._watchdog.begin(tree)
        try:
            output = _drain(tree, deadline)
            code = tree.exit_code
        finally:
            self._watchdog.end(tree)
            tree.close()
        if tree.killed_because:
            raise _Failed(f"{manager}: {tree.killed_because}")
        if code is None:
            limit = f"{self._settings.install_seconds:g} s"
            raise _Failed(f"{manager}: not installed within {limit}\n{_last_lines(output)}")
        if code != 0:
            raise _Failed(f"{manager}: exit code {code}\n{_last_lines(output)}")


def _drain(tree: Tree, deadline: float) -> bytes:
    """The end of what it prints, until its command has ended: what that left in the background may
    hold the pipe open for ever.
    """
    kept = b""
    while time.monotonic() < deadline:
        has_ended = tree.has_ended
        ready, _, _ = select.select([tree.stdout], [], [], 0.0 if has_ended else _LOOK_SECONDS)
        chunk = os.read(tree.stdout.fileno(), 64 * 1024) if ready else b""
        kept = (kept + chunk)[-_KEPT_BYTES:]
        if has_ended and not chunk:
            break
        if ready and not chunk:  # it has closed its output, and may go on
            time.sleep(_LOOK_SECONDS)
    return kept


def _last_lines(output: bytes) -> str:
    lines = [line.rstrip() for line in output.decode(errors="replace").splitlines()]
    return "\n".join([line for line in lines if line][-_LAST_LINES:])[-_LAST_CHARACTERS:]
