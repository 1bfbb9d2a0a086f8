"""Which schema version the items of a store have, and the way from each version to the next.

The version is an item of its own, on every store alike. Version 1 did not write it, so a store
without one has version 1. A release reads and writes one version, `VERSION`; a later one is refused
with the name of the release that wrote it.

A step adds what the next version needs, through the port, so that it is the same on a laptop and on
AWS. It must be safe to repeat and must leave what the release before it reads as it was: on AWS
both work side by side while a deployment is under way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from freehold import __version__, keys
from freehold.errors import AmbiguousWrite, NewerStore, StaleRead, Unavailable
from freehold.ports import Condition, Item, Records, Write, every_item

VERSION = 2
_ATTEMPTS = 20

Step = Callable[[Records], None]


@dataclass(frozen=True, slots=True)
class Schema:
    """`release` wrote the store's version; it and every later release read it. Empty for version 1,
    which every release reads.
    """

    version: int
    release: str


def current_item() -> Item:
    """What a store holds that this release made or brought up to date."""
    return {"version": VERSION, "release": __version__}


def schema_of(item: Item | None) -> Schema:
    """Read leniently: later releases may say more."""
    stored: Any = item or {}
    return Schema(int(stored.get("version", 1)), str(stored.get("release", "")))


def refusal(found: Schema) -> str:
    """Why a store of a later version is not used, and what reads it."""
    release = f"Freehold {found.release}" if found.release else "a later release of Freehold"
    return (
        f"it has schema version {found.version}, written by {release}, and this release "
        f"({__version__}) knows {VERSION}; use that release or a later one"
    )


def migrate(records: Records, steps: Mapping[int, Step] | None = None) -> Schema:
    """Brings the store to `VERSION`, one version after the other; what it was before.

    The version moves last and only from where it was read: a crash leaves a step to repeat, and of
    two processes one moves it. Raises NewerStore, Unavailable.
    """
    chosen = STEPS if steps is None else steps
    before: Schema | None = None
    for _ in range(_ATTEMPTS):
        item = records.get([keys.SCHEMA])[0]
        found = schema_of(item)
        if found.version > VERSION:
            raise NewerStore(f"The store cannot be used: {refusal(found)}.")
        before = before or found
        if found.version == VERSION:
            return before
        chosen[found.version](records)
        try:
            records.write([_advance(item, found.version + 1)])
        except (StaleRead, AmbiguousWrite):
            continue  # somebody else, or an attempt of ours, moved it
    raise Unavailable("The store did not take the migration in time. Run it again.")


def _advance(item: Item | None, version: int) -> Write:
    as_read = (
        Condition("version", "==", item["version"], "schema version as read")
        if item
        else Condition("", "absent", reason="schema version as read")
    )
    return Write(
        keys.SCHEMA, put={"version": version, "release": __version__}, conditions=(as_read,)
    )


def _list_workspaces(records: Records) -> None:
    """1 to 2. Workspaces were found by their name alone, so nobody could say which there are: each
    gets a row, from the keys that were made of it.
    """
    for _, key in every_item(records, keys.API_KEYS):
        workspace_id, name = key["workspace_id"], key["workspace"]
        row: Item = {"workspace_id": workspace_id, "workspace": name}
        records.write([Write(keys.workspace_row(str(workspace_id)), put=row)])


STEPS: Mapping[int, Step] = {1: _list_workspaces}
"""By the version that a step begins with."""
