"""Packages of an environment in a task: installed by its supervisor before the first call, by a
user of their own. Each task installs them anew, so no session can put anything in another's way.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from freehold.adapters.fargate_sandbox.dispatch import Dispatch, DispatchFailed, Line
from freehold.errors import SandboxLost, SandboxStarting
from freehold.ports import SandboxRef
from freehold.toolset import JsonObject
from freehold.toolset.packages import Packages

_FAILED = "The environment's packages could not be installed."
_WAIT_SECONDS = 1.0
_LOOK_SECONDS = 3
_OK, _CONFLICT = 200, 409
_MOST_SAID = 4000


class PackagesFailed(SandboxLost):
    """The boot is of no use: its calls would run without what the environment promises."""


class TaskPackages:
    """`packages_of` says what a sandbox that is started now shall have."""

    def __init__(
        self, dispatch: Dispatch, packages_of: Callable[[SandboxRef], Packages] | None
    ) -> None:
        self._dispatch = dispatch
        self._packages_of = packages_of or (lambda _: {})
        self._ready: set[str] = set()
        self._lock = Lock()

    def require(self, sandbox: SandboxRef, line: Line) -> None:
        """They are there. Raises SandboxStarting until then, PackagesFailed, SandboxLost.

        A boot that has others, because its environment was changed since, keeps those.
        """
        with self._lock:
            if line.boot_id in self._ready:
                return
        packages = self._packages_of(sandbox)
        if packages:
            self._install(line, packages)
        with self._lock:
            self._ready.add(line.boot_id)

    def forget(self, boot_id: str) -> None:
        """It is over."""
        with self._lock:
            self._ready.discard(boot_id)

    def _install(self, line: Line, packages: Packages) -> None:
        lists: JsonObject = {name: [*names] for name, names in packages.items()}
        asked: JsonObject = {"packages": lists, "wait": _WAIT_SECONDS}
        try:
            status, answer = self._dispatch.post(line, "/install", asked)
        except DispatchFailed as failed:
            raise SandboxStarting(_LOOK_SECONDS) from failed
        if status == _CONFLICT and answer.get("error") == "packages":
            return
        error = answer.get("error")
        if status == _OK and isinstance(error, str):
            if error:
                raise PackagesFailed(f"{_FAILED}\n{error[:_MOST_SAID]}")
            return
        if status != _OK or answer.get("status") != "running":
            raise PackagesFailed(_FAILED)
        raise SandboxStarting(_LOOK_SECONDS)
