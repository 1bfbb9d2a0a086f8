"""What a batch of the table's stream asks the fan-out to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from freehold import keys, listeners
from freehold.toolset import JsonObject


@dataclass(slots=True)
class Call:
    """What the batch says about one feed."""

    topic: str
    records: list[str] = field(default_factory=list)
    """Sequence numbers of the records that say it."""
    everybody: bool = False
    """Whether it was written to, so that all who follow it look."""
    alone: set[str] = field(default_factory=set)
    """Connections whose own rows were written."""
    previews: list[tuple[str, list[JsonObject]]] = field(default_factory=list)
    """Items of previews by their ids, in order."""


def calls_of(records: Iterable[Mapping[str, Any]]) -> list[Call]:
    """One for each feed, in order. Records that were not asked for say nothing."""
    calls: dict[str, Call] = {}
    for record in records:
        change = record["dynamodb"]
        place = keys.Key(change["Keys"]["pk"]["S"], change["Keys"]["sk"]["S"])
        found = keys.parse_beside(place.pk)
        if found is None or "NewImage" not in change:
            continue
        topic, kind = found
        call = calls.setdefault(topic, Call(topic))
        call.records.append(change["SequenceNumber"])
        if kind == "previews":
            row = {"frames": change["NewImage"]["frames"]["S"]}
            call.previews.append((place.sk, listeners.frames_of(row)))
        elif kind == "listeners":
            call.alone.add(place.sk.removeprefix(keys.SOCKETS))
        else:
            call.everybody = True
    return list(calls.values())
