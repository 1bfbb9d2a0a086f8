"""Lists of events and threads: their queries, and the pages of events (BEHAVIOUR 1.5, 6.4)."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from freehold.wire.base import Omittable, WireModel
from freehold.wire.events import LISTED_TYPES
from freehold.wire.queries import CreatedRange, Order, Query, QueryInt
from freehold.wire.threads import SessionThread, SessionThreadStatus, ThreadPage

__all__ = [
    "EventList",
    "EventPage",
    "EventStream",
    "SentEvents",
    "ThreadEventList",
    "ThreadList",
    "ThreadPage",
]

Limit1000 = Annotated[QueryInt, Field(ge=1, le=1000)]
MAX_EVENT_DELTAS = 100


def _listed(kind: str) -> str:
    if kind not in LISTED_TYPES:
        raise ValueError(f"unknown event type {kind!r}")
    return kind


ListedType = Annotated[
    str,
    AfterValidator(_listed),
    WithJsonSchema({"type": "string", "enum": sorted(LISTED_TYPES)}),
]


class EventList(CreatedRange):
    """Events of a session; time bounds are on `processed_at`."""

    limit: Limit1000 = 1000
    page: str | None = None
    order: Order = "asc"
    types: list[ListedType] | None = Field(default=None, alias="types[]")

    def admits(self, event: Mapping[str, Any]) -> bool:
        """Whether an event passes the filters; a queued one has no time and passes no bound."""
        if self.types is not None and event["type"] not in self.types:
            return False
        at = event.get("processed_at")
        return self.spans(at) if at is not None else not self.is_bounded

    @property
    def is_bounded(self) -> bool:
        """Whether there are bounds of time."""
        return bool(self.lower or self.upper)

    def is_passed(self, event: Mapping[str, Any]) -> bool:
        """Whether neither this event nor one behind it in the order asked is within the bounds of
        time: within a feed `processed_at` only rises.
        """
        at = event.get("processed_at")
        if at is None:
            return False
        return self.is_too_early(at) if self.order == "desc" else self.is_too_late(at)


class ThreadEventList(Query):
    """Events of a thread, oldest first."""

    limit: Limit1000 = 1000
    page: str | None = None


class ThreadList(Query):
    """Threads of a session, the primary and archived ones among them."""

    limit: Limit1000 = 1000
    page: str | None = None
    statuses: list[SessionThreadStatus] | None = Field(default=None, alias="statuses[]")

    def admits(self, thread: SessionThread) -> bool:
        """Whether a thread passes the filter."""
        return self.statuses is None or thread.status in self.statuses


class EventStream(Query):
    """What a live reader wants besides stored events."""

    event_deltas: (
        Annotated[
            list[Literal["agent.message", "agent.thinking"]], Field(max_length=MAX_EVENT_DELTAS)
        ]
        | None
    ) = Field(default=None, alias="event_deltas[]")


class EventPage(WireModel):
    """A page of events, as stored."""

    data: list[dict[str, Any]]
    next_page: Omittable[str] = None


class SentEvents(WireModel):
    """Answers a send: the events as stored, in the order sent."""

    data: list[dict[str, Any]]
