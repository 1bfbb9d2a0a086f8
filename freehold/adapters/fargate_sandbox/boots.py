"""How a slot comes to have a running task, and to have none again; and what else is a task.

Every step is decided on the slot as it was read and written on that condition, so anybody may take
the next one after a crash. Nothing here waits: what takes its time is SandboxStarting.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

from freehold.adapters.fargate_sandbox.dispatch import DispatchFailed, Line
from freehold.adapters.fargate_sandbox.tasks import NotStarted, Task
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


class Booted(Protocol):
    """What of a slot says which task it has."""

    @property
    def slot_id(self) -> str: ...
    @property
    def boot_id(self) -> str: ...
    @property
    def boot_at(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def stopping(self) -> bool: ...
    @property
    def failed_starts(self) -> int: ...


B = TypeVar("B", bound=Booted)
B_contra = TypeVar("B_contra", bound=Booted, contravariant=True)


class Store(Protocol[B]):
    """`Slots`, as far as boots need it."""

    def now(self) -> str: ...
    def write(self, old: B, /, **changed: object) -> B: ...


class Runner(Protocol[B_contra]):
    """`Tasks`, as far as boots need it."""

    def run(self, slot: B_contra, settings: JsonObject, /) -> str: ...
    def look(self, arn: str, /) -> Task | None: ...
    def stop(self, arn: str, /) -> None: ...


class Hearing(Protocol):
    """`Dispatch`, as far as boots need it."""

    def answers(self, line: Line, /) -> bool: ...


class Boots(Generic[B]):
    """One slot at a time, one step after the other."""

    def __init__(
        self,
        slots: Store[B],
        tasks: Runner[B],
        dispatch: Hearing,
        settings: Callable[[B], JsonObject],
        before_stop: Callable[[B], B] = lambda slot: slot,
    ) -> None:
        """`settings` makes the argument of the program of a slot's boot. `before_stop` does what is
        to be done before its task stops, any number of times; it raises what `down` does.
        """
        self._slots = slots
        self._tasks = tasks
        self._dispatch = dispatch
        self._settings = settings
        self._before_stop = before_stop

    def up(self, slot: B) -> B:
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

    def started(self, slot: B) -> B:
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

    def stopped(self, slot: B) -> B:
        """The slot with its task told to stop, if it has one. No other starts before it has
        stopped. Raises StaleRead, and SandboxStarting where something has to go first.
        """
        if not slot.boot_id:
            return slot
        if not slot.stopping:
            slot = self._slots.write(slot, stopping=True, address="")
        slot = self._before_stop(slot)
        if slot.task:
            self._tasks.stop(slot.task)
        return slot

    def down(self, slot: B) -> B:
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

    def ended(self, slot: B, *, failed_starts: int = 0) -> B:
        """The slot without a boot; its task has stopped. Raises StaleRead, SandboxStarting."""
        slot = self._before_stop(slot)
        return self._slots.write(
            slot,
            boot_id="",
            task="",
            address="",
            stopping=False,
            failed_starts=failed_starts,
        )

    # ------------------------------------------------------------ steps
    def _arrived(self, slot: B) -> B:
        """The address of a task that runs, once its supervisor answers there."""
        task = self._tasks.look(slot.task)
        if task is None or task.is_stopped:
            return self._failed(slot, "the task stopped before its supervisor answered")
        if not task.is_running or not task.address:
            if self._age(slot) > _STUCK_SECONDS:
                return self._given_up(slot, "the task did not come to run")
            raise SandboxStarting(self._patience(slot))
        return self._heard(slot, task)

    def _heard(self, slot: B, task: Task) -> B:
        if self._answers(slot, task.address):
            return self._slots.write(slot, address=task.address, failed_starts=0)
        if self._age(slot) > _DEAF_SECONDS:
            return self._given_up(slot, "the supervisor does not answer")
        raise SandboxStarting(1)

    def _answers(self, slot: B, address: str) -> bool:
        try:
            return self._dispatch.answers(Line(slot.slot_id, slot.boot_id, address))
        except DispatchFailed as failed:
            # The task may be well: nothing is to be stopped for this.
            raise SandboxStarting(2) from failed

    def _given_up(self, slot: B, reason: str) -> B:
        _log.warning("sandbox_failed", extra={"slot": slot.slot_id, "reason": reason})
        slot = self._slots.write(slot, failed_starts=slot.failed_starts + 1)
        return self.stopped(slot)

    def _failed(self, slot: B, reason: str) -> B:
        _log.warning("sandbox_failed", extra={"slot": slot.slot_id, "reason": reason})
        return self.ended(slot, failed_starts=slot.failed_starts + 1)

    def _age(self, slot: B) -> float:
        now = parse_timestamp(self._slots.now())
        return (now - parse_timestamp(slot.boot_at or self._slots.now())).total_seconds()

    def _patience(self, slot: B) -> int:
        """Not for long at once: an interrupt is noticed in between."""
        return int(max(1.0, min(5.0, TYPICAL_SECONDS - self._age(slot))))


def after(moment: str, seconds: float) -> str:
    """The timestamp that much later."""
    return timestamp(parse_timestamp(moment) + timedelta(seconds=seconds))
