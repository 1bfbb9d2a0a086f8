"""What is in AWS against what is in the table, both ways.

A slot's item is written before the first thing is made for it and deleted after the last one is
gone. So a thing whose slot has no item, or names another, is one that a request made which arrived
late: it goes. The item is read after the thing was seen, so what is being made is never taken for
it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from freehold.adapters.fargate_sandbox.slot import Slot
from freehold.adapters.fargate_sandbox.upkeep import World
from freehold.errors import StaleRead
from freehold.keys import SessionKey

_log = logging.getLogger("freehold.sandboxes")


class Inventory:
    """Safe to run at any time, by anybody."""

    def __init__(self, world: World, file_systems: Sequence[str]) -> None:
        self._world = world
        self._slots = world.slots
        self._file_systems = file_systems

    def compare(self) -> int:
        """Removes what has no owner, and lets go of what has lost what it needs. How many of them
        there were. Raises Unavailable.
        """
        known = self._slots.all()
        families = set(self._world.tasks.families())
        points = {
            point: slot_id
            for file_system in self._file_systems
            for point, slot_id in self._world.access_points.all(file_system).items()
        }
        found = self._stop_tasks() + self._deregister(families) + self._delete_points(points)
        found += self._erase_files() + self._delete_archives()
        for slot in known.values():
            found += self._let_go(slot, families, set(points))
        return found

    # ------------------------------------------------------------ things without an item
    def _stop_tasks(self) -> int:
        stopped = 0
        for task in self._world.tasks.running():
            slot = self._slots.get(task.slot_id)
            is_owned = slot is not None and (
                slot.task == task.arn or (bool(slot.boot_id) and not slot.task)
            )
            is_proxy = self._world.egress is not None and self._world.egress.owns(task)
            if not is_owned and not is_proxy:
                self._world.tasks.stop(task.arn)
                stopped += _note("task", task.slot_id)
        return stopped

    def _deregister(self, families: set[str]) -> int:
        deregistered = 0
        for slot_id in families:
            if self._slots.get(slot_id) is None:
                self._world.tasks.deregister(slot_id)
                deregistered += _note("family", slot_id)
        return deregistered

    def _delete_points(self, points: dict[str, str]) -> int:
        deleted = 0
        for point, slot_id in points.items():
            slot = self._slots.get(slot_id)
            if slot is None or (slot.access_points and point not in slot.access_points):
                self._world.access_points.delete(point)
                deleted += _note("access_point", slot_id)
        return deleted

    def _erase_files(self) -> int:
        erased = 0
        for file_system in self._file_systems:
            for slot_id in self._world.files.slots(file_system):
                if self._slots.get(slot_id) is None:
                    self._world.files.erase(file_system, slot_id)
                    erased += _note("files", slot_id)
        return erased

    def _delete_archives(self) -> int:
        deleted = 0
        for name in self._world.archives.names():
            _, workspace_id, session_id, _ = name.split("/")
            session = SessionKey(workspace_id, session_id)
            place, slot = self._slots.place(session), self._slots.of(session)
            kept = {place.archive if place else "", slot.archive if slot else ""}
            if name not in kept:
                self._world.archives.delete(name)
                deleted += _note("archive", session_id)
        return deleted

    # ------------------------------------------------------------ items without a thing
    def _let_go(self, slot: Slot, families: set[str], points: set[str]) -> int:
        """A free slot that lacks something is not given to anybody; one whose session is gone
        leaves.
        """
        try:
            is_whole = slot.slot_id in families and points.issuperset(slot.access_points)
            if slot.state == "free" and not is_whole:
                self._slots.withdraw(slot)
                return _note("free_slot", slot.slot_id)
            if slot.state in {"adopted", "saving", "restoring"}:
                session = slot.session
                assert session is not None
                if not self._slots.has_session(session):
                    self._slots.write(slot, state="leaving", due=self._slots.now())
                    return _note("slot", slot.slot_id)
                if not is_whole:
                    _log.error("slot_damaged", extra={"slot": slot.slot_id})
        except StaleRead:
            return 0  # somebody has it in hand
        return 0


def _note(kind: str, of: str) -> int:
    _log.warning("orphan_removed", extra={"kind": kind, "of": of})
    return 1
