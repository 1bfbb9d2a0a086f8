"""What a tombstone leaves to do: every item, blob and file of a deleted session goes, the tombstone
itself last.
"""

from __future__ import annotations

from collections.abc import Sequence

from freehold import keys
from freehold.errors import StaleRead
from freehold.keys import Key, SessionKey
from freehold.ports import App, Condition, SandboxRef, Write

_BATCH = 10
"""Items of one transaction: ten of the largest stay below its 4 MB."""


def purge_session(app: App, key: SessionKey) -> None:
    """Erases a deleted session. Safe to repeat: it may die between any two steps, and the tombstone
    is found again.
    """
    app.sandboxes.remove(SandboxRef(key.workspace_id, key.session_id))
    app.blobs.delete(key.partition + "/")
    more, after = True, ""
    while more:
        page = app.records.query(key.partition, after=after)
        more, items = page.more, [item for item, _ in page.items]
        after = items[-1].sk if items else ""
        _erase(app, key, [item for item in items if item != key.state()])
    dead = (Condition("dead", "==", value=True, reason="session is deleted"),)
    try:
        app.records.write([Write(key.state(), delete=True, conditions=dead)])
    except StaleRead:
        return  # somebody else finished first


def _erase(app: App, key: SessionKey, items: Sequence[Key]) -> None:
    """Feeds before the heads that name them."""
    for item in items:
        if item.sk.endswith("/head"):
            thread_id = item.sk.split("/")[1]
            feed = key.feed(thread_id)
            # Listeners stay, for they hold no content: they are told yet, or expire.
            for partition in (feed, keys.previews(feed)):
                _erase_partition(app, partition)
            app.log.forget(key, thread_id)
    for n in range(0, len(items), _BATCH):
        app.records.write([Write(item, delete=True) for item in items[n : n + _BATCH]])


def _erase_partition(app: App, pk: str) -> None:
    while found := app.records.query(pk, limit=_BATCH).items:
        app.records.write([Write(item, delete=True) for item, _ in found])
