"""What a workspace spends in a UTC day, in list cost, where the operator caps that.

It is added up in rows of the workspace, in the very transaction that books it with the session. A
session always adds to the same row, and there are several, so that sessions do not wait for each
other. They are read before each model request: a workspace overshoots by at most one request of
each running thread. Running time counts when its session idles.
"""

from __future__ import annotations

import zlib
from datetime import datetime, time, timedelta

from freehold import keys
from freehold.domain.draft import Draft
from freehold.domain.step import DayReached
from freehold.ids import timestamp
from freehold.money import DOLLAR
from freehold.ports import App, Item, Write

_ROWS = 8
"""What two sessions write at once conflicts where it is one row, and is tried again."""
_KEPT_DAYS = 35


def booking(app: App, draft: Draft) -> list[Write]:
    """What the transaction adds to the day of its workspace; nothing where there is no cap."""
    spent = draft.session.spend - draft.snapshot.session.spend
    if app.settings.workspace_daily_cap is None or not spent:
        return []
    key = draft.snapshot.key
    row = zlib.crc32(key.session_id.encode()) % _ROWS
    place = keys.day_spend(key.workspace_id, _day(draft.now), row)
    over = datetime.combine(draft.now.date() + timedelta(days=_KEPT_DAYS), time(), draft.now.tzinfo)
    kept: Item = {"expires_at": int(over.timestamp()), "due": f"expire/{timestamp(over)}"}
    return [Write(place, set=kept, add={"spend": spent})]


def spent_on(app: App, workspace_id: str, now: datetime) -> int:
    """Booked so far on the day, in units of `money`."""
    rows = [keys.day_spend(workspace_id, _day(now), n) for n in range(_ROWS)]
    amounts = (row["spend"] for row in app.records.get(rows) if row is not None)
    return sum(amount for amount in amounts if isinstance(amount, int))


def reached(app: App, workspace_id: str) -> DayReached | None:
    """Why no request may begin now; None below the cap, or where there is none."""
    cap, now = app.settings.workspace_daily_cap, app.clock()
    if cap is None or spent_on(app, workspace_id, now) < cap:
        return None
    morning = datetime.combine(now.date() + timedelta(days=1), time(), now.tzinfo)
    return DayReached(
        _day(now),
        f"The workspace has reached its cap of ${cap / DOLLAR:.2f} a day. Work goes on at"
        f" {timestamp(morning)}, or when the operator raises the cap.",
    )


def _day(now: datetime) -> str:
    return now.date().isoformat()
