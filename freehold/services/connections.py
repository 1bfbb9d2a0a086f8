"""WebSockets between functions that come and go, as rows of the table (ADR 0007).

A connection has a partition of its own: what it may do as `connection`, and a row for each feed it
follows, which names the listener to delete with it. The listener stands in the feed's partition
(`freehold.listeners`). All of them expire with the longest life of a connection.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from freehold import keys, listeners
from freehold.errors import (
    AmbiguousWrite,
    AuthenticationFailed,
    InvalidRequest,
    StaleRead,
    Unavailable,
)
from freehold.ports import Condition, Write, every_item
from freehold.services.followers import (
    caller_item,
    caller_of_item,
    look_up,
    still_subscribed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from freehold.keys import Key
    from freehold.ports import App, Item
    from freehold.services.followers import Listener
    from freehold.services.keys import Caller

LIFETIME = timedelta(hours=2)
"""API Gateway ends every connection after that."""
_BATCH = 50
"""Subscriptions of one transaction, which takes 100 items."""
_EXISTS = Condition("", "exists", reason="connection is open")


# ---------------------------------------------------------------- a connection
def open_connection(app: App, connection_id: str, caller: Caller) -> None:
    """Remembers who connected."""
    expires = int((app.clock() + LIFETIME).timestamp())
    item: Item = {**caller_item(caller), "expires_at": expires}
    app.records.write([Write(keys.connection(connection_id), put=item)])


def caller_of(app: App, connection_id: str) -> tuple[Caller, int]:
    """Who connected, and when the connection ends at the latest, in seconds since the epoch.

    Raises AuthenticationFailed for a connection that is not open.
    """
    item: Any = app.records.get([keys.connection(connection_id)])[0]
    if item is None or not listeners.is_live(item, app.clock()):
        raise AuthenticationFailed("This connection is not open.")
    return caller_of_item(item), item["expires_at"]


def forget(app: App, connection_id: str) -> None:
    """Deletes all there is of a connection; of one that is unknown, nothing. It goes first, so that
    nothing is added behind the look at what it follows. Raises Unavailable.
    """
    _delete(app, [keys.connection(connection_id)])
    _drop(app, connection_id, [topic for topic, _ in _followed(app, connection_id)])


# ---------------------------------------------------------------- what it follows
def subscribe(app: App, listener: Listener, *, most: int) -> None:
    """The feed's next doorbell is the record of this row. Raises InvalidRequest when the connection
    follows the feed already or `most` others, AuthenticationFailed when it is not open,
    Unavailable.
    """
    if len(list(_followed(app, listener.connection_id))) >= most:
        raise InvalidRequest(f"At most {most} subscriptions on one connection.")
    is_new = Condition("", "absent", reason="not subscribed yet")
    mine: Item = {"session_id": listener.session_id, "expires_at": listener.expires_at}
    place = keys.connection_feed(listener.connection_id, listener.topic)
    writes = [
        Write(keys.connection(listener.connection_id), conditions=(_EXISTS,)),
        Write(place, put=mine, conditions=(is_new,)),
        Write(listener.key, put=listener.to_item()),
    ]
    for _ in range(app.settings.write_attempts):
        try:
            app.records.write(writes)
        except AmbiguousWrite:
            continue  # whether it landed, the next attempt is told
        except StaleRead as stale:
            if not stale.failed:
                continue  # met another action of the same connection
            if _EXISTS.reason in stale.failed:
                raise AuthenticationFailed("This connection is not open.") from None
            if _stands(app, listener):
                return
            raise InvalidRequest(f"Already subscribed to thread {listener.thread_id}.") from None
        return
    raise Unavailable("The store did not take the write in time.")


def unsubscribe(app: App, connection_id: str, session_id: str, thread_id: str | None) -> None:
    """Stops following a thread, or every thread of the session. Raises InvalidRequest when it
    follows none.
    """
    found = [
        topic
        for topic, item in _followed(app, connection_id)
        if item["session_id"] == session_id and thread_id in (None, keys.parse_feed(topic)[1])
    ]
    if not found:
        raise InvalidRequest("There is no such subscription.")
    _drop(app, connection_id, found)


def end(app: App, listener: Listener) -> None:
    """There is no more to follow for this subscription. Raises Unavailable."""
    mine = keys.connection_feed(listener.connection_id, listener.topic)
    try:
        app.records.write(
            [
                Write(listener.key, delete=True, conditions=(still_subscribed(listener),)),
                Write(mine, delete=True),
            ]
        )
    except StaleRead as stale:
        if not stale.failed:
            raise Unavailable("The store did not take the write in time.") from None


# ---------------------------------------------------------------- rows
def _followed(app: App, connection_id: str) -> Iterator[tuple[str, Any]]:
    """Topics, with the connection's own rows of them."""
    partition = keys.connection(connection_id).pk
    for key, item in every_item(app.records, partition, prefix=keys.CONNECTION_FEEDS):
        yield key.sk.removeprefix(keys.CONNECTION_FEEDS), item


def _drop(app: App, connection_id: str, topics: Sequence[str]) -> None:
    for start in range(0, len(topics), _BATCH):
        batch = topics[start : start + _BATCH]
        listening = [keys.socket_listener(topic, connection_id) for topic in batch]
        mine = [keys.connection_feed(connection_id, topic) for topic in batch]
        _delete(app, [*listening, *mine])


def _delete(app: App, places: Sequence[Key]) -> None:
    """Whoever else writes these rows meanwhile, a fan-out that moves a cursor. Raises
    Unavailable.
    """
    for _ in range(app.settings.write_attempts):
        try:
            app.records.write([Write(place, delete=True) for place in places])
        except (StaleRead, AmbiguousWrite):
            continue
        return
    raise Unavailable("The store did not take the write in time.")


def _stands(app: App, listener: Listener) -> bool:
    """Whether this very subscription is in the table: an attempt whose answer was lost."""
    found = look_up(app, listener.topic, [listener.connection_id])
    return bool(found) and found[0].subscription == listener.subscription
