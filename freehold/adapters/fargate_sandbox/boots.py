"""How a slot comes to have a running task, and to have none again.

Every step is decided on the slot as it was read and written on that condition, so anybody may take
the next one after a crash. Nothing here waits: what takes its time is SandboxStarting.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import timedelta

from freehold.adapters.fargate_sandbox.dispatch import Dispatch, DispatchFailed, Line
from freehold.adapters.fargate_sandbox.slot import Slot
from freehold.adapters.fargate_sandbox.slots import Slots
from freehold.adapters.fargate_sandbox.tasks import NotStarted, Task, Tasks
from freehold.errors import SandboxLost, SandboxStarting
from freehold.ids import parse_timestamp, timestamp
from freehold.toolset import JsonObject

_log = logging.getLogger("freehold.sandboxes")

MAX_FAILED_STARTS = 3
TYPICAL_SECONDS = 20
"""From `RunTask` to a supervisor that listens (AWS.md 4.1: 22 to 28)."""
_DEAF_SECONDS = 120
"""A task that runs for as long and whose supervisor says nothing will not speak any more."""
_STUCK_SECONDS = 600
"""A task that ECS has not brought to run by then never will: pulling an image may fail for long."""


class Boots:
    """One slot at a time, one step after the other."""

    def __init__(
        self,
        slots: Slots,
        tasks: Tasks,
        dispatch: Dispatch,
        settings: Callable[[Slot], JsonObject],
    ) -> None:
        """`settings` makes the argument of the supervisor of a slot's boot."""
        self._slots = slots
        self._tasks = tasks
        self._dispatch = dispatch
        self._settings = settings

    def up(self, slot: Slot) -> Slot:
        """The slot with a supervisor that answers. Raises SandboxStarting until there is one,
        SandboxLost where three starts in a row came to nothing, StaleRead.
        """
        while True:
            if slot.failed_starts >= MAX_FAILED_STARTS:
                self._slots.write(slot, failed_starts=0)
                raise SandboxLost("The sandbox did not start. The server's log says why.")
            if slot.stopping:
                slot = self.down(slot)
            elif not slot.task:
                slot = self.started(slot)
            elif slot.address:
                if self._answers(slot, slot.address):
                    return slot
                slot = self.stopped(slot)
            else:
                slot = self._arrived(slot)

    def started(self, slot: Slot) -> Slot:
        """The slot with a task that was asked for; the boot id is written before ECS is asked.
        Raises StaleRead.
        """
        if slot.task or slot.stopping:
            return slot
        if not slot.boot_id:
            boot_id = f"boot_{os.urandom(16).hex()}"
            slot = self._slots.write(slot, boot_id=boot_id, boot_at=self._slots.now())
        try:
            task = self._tasks.run(slot, self._settings(slot))
        except NotStarted as failed:
            return self._failed(slot, str(failed))
        return self._slots.write(slot, task=task)

    def stopped(self, slot: Slot) -> Slot:
        """The slot with its task told to stop, if it has one. No other starts before it has
        stopped. Raises StaleRead.
        """
        if not slot.boot_id:
            return slot
        if not slot.stopping:
            slot = self._slots.write(slot, stopping=True, address="")
        if slot.task:
            self._tasks.stop(slot.task)
        return slot

    def down(self, slot: Slot) -> Slot:
        """The slot without a boot. Raises SandboxStarting until its task has stopped, StaleRead."""
        if not slot.boot_id:
            return slot
        slot = self.stopped(slot)
        if not slot.task:
            # Nobody knows whether ECS was asked: the same token tells which task it would be.
            try:
                slot = self._slots.write(slot, task=self._tasks.run(slot, self._settings(slot)))
            except NotStarted:
                return self.ended(slot, failed_starts=slot.failed_starts)
            self._tasks.stop(slot.task)
        task = self._tasks.look(slot.task)
        if task is not None and not task.is_stopped:
            raise SandboxStarting(2)
        return self.ended(slot, failed_starts=slot.failed_starts)

    def ended(self, slot: Slot, *, failed_starts: int = 0) -> Slot:
        """The slot without a boot; its task has stopped. Raises StaleRead."""
        return self._slots.write(
            slot,
            boot_id="",
            boot_at="",
            task="",
            address="",
            stopping=False,
            failed_starts=failed_starts,
        )

    # ------------------------------------------------------------ steps
    def _arrived(self, slot: Slot) -> Slot:
        """The address of a task that runs, once its supervisor answers there."""
        task = self._tasks.look(slot.task)
        if task is None or task.is_stopped:
            return self._failed(slot, "the task stopped before its supervisor answered")
        if not task.is_running or not task.address:
            if self._age(slot) > _STUCK_SECONDS:
                return self._given_up(slot, "the task did not come to run")
            raise SandboxStarting(self._patience(slot))
        return self._heard(slot, task)

    def _heard(self, slot: Slot, task: Task) -> Slot:
        if self._answers(slot, task.address):
            return self._slots.write(slot, address=task.address, failed_starts=0)
        if self._age(slot) > _DEAF_SECONDS:
            return self._given_up(slot, "the supervisor does not answer")
        raise SandboxStarting(1)

    def _answers(self, slot: Slot, address: str) -> bool:
        try:
            return self._dispatch.answers(Line(slot.slot_id, slot.boot_id, address))
        except DispatchFailed as failed:
            # The task may be well: nothing is to be stopped for this.
            raise SandboxStarting(2) from failed

    def _given_up(self, slot: Slot, reason: str) -> Slot:
        _log.warning("sandbox_failed", extra={"slot": slot.slot_id, "reason": reason})
        slot = self._slots.write(slot, failed_starts=slot.failed_starts + 1)
        return self.stopped(slot)

    def _failed(self, slot: Slot, reason: str) -> Slot:
        _log.warning("sandbox_failed", extra={"slot": slot.slot_id, "reason": reason})
        return self.ended(slot, failed_starts=slot.failed_starts + 1)

    def _age(self, slot: Slot) -> float:
        now = parse_timestamp(self._slots.now())
        return (now - parse_timestamp(slot.boot_at or self._slots.now())).total_seconds()

    def _patience(self, slot: Slot) -> int:
        """Not for long at once: an interrupt is noticed in between."""
        return int(max(1.0, min(5.0, TYPICAL_SECONDS - self._age(slot))))


def after(moment: str, seconds: float) -> str:
    """The timestamp that much later."""
    return timestamp(parse_timestamp(moment) + timedelta(seconds=seconds))
