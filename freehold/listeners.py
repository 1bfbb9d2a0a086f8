"""Who follows a feed from a process that cannot be called, and what is previewed to them: the rows
of `keys.listeners` and `keys.previews` (ADR 0007).

`expires_at`, in seconds since the epoch, is the table's time to live. A row may outlast it by days:
whoever reads one asks `is_live`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from freehold import keys
from freehold.ids import new_id
from freehold.keys import Key
from freehold.ports import Item, Records
from freehold.toolset import JsonObject

LEASE = timedelta(seconds=60)
"""How long a stream that died goes on being previewed to."""
RENEWAL = timedelta(seconds=20)
"""Of a lease that is in use; one that fails is made up for by the next."""
PREVIEW_LIFE = timedelta(minutes=5)
"""No reader is that far behind: previews are superseded within a request of the model."""
_PAGE = 100


def stream_row(now: datetime) -> Item:
    """A stream that wants previews, until it renews this."""
    return {"wanted": True, "expires_at": _seconds(now + LEASE)}


def socket_row(
    caller: Item, *, cursor: int, wanted: Sequence[str], expires: datetime, attempts: int = 0
) -> Item:
    """A connection that follows the feed: `cursor` is the last sequence number that it was sent,
    `wanted` the event types it previews, `caller` whose key it was opened with.
    """
    return {
        **caller,
        "cursor": cursor,
        "wanted": list(wanted),
        "attempts": attempts,
        "expires_at": _seconds(expires),
    }


def is_live(row: Item, now: datetime) -> bool:
    """Whether the row's time has not passed."""
    return cast("int", row["expires_at"]) > now.timestamp()


def wants_previews(records: Records, topic: str, now: datetime) -> bool:
    """Whether anybody who follows this feed from another process previews it. Blocks.

    Raises Unavailable.
    """
    for kind in ("stream/", "socket/"):
        after, more = "", True
        while more:
            page = records.query(keys.listeners(topic), after=after, prefix=kind, limit=_PAGE)
            if any(row["wanted"] and is_live(row, now) for _, row in page.items):
                return True
            more = page.more
            after = page.items[-1][0].sk if page.items else ""
    return False


def preview_row(
    topic: str, frames: Sequence[JsonObject], now: datetime, *, follows: str = ""
) -> tuple[Key, Item]:
    """An item of frames, in order; items sort by when they were made. `follows`: the sort key of
    the one before it that is known to be written, by which a reader knows that one is missing.
    """
    key = Key(keys.previews(topic), new_id("preview", now))
    text = json.dumps(frames, separators=(",", ":"))
    expires_at = _seconds(now + PREVIEW_LIFE)
    return key, {"frames": text, "follows": follows, "expires_at": expires_at}


def frames_of(row: Item) -> list[JsonObject]:
    """The frames of an item of `keys.previews`."""
    found: Any = json.loads(cast("str", row["frames"]))
    return cast("list[JsonObject]", found)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
