"""Slots in the table. Each method is one transaction, and raises StaleRead when what it was decided
on has changed.

`_slots/{slot}` is the slot, `_free_slots` has a row for each free one, `_file_systems/{id}` counts
those of a file system, and a session's item `sandbox` says where its files are.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from freehold import keys
from freehold.adapters.fargate_sandbox.slot import Place, Slot, read_slot
from freehold.errors import StaleRead
from freehold.ids import new_id, timestamp
from freehold.keys import SessionKey
from freehold.ports import Condition, Records, Write, every_item, known

MAX_SLOTS = 4_000
"""Of a file system: two access points each, and EFS allows 10,000."""
_LOOKED_AT = 100
_ATTEMPTS = 5
_EXISTS = Condition("", "exists", reason="still free")
_ABSENT = Condition("", "absent", reason="not there yet")
_NOT_DELETED = Condition("dead", "!=", value=True, reason="session is not deleted")


class Slots:
    """What is known of every slot of an installation."""

    def __init__(self, records: Records, clock: Callable[[], datetime]) -> None:
        self._records = records
        self._clock = clock

    def now(self) -> str:
        return timestamp(self._clock())

    # ------------------------------------------------------------ reading
    def get(self, slot_id: str) -> Slot | None:
        (item,) = self._records.get([keys.slot(slot_id)])
        return None if item is None else read_slot(item)

    def place(self, session: SessionKey) -> Place | None:
        """None for a session that never had a sandbox."""
        (item,) = self._records.get([session.sandbox()])
        return None if item is None else Place(**known(Place, item))

    def of(self, session: SessionKey) -> Slot | None:
        """The slot of a session that has one."""
        place = self.place(session)
        return self.get(place.slot_id) if place is not None and place.slot_id else None

    def due(self) -> tuple[str, ...]:
        """The first hundred that are to be looked at now, the longest due first. May lag."""
        return tuple(slot.slot_id for slot in self._due())

    def making(self) -> int:
        """How many of those have yet to be made."""
        return sum(slot.state == "making" for slot in self._due())

    def _due(self) -> list[Slot]:
        now = self.now()
        waiting = self._records.due("slot/", limit=_LOOKED_AT)
        found = self._records.get(waiting) if waiting else []
        slots = [read_slot(item) for item in found if item is not None]
        return [slot for slot in slots if slot.due and slot.due <= now]

    def free(self) -> list[Slot]:
        """The first hundred that nobody has adopted."""
        rows = self._records.query(keys.FREE_SLOTS, limit=_LOOKED_AT).items
        if not rows:
            return []
        found = self._records.get([keys.slot(key.sk) for key, _ in rows])
        slots = [read_slot(item) for item in found if item is not None]
        return [slot for slot in slots if slot.state == "free"]

    def all(self) -> dict[str, Slot]:
        """Every slot, by its id."""
        return {key.sk: read_slot(item) for key, item in every_item(self._records, keys.SLOTS)}

    def has_session(self, session: SessionKey) -> bool:
        """Whether there is any such session, deleted or not."""
        return self._records.get([session.state()]) != [None]

    # ------------------------------------------------------------ writing
    def write(self, old: Slot, /, **changed: object) -> Slot:
        """The slot with these changes. Raises StaleRead when it is not as `old` any more."""
        new = self._next(old, **changed)
        self._records.write([_replaced(old, new)])
        return new

    def create(self, file_systems: Sequence[str]) -> Slot | None:
        """A slot in `making`, on the file system with the fewest; None where all are full."""
        counts = self._counts(file_systems)
        for file_system in sorted(file_systems, key=lambda one: counts[one]):
            slot = Slot(new_id("slot"), file_system, due=self.now())
            room = Condition("slots", "<", MAX_SLOTS, "room on the file system")
            counter = Write(keys.file_system(file_system), add={"slots": 1}, conditions=(room,))
            created = Write(keys.slot(slot.slot_id), put=slot.item(), conditions=(_ABSENT,))
            try:
                self._records.write([created, counter])
            except StaleRead as stale:
                if not stale.failed:
                    raise
                continue
            return slot
        return None

    def publish(self, slot: Slot) -> Slot:
        """It can be adopted from now on."""
        new = self._next(slot, state="free", due="")
        row = Write(keys.free_slot(slot.slot_id), put={}, conditions=(_ABSENT,))
        self._records.write([_replaced(slot, new), row])
        return new

    def withdraw(self, slot: Slot) -> Slot:
        """A free slot that nobody shall adopt."""
        new = self._next(slot, state="leaving", due=self.now())
        row = Write(keys.free_slot(slot.slot_id), delete=True, conditions=(_EXISTS,))
        self._records.write([_replaced(slot, new), row])
        return new

    def adopt(self, session: SessionKey) -> Slot | None:
        """A free slot becomes this session's, one with a task before one without. None where none
        is free; StaleRead where the session has one by now, or is deleted.
        """
        place = self.place(session)
        if place is not None and place.slot_id:
            raise StaleRead(["session has no slot yet"])
        for slot in self._candidates(is_restored=place is not None and bool(place.archive)):
            try:
                return self._adopt(slot, session, place)
            except StaleRead as stale:
                if _EXISTS.reason not in stale.failed and stale.failed:
                    raise
        return None

    def want(self, session: SessionKey) -> str:
        """Notes that the session waits for a slot; since when it does."""
        place = self.place(session)
        if place is not None and (place.slot_id or place.wanted_at):
            return place.wanted_at or self.now()
        now = self.now()
        wanted = Place(archive=place.archive if place else "", wanted_at=now)
        self._records.write([self._placed(session, place, wanted), self._alive(session)])
        return now

    def unwant(self, session: SessionKey) -> None:
        """It waits no longer: the next time it wants a slot is another one."""
        place = self.place(session)
        if place is not None and not place.slot_id and place.wanted_at:
            kept = replace(place, wanted_at="")
            self._records.write([self._placed(session, place, kept), self._alive(session)])

    def archived(self, slot: Slot) -> Slot:
        """The session's files are in `slot.archive` and the slot is not needed any more."""
        session = slot.session
        assert session is not None
        new = self._next(slot, state="leaving", session_id="", workspace_id="", due=self.now())
        place = Place(archive=slot.archive)
        put = self._placed(session, Place(slot_id=slot.slot_id), place)
        self._records.write([_replaced(slot, new), put])
        return new

    def remove(self, session: SessionKey) -> Slot | None:
        """What the session has of a slot leaves. Repeats itself where somebody else wrote first."""
        for attempt in range(_ATTEMPTS):
            try:
                return self._remove(session)
            except StaleRead:
                if attempt == _ATTEMPTS - 1:
                    raise
        return None

    def forget(self, slot: Slot) -> None:
        """Nothing is left of it. The last write of a slot."""
        gone = Write(keys.slot(slot.slot_id), delete=True, conditions=(_unchanged(slot),))
        writes = [gone]
        if slot.file_system:
            writes.append(Write(keys.file_system(slot.file_system), add={"slots": -1}))
        self._records.write(writes)

    # ------------------------------------------------------------ parts
    def _next(self, old: Slot, **changed: Any) -> Slot:
        return replace(old, revision=old.revision + 1, **changed)

    def _candidates(self, *, is_restored: bool) -> list[Slot]:
        """In random order, so that many who come at once do not all want the same. Files are
        restored where no task has mounted anything yet.
        """
        found = self.free()
        random.shuffle(found)
        if is_restored:
            return [slot for slot in found if not slot.boot_at]
        return sorted(found, key=lambda slot: not slot.boot_id)

    def _adopt(self, slot: Slot, session: SessionKey, place: Place | None) -> Slot:
        archive = place.archive if place is not None else ""
        now = self.now()
        new = self._next(
            slot,
            state="restoring" if archive else "adopted",
            workspace_id=session.workspace_id,
            session_id=session.session_id,
            archive=archive,
            used_at=now,
            due=now,
        )
        row = Write(keys.free_slot(slot.slot_id), delete=True, conditions=(_EXISTS,))
        taken = Condition("revision", "==", slot.revision, _EXISTS.reason)
        changed = Write(keys.slot(slot.slot_id), put=new.item(), conditions=(taken,))
        put = self._placed(session, place, Place(slot_id=slot.slot_id))
        self._records.write([changed, row, put, self._alive(session)])
        return new

    def _placed(self, session: SessionKey, old: Place | None, new: Place) -> Write:
        """Conditions on every part of what was read."""
        if old is None:
            conditions: tuple[Condition, ...] = (_ABSENT,)
        else:
            conditions = tuple(
                Condition(name, "==", value or None, f"session's {name} as read")
                for name, value in asdict(old).items()
            )
        put = {name: value for name, value in asdict(new).items() if value}
        return Write(session.sandbox(), put=put, conditions=conditions)

    def _alive(self, session: SessionKey) -> Write:
        return Write(session.state(), conditions=(_NOT_DELETED,))

    def _remove(self, session: SessionKey) -> Slot | None:
        place = self.place(session)
        if place is None:
            return None
        slot = self.get(place.slot_id) if place.slot_id else None
        if slot is not None:
            return slot if slot.state == "leaving" else self._leave(slot)
        if place.slot_id or not place.archive:
            return None
        # Nothing is left but an archive. A slot without files carries its name until it is gone.
        carrier = Slot(
            new_id("slot"),
            state="leaving",
            workspace_id=session.workspace_id,
            session_id=session.session_id,
            due=self.now(),
        )
        created = Write(keys.slot(carrier.slot_id), put=carrier.item(), conditions=(_ABSENT,))
        put = self._placed(session, place, Place(slot_id=carrier.slot_id))
        self._records.write([created, put])
        return carrier

    def _leave(self, slot: Slot) -> Slot:
        return self.write(slot, state="leaving", due=self.now())

    def _counts(self, file_systems: Sequence[str]) -> dict[str, int]:
        found: list[Any] = self._records.get([keys.file_system(one) for one in file_systems])
        for one, item in zip(file_systems, found, strict=True):
            if item is None:
                self._count_from_zero(one)
        return {
            one: item["slots"] if item is not None else 0
            for one, item in zip(file_systems, found, strict=True)
        }

    def _count_from_zero(self, file_system: str) -> None:
        zero = Write(keys.file_system(file_system), put={"slots": 0}, conditions=(_ABSENT,))
        try:
            self._records.write([zero])
        except StaleRead:
            return  # somebody else did


def _unchanged(slot: Slot) -> Condition:
    return Condition("revision", "==", slot.revision, "slot as read")


def _replaced(old: Slot, new: Slot) -> Write:
    return Write(keys.slot(old.slot_id), put=new.item(), conditions=(_unchanged(old),))
