"""A slot: files that only one session's tasks will ever reach, and the task that runs on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from freehold.keys import SessionKey
from freehold.ports import Item, known

State: TypeAlias = Literal["making", "free", "adopted", "saving", "restoring", "leaving"]
DIRECTORIES: Mapping[str, str] = {"workspace": "/workspace", "outputs": "/mnt/session/outputs"}
"""What of a sandbox is on the slot's file system, by the name of its access point."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One item of the table. `revision` rises with each write of it, and each write conditions on
    the one it was decided on. Times are timestamps, empty where there was none.
    """

    slot_id: str
    file_system: str = ""
    """Empty for one without files, that only says what of its session is to go."""
    state: State = "making"
    revision: int = 0
    access_points: tuple[str, ...] = ()
    """Their ids, in the order of `DIRECTORIES`."""
    platform: str = ""
    """Image and architecture of its family."""
    memory_mib: int = 0
    """Of its family; 0 where an earlier release made it."""
    workspace_id: str = ""
    session_id: str = ""
    boot_id: str = ""
    """Of the task that runs or is about to; empty where none is."""
    task: str = ""
    """Its ARN, once `RunTask` has answered."""
    address: str = ""
    """Once its supervisor has answered there."""
    egress: str = ""
    """The boot id of the egress proxy that may know this slot's boot."""
    stopping: bool = False
    """The task of `boot_id` was told to stop, and no other may start before it has."""
    failed_starts: int = 0
    """In a row."""
    boot_at: str = ""
    """Of the last one; empty where no task has mounted anything yet."""
    used_at: str = ""
    archive: str = ""
    """The object that is being saved or restored."""
    asked_at: str = ""
    """When that was last asked for."""
    due: str = ""
    """When upkeep looks at it again."""

    @property
    def session(self) -> SessionKey | None:
        """Whose it is."""
        return SessionKey(self.workspace_id, self.session_id) if self.session_id else None

    def item(self) -> dict[str, Any]:
        """As it is stored; what is empty is left out."""
        found = {name: value for name, value in asdict(self).items() if value or name == "revision"}
        if self.access_points:
            found["access_points"] = list(self.access_points)
        if self.due:
            found["due"] = f"slot/{self.due}"
        return found


def read_slot(item: Item) -> Slot:
    """The inverse of `Slot.item`."""
    given = known(Slot, item)
    given["access_points"] = tuple(given.get("access_points", ()))
    given["due"] = given.get("due", "").removeprefix("slot/")
    return Slot(**given)


@dataclass(frozen=True, slots=True)
class Place:
    """What a session knows of its sandbox: its slot, or the object that holds its files while it
    has none, or only since when it wants one.
    """

    slot_id: str = ""
    archive: str = ""
    wanted_at: str = ""
