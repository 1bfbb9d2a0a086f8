"""The port, on slots."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock, Thread

from freehold import toolset
from freehold.adapters.fargate_sandbox.boots import Boots, after
from freehold.adapters.fargate_sandbox.dispatch import Dispatch, DispatchFailed, Line
from freehold.adapters.fargate_sandbox.egress import Egress, Grants
from freehold.adapters.fargate_sandbox.packages import PackagesFailed, TaskPackages
from freehold.adapters.fargate_sandbox.slot import Slot
from freehold.adapters.fargate_sandbox.slots import Slots
from freehold.errors import (
    AmbiguousWrite,
    SandboxLost,
    SandboxStarting,
    StaleRead,
    ToolError,
    Unavailable,
)
from freehold.keys import SessionKey
from freehold.ports import SandboxRef
from freehold.toolset import WAIT_SECONDS, ToolCall, ToolResult
from freehold.toolset.packages import Packages
from freehold.toolset.supervisor_calls import asked, named, outcome

_log = logging.getLogger("freehold.sandboxes")

MAX_WAIT_SECONDS = 600
"""For a slot, or for a task. A restore may take twice as long."""
_TOUCH_SECONDS = 60.0
"""How exact the time of last use is; an idle limit is far longer."""
_ATTEMPTS = 10
_REMOVED = "The sandbox was removed."


@dataclass(frozen=True, slots=True)
class WayOut:
    """The proxy, and what each sandbox may reach through it."""

    egress: Egress
    grants: Grants


class FargateSandboxes:
    """Threads and processes share what is in the table; an instance keeps only where boots listen,
    which never changes in the life of one.

    `execute` waits at most `wait_seconds`, of which the supervisor allows 25. Sandboxes have the
    packages that `packages_of` says, installed before their first call.
    """

    def __init__(
        self,
        slots: Slots,
        boots: Boots[Slot],
        dispatch: Dispatch,
        *,
        idle_seconds: int,
        wait_seconds: float = WAIT_SECONDS,
        packages_of: Callable[[SandboxRef], Packages] | None = None,
        way_out: WayOut | None = None,
    ) -> None:
        """`way_out` None gives no sandbox a network, whatever its environment says."""
        self._slots = slots
        self._boots = boots
        self._dispatch = dispatch
        self._packages = TaskPackages(dispatch, packages_of)
        self._idle_seconds = idle_seconds
        self._wait_seconds = wait_seconds
        self._way_out = way_out
        self._lines: dict[str, Line] = {}
        self._touched: dict[str, float] = {}
        self._lock = Lock()

    # ------------------------------------------------------------ the port
    def prewarm(self, sandbox: SandboxRef) -> None:
        """See `Sandboxes`."""
        Thread(target=self._prewarm, args=(sandbox,), daemon=True, name="sandbox-prewarm").start()

    def boot(self, sandbox: SandboxRef) -> str:
        """See `Sandboxes`. Each call makes what steps there are to make now."""
        session = SessionKey(sandbox.workspace_id, sandbox.session_id)
        for _ in range(_ATTEMPTS):
            try:
                slot = self._boots.up(self._touch(self._adopted(session)))
                if self._way_out is not None:
                    slot = self._way_out.egress.open(sandbox, slot, self._way_out.grants)
                self._listens(slot)
                slot = self._touch(slot)
                line = self._line(sandbox, slot.boot_id)
                self._packages.require(sandbox, line, slot.platform)
            except StaleRead:
                continue  # somebody else made the step
            except PackagesFailed:
                self._abandon(sandbox, slot.boot_id)  # the next one tries again
                raise
            except (AmbiguousWrite, Unavailable) as busy:
                raise SandboxStarting(2) from busy
            return slot.boot_id
        raise SandboxStarting(1)

    def execute(self, sandbox: SandboxRef, boot_id: str, call: ToolCall) -> ToolResult | None:
        """See `Sandboxes`. A call whose input is not its tool's never reaches the sandbox."""
        line = self._line(sandbox, boot_id)
        refused = toolset.refusal(call)
        if refused is not None:
            return ToolResult.text(refused, is_error=True)
        try:
            result = outcome(
                *self._dispatch.post(line, "/execute", asked(call, self._wait_seconds))
            )
        except SandboxLost:
            self._abandon(sandbox, boot_id)
            raise
        except DispatchFailed as failed:
            _log.warning("dispatch_failed", extra={"session_id": sandbox.session_id})
            raise SandboxLost("The sandbox cannot be reached.") from failed
        if result is None:
            self._touch_again(sandbox, boot_id)
        return result

    def cancel(self, sandbox: SandboxRef, boot_id: str, calls: Sequence[ToolCall]) -> None:
        """See `Sandboxes`."""
        with suppress(SandboxLost, DispatchFailed, Unavailable):
            line = self._line(sandbox, boot_id)
            self._dispatch.post(line, "/cancel", {"calls": [named(call) for call in calls]})

    def remove(self, sandbox: SandboxRef) -> None:
        """See `Sandboxes`. From now on nobody gets in; upkeep stops the task and erases the files,
        and what is left of it stays on the slot's item until then.
        """
        slot = self._slots.remove(SessionKey(sandbox.workspace_id, sandbox.session_id))
        if slot is not None:
            self._forget(slot.boot_id)

    # ------------------------------------------------------------ a slot
    def _prewarm(self, sandbox: SandboxRef) -> None:
        session = SessionKey(sandbox.workspace_id, sandbox.session_id)
        try:
            slot = self._adopted(session)
            if not slot.stopping:
                self._boots.started(self._touch(slot))
            if self._way_out is not None:
                self._way_out.egress.prewarm(sandbox, self._way_out.grants)
        except (SandboxStarting, ToolError, StaleRead, AmbiguousWrite, Unavailable):
            return  # the first call does what is left to do, and says what is wrong

    def _adopted(self, session: SessionKey) -> Slot:
        """The session's slot, ready to have a task."""
        place = self._slots.place(session)
        if place is None or not place.slot_id:
            return self._ready(self._adopt(session))
        slot = self._slots.get(place.slot_id)
        if slot is None or slot.session != session:
            raise SandboxLost(_REMOVED)
        return self._ready(slot)

    def _adopt(self, session: SessionKey) -> Slot:
        try:
            slot = self._slots.adopt(session)
            if slot is not None:
                return slot
            since = self._slots.want(session)
            if self._slots.now() <= after(since, MAX_WAIT_SECONDS):
                raise SandboxStarting(5)
            self._slots.unwant(session)
        except StaleRead as stale:
            if any("deleted" in reason for reason in stale.failed):
                raise SandboxLost(_REMOVED) from stale
            raise
        raise SandboxLost("No sandbox came free in time.")

    def _ready(self, slot: Slot) -> Slot:
        if slot.state == "leaving":
            raise SandboxLost(_REMOVED)
        if slot.state == "restoring":
            if self._slots.now() > after(slot.used_at, 2 * MAX_WAIT_SECONDS):
                raise SandboxLost("The sandbox's files were archived and are not back yet.")
            raise SandboxStarting(10)
        if slot.state == "saving":  # nothing has left it yet, and nothing will
            now = self._slots.now()
            return self._slots.write(slot, state="adopted", archive="", used_at=now)
        return slot

    # ------------------------------------------------------------ a boot
    def _listens(self, slot: Slot) -> None:
        with self._lock:
            self._lines[slot.boot_id] = Line(slot.slot_id, slot.boot_id, slot.address)

    def _forget(self, boot_id: str) -> None:
        with self._lock:
            self._lines.pop(boot_id, None)
            self._touched.pop(boot_id, None)
        self._packages.forget(boot_id)

    def _line(self, sandbox: SandboxRef, boot_id: str) -> Line:
        """Where this boot listens. Raises SandboxLost when it is not the session's running one."""
        with self._lock:
            line = self._lines.get(boot_id)
        if line is not None:
            return line
        slot = self._slots.of(SessionKey(sandbox.workspace_id, sandbox.session_id))
        if slot is None or slot.state != "adopted" or not boot_id or slot.boot_id != boot_id:
            raise SandboxLost("The sandbox is gone.")
        if slot.stopping or not slot.address:
            raise SandboxLost("The sandbox is gone.")
        self._listens(slot)
        return Line(slot.slot_id, slot.boot_id, slot.address)

    def _abandon(self, sandbox: SandboxRef, boot_id: str) -> None:
        """It may only be deaf: then it must not go on working unheard."""
        self._forget(boot_id)
        session = SessionKey(sandbox.workspace_id, sandbox.session_id)
        with suppress(StaleRead, AmbiguousWrite, Unavailable):
            slot = self._slots.of(session)
            if slot is not None and slot.boot_id == boot_id:
                with suppress(SandboxStarting):  # whoever boots it next, or upkeep, goes on
                    self._boots.stopped(slot)

    # ------------------------------------------------------------ in use
    def _touch(self, slot: Slot) -> Slot:
        """The slot, which is used now: before its task starts, so that one which nobody comes to
        use is idle in time, and while it runs. Written at most once a minute. Raises StaleRead,
        where upkeep may just have begun to stop it.
        """
        now = self._slots.now()
        idle = after(now, self._idle_seconds)
        is_fresh = bool(slot.used_at) and now < after(slot.used_at, _TOUCH_SECONDS)
        if is_fresh and slot.due <= idle:
            return slot
        slot = self._slots.write(slot, used_at=now, due=idle)
        with self._lock:
            self._touched[slot.boot_id] = time.monotonic()
        return slot

    def _touch_again(self, sandbox: SandboxRef, boot_id: str) -> None:
        """A call that runs for long keeps its sandbox."""
        with self._lock:
            if time.monotonic() - self._touched.get(boot_id, 0.0) < _TOUCH_SECONDS:
                return
            self._touched[boot_id] = time.monotonic()
        with suppress(StaleRead, AmbiguousWrite, Unavailable):
            slot = self._slots.of(SessionKey(sandbox.workspace_id, sandbox.session_id))
            if slot is not None and slot.boot_id == boot_id:
                self._touch(slot)
