"""`Sandboxes` on this machine: one supervisor process per session, started when first needed."""

from __future__ import annotations

import logging
import os
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Literal

from freehold import toolset
from freehold.adapters.subprocess_sandbox.directories import SessionDirectories
from freehold.adapters.subprocess_sandbox.installer import Installer
from freehold.adapters.subprocess_sandbox.ladder import find_rung
from freehold.adapters.subprocess_sandbox.network import PROBE, PROBED, Networks
from freehold.adapters.subprocess_sandbox.rungs import CannotStart, Finding, Prefix, Probe, Rung
from freehold.adapters.subprocess_sandbox.running import RunningSandbox
from freehold.adapters.subprocess_sandbox.starter import Starter
from freehold.errors import SandboxLost, SandboxStarting, ToolError
from freehold.toolset import WAIT_SECONDS, JsonObject, ToolCall, ToolResult
from freehold.toolset.supervisor_calls import asked, named, outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from freehold.adapters.subprocess_sandbox.prefixes import HeldPrefix
    from freehold.ports import Egress, Network, SandboxRef, Secrets
    from freehold.toolset.packages import Packages

_log = logging.getLogger("freehold.sandboxes")

_IDLE_SECONDS = 30 * 60.0
_PROBED = "probe"


def default_limits() -> JsonObject:
    """Of one session: at most half of this machine's memory."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "memory_bytes": min(4 << 30, physical // 2),
        "processes": 512,
        "disk_bytes": 10 << 30,
        "files": 1_000_000,
        "temporary_bytes": min(1 << 30, physical // 8),
        "free_disk_bytes": 1 << 30,
    }


class _Place:
    """The sandbox of one session, or the absence of one."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.lock = Lock()
        self.running: RunningSandbox | None = None
        self.packages: HeldPrefix | None = None
        self.is_removed = False


class SubprocessSandboxes:
    """Sandboxes that die with this process. Files stay in `data_dir`.

    `rung` is the isolation to use: `auto` is the first that works, `none` isolates nothing and is
    never chosen by `auto`. `limits` replaces single numbers of `default_limits`. A sandbox that
    nobody used for `idle_seconds` is stopped, with what it ran in the background. `execute` waits
    at most `wait_seconds`, of which the supervisor allows 25. Sandboxes have the network that
    `network_of` says, by `egress`; without that, none. They have the packages that `packages_of`
    says, installed before their first call.
    """

    def __init__(
        self,
        data_dir: Path,
        secrets: Secrets,
        rung: Literal["auto", "bubblewrap", "container", "none"] = "auto",
        *,
        limits: JsonObject | None = None,
        idle_seconds: float = _IDLE_SECONDS,
        wait_seconds: float = WAIT_SECONDS,
        egress: Egress | None = None,
        network_of: Callable[[SandboxRef], Network] | None = None,
        packages_of: Callable[[SandboxRef], Packages] | None = None,
    ) -> None:
        self._wanted = rung
        self._idle_seconds = idle_seconds
        self._wait_seconds = wait_seconds
        self._networks = Networks(egress, network_of)
        self._directories = SessionDirectories(data_dir)
        self._starter = Starter(secrets, {**default_limits(), **(limits or {})})
        self._packages_of = packages_of or (lambda _: {})
        self._installer = Installer(data_dir, self._starter, self._networks)
        self._places: dict[str, _Place] = {}
        self._lock = Lock()
        self._probing = Lock()
        self._probe: Probe | None = None
        self._rung: Rung | None = None
        self._closed = Event()
        self._reaper: Thread | None = None

    # ------------------------------------------------------------ which rung
    def usable(self) -> Probe:
        """The rung in use. The first call starts a real sandbox to find out; the answer is kept."""
        with self._probing:
            if self._probe is None:
                self._directories.sweep()
                self._rung, probe = find_rung(self._wanted, self._try)
                self._probe = replace(probe, no_network=self._networks.no_network)
            return self._probe

    def _try(self, rung: Rung) -> Finding:
        """Runs a command under a rung, in a session of its own."""
        with tempfile.TemporaryDirectory(prefix="freehold-probe-") as scratch:
            directories = SessionDirectories(Path(scratch))
            egress = self._networks.probe(_PROBED) if rung.has_network_of_its_own else None
            try:
                running = self._starter.start(rung, directories, _PROBED, egress)
            except CannotStart as failed:
                return Finding(rung.name, failed.reason, failed.remedy)
            try:
                result = _run(running, "works", "echo works")
                if egress and _run(running, "network", PROBE) != ToolResult.text(PROBED):
                    self._networks.give_up(f"{rung.name} does not reach the egress proxy")
            except ToolError as failed:
                return Finding(rung.name, str(failed))
            finally:
                running.stop()
                self._networks.shut(_PROBED)
                directories.end_boot(running.directories)
                directories.remove(_PROBED)
        if result != ToolResult.text("works"):
            said = result.content[0].get("text") if result and result.content else None
            explained = rung.explain(f"the tools do not start: {said}")
            return Finding(rung.name, explained.reason, explained.remedy)
        return Finding(rung.name)

    # ------------------------------------------------------------ the port
    def prewarm(self, sandbox: SandboxRef) -> None:
        """See `Sandboxes`."""

        def start() -> None:
            with suppress(ToolError, SandboxStarting):  # the first call says what is wrong
                self.boot(sandbox)

        running = self._place(sandbox).running
        if running is not None and running.is_alive:
            running.touch()
            return
        Thread(target=start, daemon=True, name="sandbox-prewarm").start()

    def boot(self, sandbox: SandboxRef) -> str:
        """See `Sandboxes`."""
        place = self._place(sandbox)
        with place.lock:
            if place.is_removed or self._closed.is_set():
                raise SandboxLost("The sandbox was removed.")
            if place.running is not None and not place.running.is_alive:
                self._end(place)
            if place.running is None:
                place.running = self._start_session(place, sandbox)
            place.running.touch()
            return place.running.boot_id

    def execute(self, sandbox: SandboxRef, boot_id: str, call: ToolCall) -> ToolResult | None:
        """See `Sandboxes`. A call whose input is not its tool's never reaches the sandbox."""
        running = self._running(sandbox, boot_id)
        refused = toolset.refusal(call)
        if refused is not None:
            return ToolResult.text(refused, is_error=True)
        try:
            return outcome(*running.post("/execute", asked(call, self._wait_seconds)))
        except SandboxLost:
            running.stop()  # it may only be deaf: then it must not go on working unheard
            raise

    def cancel(self, sandbox: SandboxRef, boot_id: str, calls: Sequence[ToolCall]) -> None:
        """See `Sandboxes`."""
        with suppress(SandboxLost):
            running = self._running(sandbox, boot_id)
            running.post("/cancel", {"calls": [named(call) for call in calls]})

    def remove(self, sandbox: SandboxRef) -> None:
        """See `Sandboxes`."""
        place = self._place(sandbox)
        with place.lock:
            place.is_removed = True
            self._installer.forget(sandbox)
            self._end(place)
            self._directories.remove(sandbox.session_id)

    def close(self) -> None:
        """Stops every sandbox. Nothing can be started afterwards."""
        self._closed.set()
        self._installer.close()
        with self._lock:
            places = list(self._places.values())
        for place in places:
            with place.lock:
                self._end(place)
        self._networks.close()
        self._starter.close()
        if self._reaper is not None:
            self._reaper.join()

    # ------------------------------------------------------------ places
    def _place(self, sandbox: SandboxRef) -> _Place:
        with self._lock:
            return self._places.setdefault(sandbox.session_id, _Place(sandbox.session_id))

    def _running(self, sandbox: SandboxRef, boot_id: str) -> RunningSandbox:
        running = self._place(sandbox).running
        if running is None or running.boot_id != boot_id or not running.is_alive:
            raise SandboxLost("The sandbox is gone.")
        return running

    def _start_session(self, place: _Place, sandbox: SandboxRef) -> RunningSandbox:
        """Raises ToolError; nothing of it is left then."""
        probe = self.usable()
        rung = self._rung
        if rung is None:
            raise SandboxLost(
                "This server has no usable sandbox, so tools cannot run. What helps there:"
                f" {probe.remedies or 'another --sandbox'}. `freehold doctor` says more."
            )
        place.packages = self._installer.installed(rung, sandbox, self._packages_of(sandbox))
        try:
            running = self._start(rung, sandbox, place.packages)
        except ToolError:
            self._end(place)
            raise
        self._watch_idle()
        return running

    def _start(
        self, rung: Rung, sandbox: SandboxRef, packages: HeldPrefix | None
    ) -> RunningSandbox:
        """Raises ToolError."""
        egress = self._networks.open(sandbox) if rung.has_network_of_its_own else None
        session_id = sandbox.session_id
        try:
            prefix = Prefix(packages.directory) if packages else None
            return self._starter.start(rung, self._directories, session_id, egress, prefix)
        except (CannotStart, ValueError) as failed:
            # The reason is for operators: it may name paths of this host.
            _log.warning("sandbox_failed", extra={"session_id": session_id, "reason": str(failed)})
            raise SandboxLost("The sandbox did not start. The server's log says why.") from failed

    def _end(self, place: _Place) -> None:
        if place.running is not None:
            place.running.stop()
            self._networks.shut(place.session_id)
            self._directories.end_boot(place.running.directories)
            place.running = None
        if place.packages is not None:
            place.packages.release()
            place.packages = None

    def _watch_idle(self) -> None:
        with self._lock:
            if self._reaper is None:
                self._reaper = Thread(target=self._reap, daemon=True, name="sandbox-reaper")
                self._reaper.start()

    def _reap(self) -> None:
        """Sandboxes nobody uses hold memory; their files stay."""
        while not self._closed.wait(self._idle_seconds / 10):
            with self._lock:
                places = list(self._places.values())
            for place in places:
                with place.lock:
                    running = place.running
                    if running is not None and running.idle_seconds > self._idle_seconds:
                        self._end(place)


def _run(running: RunningSandbox, name: str, command: str) -> ToolResult | None:
    """A command of the probe. Raises SandboxLost, ToolError."""
    call = ToolCall(_PROBED, name, "bash", {"command": command})
    return outcome(*running.post("/execute", asked(call, WAIT_SECONDS)))
