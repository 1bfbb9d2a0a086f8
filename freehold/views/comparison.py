"""Two histories of one session, held against each other: the same but for ids, times and sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freehold.toolset import Json, JsonObject

_TIMES = ("processed_at",)
_SUMS = ("usage", "model_usage")
"""Spans do not say how cache writes divide by lifetime, nor what a request that was cut used: what
a log has of either cannot be given to a model that is to report it again."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first event that differs, by its number; null where one history has ended."""

    thread_id: str
    seq: int
    recorded: JsonObject | None
    replayed: JsonObject | None


def first_difference(
    thread_id: str, recorded: Sequence[JsonObject], replayed: Sequence[JsonObject]
) -> Difference | None:
    """None where both are the same."""
    pairs = zip_longest(_canonical(recorded), _canonical(replayed))
    for n, (one, other) in enumerate(pairs):
        if one != other:
            return Difference(thread_id, n + 1, one, other)
    return None


def _canonical(events: Iterable[JsonObject]) -> list[JsonObject]:
    """Ids by the place where each is first told of."""
    names: dict[str, str] = {}
    found = []
    for event in events:
        names.setdefault(str(event["id"]), f"event {len(names) + 1}")
        found.append({name: _value(name, value, names) for name, value in event.items()})
    return found


def _value(name: str, value: Json, names: Mapping[str, str]) -> Json:
    if name in _TIMES:
        return None if value is None else "(time)"
    if name in _SUMS:
        return "(sums)"
    return _named(value, names)


def _named(value: Json, names: Mapping[str, str]) -> Json:
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    if isinstance(value, dict):
        return {name: _named(item, names) for name, item in value.items()}
    return value
