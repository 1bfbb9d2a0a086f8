"""What happens to slots when nobody asks: they are made, stopped when idle, archived, erased.

Called once a minute. Everything it finds it finds in the table, and every step is one that anybody
may repeat; a visit that fails is made again when the slot is next due.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from freehold.adapters.fargate_sandbox.access_points import AccessPoints
from freehold.adapters.fargate_sandbox.archives import Archives
from freehold.adapters.fargate_sandbox.boots import Boots, after
from freehold.adapters.fargate_sandbox.egress import Egress
from freehold.adapters.fargate_sandbox.fleet import Blueprint, Fleet
from freehold.adapters.fargate_sandbox.slot import Slot
from freehold.adapters.fargate_sandbox.slots import Slots
from freehold.adapters.fargate_sandbox.tasks import Tasks
from freehold.adapters.fargate_sandbox.workspace_files import WorkspaceFiles
from freehold.errors import AmbiguousWrite, SandboxLost, SandboxStarting, StaleRead, Unavailable
from freehold.ids import new_id

_log = logging.getLogger("freehold.sandboxes")

_DAY = 24 * 60 * 60
_SOON = 30
_FREE_LOOK = 600
"""Seconds between two looks at the task of a free slot."""
_SAVE_SECONDS = 1_000
"""A function has 900: what has not come of it by now will not."""
PAUSE_SECONDS = 1.0
"""Between two registrations, which ECS takes at one a second (AWS.md 4.1)."""
_BUSY = (StaleRead, AmbiguousWrite, Unavailable, SandboxStarting, SandboxLost)


@dataclass(frozen=True, slots=True)
class World:
    """What upkeep works on. `archives` is the bucket, `files` the functions that mount."""

    slots: Slots
    boots: Boots[Slot]
    tasks: Tasks
    access_points: AccessPoints
    files: WorkspaceFiles
    archives: Archives
    egress: Egress | None = None
    """None where no sandbox has a network."""


class Upkeep:
    """Two at once do no harm: of their writes one is stale."""

    def __init__(self, world: World, fleet: Fleet, blueprint: Blueprint) -> None:
        self._world = world
        self._slots = world.slots
        self._boots = world.boots
        self._fleet = fleet
        self._blueprint = blueprint
        self._visits: dict[str, Callable[[Slot], None]] = {
            "making": self.make,
            "free": self._free,
            "adopted": self._adopted,
            "saving": self._saving,
            "restoring": self._restoring,
            "leaving": self._leaving,
        }

    def due(self) -> tuple[str, ...]:
        """Ids of slots to visit."""
        return self._slots.due()

    def visit(self, slot_id: str) -> None:
        """One slot that is due. What is busy is left for the next time."""
        slot = self._slots.get(slot_id)
        if slot is None:
            return
        try:
            self._visits[slot.state](slot)
        except _BUSY as busy:
            fields = {"slot": slot_id, "state": slot.state, "reason": type(busy).__name__}
            _log.info("slot_left_for_later", extra=fields)

    # ------------------------------------------------------------ the pool
    def refill(self, pause: Callable[[float], None], limit: int = 20) -> int:
        """Makes free slots up to the pool's number, at most `limit` now, one a second. Ends with
        the first that AWS is too busy for: what is `making` is due and goes on, and counts as if it
        were free. How many were made.

        One at least never had a task: what was archived is restored in no other.
        """
        made, free = 0, self._slots.free()
        wanted = max(self._blueprint.pool - len(free), int(all(slot.boot_at for slot in free)))
        missing = wanted - self._slots.making()
        for _ in range(min(limit, missing)):
            if made:
                pause(PAUSE_SECONDS)
            try:
                slot = self._slots.create(self._blueprint.file_systems)
                if slot is None:
                    _log.error("file_systems_full", extra={"slots": made})
                    break
                self.make(slot)
            except _BUSY:
                break
            made += 1
        return made

    def make(self, slot: Slot) -> None:
        """What AWS must have of a slot, and then it is free. Raises StaleRead, Unavailable."""
        if not slot.access_points:
            points = self._world.access_points.create(slot)
            slot = self._slots.write(slot, access_points=points)
        made = {"platform": self._blueprint.platform, "memory_mib": self._blueprint.memory_mib}
        if made != {name: getattr(slot, name) for name in made}:
            slot = self._slots.write(slot, **made)
        self._world.tasks.register(slot, self._blueprint)
        self._slots.publish(slot)

    def start_ahead(self) -> None:
        """Tasks for free slots, up to the blueprint's number."""
        free = self._slots.free()
        missing = self._blueprint.started - sum(bool(slot.boot_id) for slot in free)
        for slot in free:
            if missing <= 0 or slot.boot_id:
                continue
            missing -= 1
            try:
                begun = self._slots.write(slot, due=after(self._slots.now(), _SOON))
                self._boots.started(begun)
            except _BUSY:
                return

    def settle_egress(self) -> None:
        """The proxy stops once no sandbox uses it."""
        if self._world.egress is not None:
            self._world.egress.settle()

    def _free(self, slot: Slot) -> None:
        """Its task, if it has one, answers. One that is more than are to be started ahead goes."""
        now = self._slots.now()
        if not slot.boot_id:
            self._slots.write(slot, due="")
            return
        begun = [one for one in self._slots.free() if one.boot_id and not one.stopping]
        slot = self._slots.write(slot, due=after(now, _SOON))
        if slot.stopping or len(begun) > self._blueprint.started:
            self._boots.down(slot)
            return
        slot = self._boots.up(slot)
        self._slots.write(slot, due=after(now, _FREE_LOOK))

    # ------------------------------------------------------------ a session's
    def _adopted(self, slot: Slot) -> None:
        now = self._slots.now()
        if slot.boot_id:
            idle = after(slot.used_at, self._fleet.idle_seconds)
            if now < idle and not slot.stopping:
                self._slots.write(slot, due=idle)
                return
            self._boots.down(self._slots.write(slot, due=after(now, _SOON)))
            return
        rest = after(slot.used_at, self._blueprint.archive_days * _DAY)
        if now < rest:
            self._slots.write(slot, due=rest)
            return
        session = slot.session
        assert session is not None
        name = f"{_archives_of(slot)}{new_id('save')}"
        self._ask_to_save(self._slots.write(slot, state="saving", archive=name))

    def _saving(self, slot: Slot) -> None:
        if self._world.archives.has(slot.archive):
            self._slots.archived(slot)
        elif self._slots.now() > after(slot.asked_at or slot.used_at, _SAVE_SECONDS):
            # The files are where they were, and it is tried again after as many days.
            _log.error("save_failed", extra={"slot": slot.slot_id})
            now = self._slots.now()
            self._slots.write(slot, state="adopted", archive="", used_at=now, due=now)
        else:
            self._slots.write(slot, due=after(self._slots.now(), _SOON))

    def _ask_to_save(self, slot: Slot) -> None:
        now = self._slots.now()
        slot = self._slots.write(slot, asked_at=now, due=after(now, _SOON))
        self._world.files.begin_save(slot.file_system, slot.slot_id, slot.archive)

    def _restoring(self, slot: Slot) -> None:
        now = self._slots.now()
        if slot.asked_at and self._world.files.is_restored(slot.file_system, slot.slot_id):
            name = slot.archive
            self._slots.write(slot, state="adopted", archive="", asked_at="", used_at=now, due=now)
            self._world.archives.delete(name)
            return
        if slot.asked_at and now < after(slot.asked_at, _SAVE_SECONDS):
            self._slots.write(slot, due=after(now, _SOON))
            return
        slot = self._slots.write(slot, asked_at=now, due=after(now, _SOON))
        self._world.files.begin_restore(slot.file_system, slot.slot_id, slot.archive)

    # ------------------------------------------------------------ the end
    def _leaving(self, slot: Slot) -> None:
        """Task, files, access points, family, archives: the item goes last."""
        slot = self._slots.write(slot, due=after(self._slots.now(), _SOON))
        slot = self._boots.down(slot)
        if slot.file_system:
            if not self._world.files.erase(slot.file_system, slot.slot_id):
                return
            for access_point in slot.access_points:
                self._world.access_points.delete(access_point)
            self._world.tasks.deregister(slot.slot_id)
        if slot.session is not None:
            self._world.archives.delete(_archives_of(slot))
        self._slots.forget(slot)


def _archives_of(slot: Slot) -> str:
    """Where the archives of the slot's session are."""
    return f"archives/{slot.workspace_id}/{slot.session_id}/"
