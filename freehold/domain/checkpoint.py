"""Checkpoints: where a conversation was shortened, as the private halves of commits have it (ADR
0011). A reader begins at the newest one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from freehold.domain.entry import Entry
from freehold.toolset import JsonObject

CHECKPOINT = "checkpoint"
CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`summary` stands for everything before the commit of version `cut`, which holds a reply;
    `operator` is what an operator said before it.
    """

    summary: str
    cut: int
    operator: tuple[JsonObject, ...]

    def to_private(self) -> JsonObject:
        return {"summary": self.summary, "cut": self.cut, "operator": [*self.operator]}


def latest_checkpoint(entries: Sequence[Entry]) -> Checkpoint | None:
    """The newest among these commits."""
    for entry in reversed(entries):
        found = entry.private.get(CHECKPOINT)
        if isinstance(found, dict):
            operator = found["operator"]
            assert isinstance(operator, list)
            blocks = tuple(block for block in operator if isinstance(block, dict))
            return Checkpoint(str(found["summary"]), int(str(found["cut"])), blocks)
    return None


def cleared_before(entries: Sequence[Entry]) -> int:
    """The version before which results are cleared; 0 where none are."""
    return max((int(str(entry.private.get(CLEARED, 0))) for entry in entries), default=0)
