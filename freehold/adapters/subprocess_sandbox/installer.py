"""Installs packages of environments, each list once, in sandboxes that have no session."""

from __future__ import annotations

import logging
import os
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from freehold.adapters.subprocess_sandbox.directories import SessionDirectories
from freehold.adapters.subprocess_sandbox.prefixes import Prefixes, key_of
from freehold.adapters.subprocess_sandbox.rungs import CannotStart, Prefix, Rung
from freehold.errors import SandboxLost, SandboxStarting
from freehold.toolset import WAIT_SECONDS

if TYPE_CHECKING:
    from freehold.adapters.subprocess_sandbox.network import Networks
    from freehold.adapters.subprocess_sandbox.prefixes import HeldPrefix
    from freehold.adapters.subprocess_sandbox.running import RunningSandbox
    from freehold.adapters.subprocess_sandbox.starter import Starter
    from freehold.ports import SandboxRef
    from freehold.toolset import JsonObject
    from freehold.toolset.packages import Packages

_log = logging.getLogger("freehold.sandboxes")

_FAILED = "The environment's packages could not be installed."
_OK = 200
_AT_ONCE = 2
_LOOK_SECONDS = 2
"""At an installation, and between two looks: for as long may an interrupt go unnoticed."""
_MOST_SAID = 4000


class Installer:
    """Installations that go on when nobody waits for them, and end with this process.

    What a package runs while it is installed is as hostile as what a session runs: it has a sandbox
    of its own, with the registries for a network, and without anybody's files.
    """

    def __init__(self, data_dir: Path, starter: Starter, networks: Networks) -> None:
        self._prefixes = Prefixes(data_dir)
        self._starter = starter
        self._networks = networks
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="sandbox-packages")
        self._lock = Lock()
        self._going_on: dict[str, Future[None]] = {}
        self._asked: dict[SandboxRef, Future[None]] = {}
        """What each was last told to wait for, until it is told how that ended."""
        self._running: set[RunningSandbox] = set()
        self._is_closed = False

    def installed(self, rung: Rung, sandbox: SandboxRef, packages: Packages) -> HeldPrefix | None:
        """None where there are none. Raises SandboxStarting until they are there, and SandboxLost,
        with a text for the model, when they cannot be had: once for each installation that a
        sandbox waited for, so that who asks again asks for another try.
        """
        if not packages:
            return None
        key = key_of(sandbox.workspace_id, packages, rung.name)
        while (found := self._prefixes.hold(key)) is None:
            self._wait(sandbox, self._asked.get(sandbox) or self._begin(key, rung, packages))
        return found

    def forget(self, sandbox: SandboxRef) -> None:
        """It is gone, and waits for nothing."""
        self._asked.pop(sandbox, None)

    def _wait(self, sandbox: SandboxRef, installation: Future[None]) -> None:
        self._asked[sandbox] = installation
        try:
            installation.result(_LOOK_SECONDS)
        except FutureTimeout:
            raise SandboxStarting(_LOOK_SECONDS) from None
        except CancelledError:
            raise SandboxLost("The server ends.") from None
        finally:
            if installation.done():
                self.forget(sandbox)

    def _begin(self, key: str, rung: Rung, packages: Packages) -> Future[None]:
        """Or joins. Raises SandboxLost."""
        if "apt" in packages and not rung.has_apt:
            raise SandboxLost(
                "The environment's apt packages cannot be installed: sandboxes of this server are"
                f" not containers but {rung.name}."
            )
        with self._lock:
            if self._is_closed:
                raise SandboxLost("The server ends.")
            found = self._going_on.get(key)
            if found is None:
                found = self._threads.submit(self._build, key, rung, packages)
                self._going_on[key] = found
            return found

    def close(self) -> None:
        """Ends what goes on."""
        with self._lock:
            self._is_closed = True
            running = list(self._running)
        for sandbox in running:
            sandbox.stop()
        self._threads.shutdown(cancel_futures=True)

    # ------------------------------------------------------------ one installation
    def _build(self, key: str, rung: Rung, packages: Packages) -> None:
        try:
            self._prefixes.build(key, lambda directory: self._install(rung, directory, packages))
        except (CannotStart, OSError, ValueError) as failed:
            # The reason is for operators: it may name paths of this host.
            _log.warning("packages_failed", extra={"reason": str(failed)})
            raise SandboxLost(f"{_FAILED} The server's log says why.") from failed
        finally:
            with self._lock:
                del self._going_on[key]

    def _install(self, rung: Rung, directory: Path, packages: Packages) -> None:
        """Leaves them in `directory`/prefix. Raises SandboxLost, CannotStart, OSError."""
        prefix = directory / "prefix"
        prefix.mkdir(mode=0o755)
        if rung.owner is not None:
            os.chown(prefix, rung.owner, rung.owner)
        name = f"pkgs_{os.urandom(16).hex()}"
        directories = SessionDirectories(directory)
        egress = self._networks.open_registries(name) if rung.has_network_of_its_own else None
        try:
            running = self._starter.start(
                rung, directories, name, egress, Prefix(prefix, is_writable=True)
            )
            try:
                error = self._run(running, packages)
            finally:
                running.stop()
                directories.end_boot(running.directories)
        finally:
            self._networks.shut(name)
        if error:
            without = rung.has_network_of_its_own and egress is None
            hint = " Sandboxes of this server have no network." if without else ""
            raise SandboxLost(f"{_FAILED}{hint}\n{error}")

    def _run(self, running: RunningSandbox, packages: Packages) -> str:
        """Why they are not installed; empty when they are. Raises SandboxLost."""
        with self._lock:
            if self._is_closed:
                raise SandboxLost("The server ends.")
            self._running.add(running)
        lists: JsonObject = {name: [*names] for name, names in packages.items()}
        asked: JsonObject = {"packages": lists, "wait": WAIT_SECONDS}
        try:
            while True:
                status, answer = running.post("/install", asked)
                error = answer.get("error")
                if status == _OK and isinstance(error, str):
                    return error[:_MOST_SAID]
                if status != _OK or answer.get("status") != "running":
                    raise SandboxLost(_FAILED)
        finally:
            with self._lock:
                self._running.discard(running)
