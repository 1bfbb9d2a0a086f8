"""What is kept for a time goes when the time is over: items with `expires_at`, in seconds since
1970, and the blob they name. On AWS the table would drop the items too, later.
"""

from __future__ import annotations

from typing import Any

from freehold.errors import StaleRead
from freehold.ports import App, Condition, Write

_BATCH = 100
_ROUNDS = 100
"""Batches of one sweep; the next one goes on."""


def drop_expired(app: App) -> int:
    """Deletes what has expired. Returns how many items."""
    dropped = 0
    for _ in range(_ROUNDS):
        keys = app.records.due("expire/", limit=_BATCH)
        found: list[Any] = app.records.get(keys) if keys else []
        now = app.clock().timestamp()
        over = [
            (key, item)
            for key, item in zip(keys, found, strict=True)
            if item is not None and item["expires_at"] <= now
        ]
        for key, item in over:
            unchanged = Condition("expires_at", "==", item["expires_at"], "expired as read")
            try:
                app.records.write([Write(key, delete=True, conditions=(unchanged,))])
            except StaleRead:
                continue  # written anew since
            if item.get("blob") is not None:
                app.blobs.delete(item["blob"])
            dropped += 1
        if len(over) < _BATCH:
            break
    return dropped
