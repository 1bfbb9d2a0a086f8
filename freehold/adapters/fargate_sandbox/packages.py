"""Packages of an environment in a task: installed by its supervisor before the first call, by a
user of their own, and kept for the tasks of other sessions of the workspace. What is kept was taken
before a tool ran, where no session had files, so no session can put anything in another's way.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from freehold.adapters.fargate_sandbox.dispatch import (
    Dispatch,
    DispatchFailed,
    Line,
    PackageArchive,
)
from freehold.errors import SandboxLost, SandboxStarting
from freehold.ports import SandboxRef
from freehold.toolset import JsonObject
from freehold.toolset.packages import MAX_ARCHIVE_BYTES, Packages, fingerprint

_log = logging.getLogger("freehold.sandboxes")

_FAILED = "The environment's packages could not be installed."
_WAIT_SECONDS = 1.0
_LOOK_SECONDS = 3
_OK, _CONFLICT = 200, 409
_MOST_SAID = 4000
_LAYOUT = 1
"""Of what is kept, and where in a sandbox it is."""


class PackagesFailed(SandboxLost):
    """The boot is of no use: its calls would run without what the environment promises."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    line: Line
    packages: Packages
    key: str
    """Of what is kept; empty where nothing may be, since nobody knows what the task runs on."""


class TaskPackages:
    """`packages_of` says what a sandbox that is started now shall have."""

    def __init__(
        self, dispatch: Dispatch, packages_of: Callable[[SandboxRef], Packages] | None
    ) -> None:
        self._dispatch = dispatch
        self._packages_of = packages_of or (lambda _: {})
        self._ready: set[str] = set()
        self._looked: set[str] = set()
        self._lock = Lock()

    def require(self, sandbox: SandboxRef, line: Line, platform: str) -> None:
        """They are there. Raises SandboxStarting until then, PackagesFailed, SandboxLost.

        A boot that has others, because its environment was changed since, keeps those.
        """
        with self._lock:
            if line.boot_id in self._ready:
                return
        packages = self._packages_of(sandbox)
        if packages:
            key = key_of(sandbox.workspace_id, packages, platform) if platform else ""
            self._have(_Wanted(line, packages, key))
        with self._lock:
            self._ready.add(line.boot_id)

    def forget(self, boot_id: str) -> None:
        """It is over."""
        with self._lock:
            self._ready.discard(boot_id)
            self._looked.discard(boot_id)

    def _have(self, wanted: _Wanted) -> None:
        with self._lock:
            is_first = wanted.line.boot_id not in self._looked
        status, answer = self._ask(wanted, begin=not (is_first and wanted.key))
        if answer.get("status") == "absent":
            with self._lock:
                self._looked.add(wanted.line.boot_id)
            if self._is_brought(wanted):
                return
            status, answer = self._ask(wanted, begin=True)
        archive = _outcome(status, answer)
        if archive is not None and wanted.key:
            self._keep(wanted, archive)

    def _is_brought(self, wanted: _Wanted) -> bool:
        """What is kept was good: else the supervisor is as it was, or installs already."""
        found = self._dispatch.find_packages(wanted.key)
        if found is None or not 0 < found.size <= MAX_ARCHIVE_BYTES:
            return False
        path = f"/packages?list={fingerprint(wanted.packages)}"
        return self._dispatch.bring_packages(wanted.line, wanted.key, found, path)

    def _ask(self, wanted: _Wanted, *, begin: bool) -> tuple[int, JsonObject]:
        """How far the supervisor is; without `begin` it is `absent` where it could begin."""
        lists: JsonObject = {name: [*names] for name, names in wanted.packages.items()}
        asked: JsonObject = {"packages": lists, "wait": _WAIT_SECONDS, "begin": begin}
        try:
            return self._dispatch.post(wanted.line, "/install", asked)
        except DispatchFailed as failed:
            raise SandboxStarting(_LOOK_SECONDS) from failed

    def _keep(self, wanted: _Wanted, archive: PackageArchive) -> None:
        """Or not: the next session installs them anew then."""
        if not self._dispatch.keep_packages(wanted.line, wanted.key, archive):
            _log.warning("packages_not_kept", extra={"slot": wanted.line.slot_id})


def key_of(workspace_id: str, packages: Packages, platform: str) -> str:
    """The same for the same packages in the same order on the same image and machine."""
    decides = [_LAYOUT, workspace_id, platform, [*packages.items()]]
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()


def _outcome(status: int, answer: JsonObject) -> PackageArchive | None:
    """What a supervisor that has installed has to keep. Raises SandboxStarting, PackagesFailed."""
    if status == _CONFLICT and answer.get("error") == "packages":
        return None
    error = answer.get("error")
    if status == _OK and isinstance(error, str):
        if error:
            raise PackagesFailed(f"{_FAILED}\n{error[:_MOST_SAID]}")
        return _archive(answer)
    if status != _OK or answer.get("status") != "running":
        raise PackagesFailed(_FAILED)
    raise SandboxStarting(_LOOK_SECONDS)


def _archive(answer: JsonObject) -> PackageArchive | None:
    """A task says it, and what its packages ran may have made it say anything."""
    found = answer.get("archive")
    if not isinstance(found, dict):
        return None
    digest, size = found.get("digest"), found.get("size")
    if not isinstance(digest, str) or not isinstance(size, int):
        return None
    return PackageArchive(digest, size) if 0 < size <= MAX_ARCHIVE_BYTES else None
