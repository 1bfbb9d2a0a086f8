"""What a tombstone leaves to do: every item, blob and file of a deleted session goes, the tombstone itself last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from freehold.errors import StaleRead
from freehold.keys import Key, SessionKey
from freehold.ports import App, Condition, SandboxRef, Write

_BATCH = 25


def purge_session(app: App, key: SessionKey) -> None:
    """Erases a deleted session. Safe to repeat: it may die between any two steps, and the tombstone is found again."""
    app.sandboxes.remove(SandboxRef(key.workspace_id, key.session_id))
    app.blobs.delete(key.partition + "/")
    items = [k for k, _ in app.records.query(key.partition, limit=1000).items]
    for item in items:
        if item.sk.endswith("/head"):
            _erase(app, _keys_of(app, key.feed(item.sk.split("/")[1])))
    _erase(app, iter([item for item in items if item != key.state()]))
    dead = (Condition("dead", "==", value=True, reason="session is deleted"),)
    try:
        app.records.write([Write(key.state(), delete=True, conditions=dead)])
    except StaleRead:
        return  # somebody else finished first


def _keys_of(app: App, pk: str) -> Iterator[Key]:
    """Every key of a partition, page by page, while it is being emptied."""
    while found := [key for key, _ in app.records.query(pk, limit=200).items]:
        yield from found


def _erase(app: App, keys: Iterator[Key]) -> None:
    batch: Sequence[Key]
    while batch := list(islice(keys, _BATCH)):
        app.records.write([Write(key, delete=True) for key in batch])
