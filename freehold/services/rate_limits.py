"""Requests a minute, by workspace and kind, where the operator sets a limit (BEHAVIOUR 1.4).

Counted in the store, so that any number of processes share one allowance; a request costs a read
and a small write, a refused one the read. One item counts, over and over: nothing is left behind.
"""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from freehold import keys
from freehold.errors import AmbiguousWrite, RateLimited, StaleRead, Unavailable
from freehold.ports import Condition, Write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freehold.keys import Key
    from freehold.ports import App
    from freehold.services.keys import Caller

Kind = Literal["create", "read"]

_WINDOW_SECONDS = 60
_LONGEST_PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left in this minute after the request. `is_exceeded`: the request is over it."""

    kind: Kind
    limit: int
    remaining: int
    reset: datetime
    is_exceeded: bool = False

    def headers(self) -> Mapping[str, str]:
        """As the API says it."""
        family = "anthropic-ratelimit-requests"
        return {
            f"{family}-limit": str(self.limit),
            f"{family}-remaining": str(self.remaining),
            f"{family}-reset": self.reset.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def check(self, now: datetime) -> None:
        """Raises RateLimited, saying when a repeat helps."""
        if self.is_exceeded:
            raise RateLimited(
                f"This workspace has made its {self.limit} {self.kind} requests of this minute.",
                retry_after=max(1, math.ceil((self.reset - now).total_seconds())),
                headers=self.headers(),
            )


def count_request(app: App, caller: Caller, kind: Kind) -> Allowance | None:
    """Counts one request of the workspace. None where there is no limit. Raises Unavailable."""
    limit = _limit(app, kind)
    if limit is None:
        return None
    place = keys.rate_limit(caller.workspace_id, kind)
    for attempt in range(app.settings.write_attempts):
        if attempt:
            time.sleep(random.uniform(0, _LONGEST_PAUSE))  # noqa: S311 - jitter, not a secret
        window = int(app.clock().timestamp()) // _WINDOW_SECONDS
        item: Any = app.records.get([place])[0]
        counted = _Counted.of(item, window)
        reset = datetime.fromtimestamp((counted.window + 1) * _WINDOW_SECONDS, UTC)
        if counted.count >= limit:
            return Allowance(kind, limit, 0, reset, is_exceeded=True)
        try:
            app.records.write([counted.one_more(place, limit)])
        except StaleRead:
            continue
        except AmbiguousWrite:
            pass  # counted, or one too few: not worth a refusal
        return Allowance(kind, limit, limit - counted.count - 1, reset)
    raise Unavailable("The store did not take the write in time.", retry_after=1)


def _limit(app: App, kind: Kind) -> int | None:
    settings = app.settings
    create, read = settings.create_requests_per_minute, settings.read_requests_per_minute
    return create if kind == "create" else read


@dataclass(frozen=True, slots=True)
class _Counted:
    """The requests of a minute as read; `stored` is the minute in the store, None before the
    first.
    """

    window: int
    count: int
    stored: int | None

    @classmethod
    def of(cls, item: Any, window: int) -> _Counted:
        """A minute in the store that is the next one is counted on: another clock is ahead. One
        beyond it was a clock that was wrong, and would refuse requests until its time comes.
        """
        if item is None:
            return cls(window, 0, None)
        if window <= item["window"] <= window + 1:
            return cls(item["window"], item["count"], item["window"])
        return cls(window, 0, item["window"])

    def one_more(self, place: Key, limit: int) -> Write:
        if self.stored is None:
            absent = Condition("", "absent", reason="first request")
            return Write(place, put={"window": self.window, "count": 1}, conditions=(absent,))
        same = Condition("window", "==", self.stored, "minute as read")
        if self.stored != self.window:
            return Write(place, set={"window": self.window, "count": 1}, conditions=(same,))
        below = Condition("count", "<", limit, "below the limit")
        return Write(place, add={"count": 1}, conditions=(same, below))
