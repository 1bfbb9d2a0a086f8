"""Listeners: connections that follow a feed, as rows of the feed's listeners (ADR 0007).

What is written here is fenced by the subscription: what was sent for an earlier one of the same
connection says nothing about this one, which may have begun at an earlier place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from freehold import keys, listeners
from freehold.errors import StaleRead, Unavailable
from freehold.ports import Condition, Write, every_item
from freehold.services.keys import Caller

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freehold.keys import Key
    from freehold.ports import App, Item

MAX_ATTEMPTS = 10
"""In a row, after which a connection that takes nothing is closed."""
_RETRY_AFTER = 30
"""Seconds after which a doorbell serves a listener that kept it waiting: its own may be lost."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A connection that follows a feed, as it stands."""

    topic: str
    connection_id: str
    subscription: str
    """An id of its own."""
    session_id: str
    thread_id: str
    caller: Caller
    cursor: int
    """The last sequence number that it was sent."""
    wanted: frozenset[str]
    """Event types that it previews."""
    expires_at: int
    last: int | None = None
    """Where the feed ends, if it had ended when this began."""
    span: str = ""
    """The start of the open model request, once it was sent."""
    started: tuple[str, ...] = ()
    """Events of that request whose previews have begun and may go on."""
    previewed: str = ""
    """The newest item of previews that was taken up for it."""
    attempts: int = 0
    """How often in a row it took nothing."""
    tried_at: int = 0

    @property
    def key(self) -> Key:
        return keys.socket_listener(self.topic, self.connection_id)

    def is_due(self, now: datetime) -> bool:
        """Whether a doorbell of the feed serves it. One that keeps others waiting has its own."""
        return self.attempts == 0 or self.tried_at + _RETRY_AFTER <= now.timestamp()

    @classmethod
    def from_item(cls, topic: str, key: Key, item: Item) -> Listener:
        stored: Any = item
        return cls(
            topic=topic,
            connection_id=key.sk.removeprefix(keys.SOCKETS),
            subscription=stored["subscription"],
            session_id=stored["session_id"],
            thread_id=stored["thread_id"],
            caller=caller_of_item(item),
            cursor=stored["cursor"],
            wanted=frozenset(stored["wanted"]),
            expires_at=stored["expires_at"],
            last=stored["last"],
            span=stored["span"],
            started=tuple(stored["started"]),
            previewed=stored["previewed"],
            attempts=stored["attempts"],
            tried_at=stored["tried_at"],
        )

    def to_item(self) -> Item:
        about: Item = {
            **caller_item(self.caller),
            "subscription": self.subscription,
            "session_id": self.session_id,
            "thread_id": self.thread_id,
            "last": self.last,
            "span": self.span,
            "started": list(self.started),
            "previewed": self.previewed,
            "tried_at": self.tried_at,
        }
        expires = datetime.fromtimestamp(self.expires_at, UTC)
        wanted = sorted(self.wanted)
        return listeners.socket_row(
            about, cursor=self.cursor, wanted=wanted, expires=expires, attempts=self.attempts
        )


def followers(app: App, topic: str) -> list[Listener]:
    """The connections that follow a feed and have not expired."""
    rows = every_item(app.records, keys.listeners(topic), prefix=keys.SOCKETS)
    found = [Listener.from_item(topic, key, item) for key, item in rows]
    now = app.clock().timestamp()
    return [listener for listener in found if listener.expires_at > now]


def look_up(app: App, topic: str, connection_ids: Sequence[str]) -> list[Listener]:
    """Those of the connections that follow the feed."""
    places = [keys.socket_listener(topic, connection_id) for connection_id in connection_ids]
    items = app.records.get(places)
    return [
        Listener.from_item(topic, place, item)
        for place, item in zip(places, items, strict=True)
        if item is not None and listeners.is_live(item, app.clock())
    ]


def advance(app: App, before: Listener, after: Listener) -> Listener | None:
    """Writes where a listener stands now: its cursor moves forward, never back. Answers how it
    stands, which is further where somebody else was faster; None when it does not listen any more.

    Raises Unavailable.
    """
    changed: Item = {
        "cursor": after.cursor,
        "span": after.span,
        "started": list(after.started),
        "attempts": after.attempts,
    }
    forward = Condition("cursor", "<", after.cursor, "cursor moves forward")
    if not _changed(app, before, changed, forward):
        found = look_up(app, before.topic, [before.connection_id])
        return found[0] if found else None
    return after


def put_off(app: App, listener: Listener, *, attempts: int) -> None:
    """Leaves a listener to a doorbell of its own, which this write is. Raises Unavailable."""
    tried_at = int(app.clock().timestamp())
    _changed(app, listener, {"attempts": attempts, "tried_at": tried_at})


def recover(app: App, listener: Listener) -> None:
    """It takes messages again: the feed's doorbells serve it. Raises Unavailable."""
    _changed(app, listener, {"attempts": 0})


def take_up(app: App, listener: Listener, item_id: str, started: Sequence[str]) -> Listener | None:
    """Takes up an item of previews, once: None where that was done before, or where the request is
    over that it previews. Raises Unavailable.
    """
    unseen = Condition("previewed", "<", item_id, "previewed once")
    changed: Item = {"previewed": item_id, "started": list(started)}
    if not _changed(app, listener, changed, unseen, _during(listener)):
        return None
    return replace(listener, previewed=item_id, started=tuple(started))


def stop_previews(app: App, listener: Listener) -> None:
    """Of the request that is open: what was sent of each stays a prefix. Raises Unavailable."""
    _changed(app, listener, {"started": []}, _during(listener))


def still_subscribed(listener: Listener) -> Condition:
    """Whether this subscription goes on."""
    return Condition("subscription", "==", listener.subscription, "still subscribed")


def _during(listener: Listener) -> Condition:
    return Condition("span", "==", listener.span, "the same request")


def _changed(app: App, listener: Listener, changed: Item, *conditions: Condition) -> bool:
    """Whether the row was changed: not where a condition fails, or the subscription is over."""
    still = still_subscribed(listener)
    for _ in range(app.settings.write_attempts):
        try:
            app.records.write([Write(listener.key, set=changed, conditions=(still, *conditions))])
        except StaleRead as stale:
            if stale.failed:
                return False
            continue  # met another writer of the same row
        return True
    raise Unavailable("The store did not take the write in time.")


def caller_item(caller: Caller) -> Item:
    return {
        "workspace_id": caller.workspace_id,
        "key_id": caller.key_id,
        "kind": caller.kind,
        "key_digest": caller.key_digest,
    }


def caller_of_item(item: Any) -> Caller:
    return Caller(item["workspace_id"], item["key_id"], item["kind"], item["key_digest"])
