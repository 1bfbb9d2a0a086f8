"""The packages of an environment, installed once and before any tool has run: in a sandbox that has
no session, or in the session's own by another user than the tools'.

What a package brings runs here when it is installed. It finds the prefix and an empty directory.
"""

# ruff: noqa: PTH208 - pathlib is slow to import

from __future__ import annotations

import os
import select
import time
from threading import Condition, Thread
from typing import TYPE_CHECKING, BinaryIO

from freehold.toolset.packages import fingerprint
from sandbox_task.kept_prefix import ArchiveRefused
from sandbox_task.managers import Step, steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from freehold.toolset.packages import Packages
    from sandbox_task.kept_prefix import Kept, KeptPrefix
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
        kept: KeptPrefix | None = None,
        files: tuple[str, ...] = (),
    ) -> None:
        """Its processes are the launcher's, start in `settings.places.workspace`, and find what
        `environment` says then. `kept` where the prefix may come from an archive and become one;
        that, while the directories `files` hold nothing: a package may be the name of a file, and
        those are the session's.
        """
        self._kept = kept
        self._files = files
        self._environment = environment
        self._settings = settings
        self._launcher = launcher
        self._watchdog = watchdog
        self._scratch = f"{settings.places.workspace}/scratch"
        self._is_late = False
        self._changed = Condition()
        self._installs: str | None = None
        self._archive: Kept | None = None
        self._is_done = False
        self._error = ""

    def join(self, packages: Packages, wait: float) -> str | None:
        """Empty when all is installed, else why not; None while it goes on after `wait` seconds.
        Raises OtherPackages.
        """
        asked = fingerprint(packages)
        with self._changed:
            if self._installs is None:
                self._begin(asked)
                Thread(target=self._run, args=(packages,), daemon=True, name="install").start()
            if asked != self._installs:
                raise OtherPackages
            self._changed.wait_for(lambda: self._is_done, wait)
            return self._error if self._is_done else None

    def fill(self, asked: str, content: BinaryIO, digest: str) -> None:
        """In place of an installation of the list with this fingerprint, from an archive with this
        digest. Raises OtherPackages where one has begun, ArchiveRefused where one may begin,
        NotCleared.
        """
        if self._kept is None:
            raise ArchiveRefused
        with self._changed:
            if self._installs is not None:
                raise OtherPackages
            self._begin(asked)
        installs: str | None = asked
        error = "the supervisor failed"
        try:
            self._kept.fill(content, digest)
            error = ""
        except ArchiveRefused:
            installs, error = None, ""
            raise
        finally:
            with self._changed:
                self._installs, self._error = installs, error
                self._is_done = installs is not None
                self._changed.notify_all()

    @property
    def may_begin(self) -> bool:
        """Nothing is installed here, and no tool has run."""
        with self._changed:
            return self._installs is None and not self._is_late

    @property
    def archive(self) -> Kept | None:
        """What was installed, until a tool runs."""
        with self._changed:
            return self._archive

    def end_before_calls(self) -> None:
        """A tool is about to run: from now on nothing is installed. Raises StillInstalling, also
        when that failed: a session shall not run without what its environment promises.
        """
        with self._changed:
            if self._installs is not None and (not self._is_done or self._error):
                raise StillInstalling
            self._is_late = True
            if self._kept is not None and self._archive is not None:
                self._archive = None
                self._kept.drop()

    def _begin(self, asked: str) -> None:
        """Raises OtherPackages."""
        if self._is_late:
            raise OtherPackages
        self._installs = asked

    def _run(self, packages: Packages) -> None:
        error, archive = "the supervisor failed", None
        was_empty = _are_empty(self._files)
        deadline = time.monotonic() + self._settings.install_seconds
        try:
            for manager, names in packages.items():
                for step in steps(manager, names, self._settings.packages, self._scratch):
                    self._carry_out(manager, step, deadline)
            self._carry_out("rm", Step(("rm", "-rf", "--", self._scratch)), deadline)
            if self._kept is not None and was_empty and _are_empty(self._files):
                archive = self._kept.take()
            error = ""
        except _Failed as failed:
            error = str(failed)
        except OSError as failure:
            error = f"cannot be started: {failure.strerror}"
        finally:
            with self._changed:
                self._is_done, self._error, self._archive = True, error, archive
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


def _are_empty(directories: tuple[str, ...]) -> bool:
    try:
        return not any(os.listdir(directory) for directory in directories)
    except OSError:
        return False


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
