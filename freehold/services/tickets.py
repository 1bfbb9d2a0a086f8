"""Single-use tickets for the WebSocket (DESIGN 8): a browser can send no key, and must not hold
one.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from freehold import keys
from freehold.errors import AmbiguousWrite, AuthenticationFailed, StaleRead
from freehold.ids import timestamp
from freehold.ports import Condition, Item, Write
from freehold.services.keys import Caller, stands
from freehold.wire.tickets import WebSocketTicket

if TYPE_CHECKING:
    from freehold.ports import App

LIFETIME = timedelta(seconds=60)
_EXISTS = Condition("", "exists", reason="ticket is unused")


def create_ticket(app: App, caller: Caller) -> WebSocketTicket:
    """A ticket that opens one WebSocket as this caller within a minute. Kept as its SHA-256."""
    ticket = f"fh-ticket-{secrets.token_urlsafe(32)}"
    expires = app.clock() + LIFETIME
    item: Item = {
        "workspace_id": caller.workspace_id,
        "key_id": caller.key_id,
        "kind": caller.kind,
        "key_digest": caller.key_digest,
        "expires_at": int(expires.timestamp()),
        "due": f"expire/{timestamp(expires)}",
    }
    app.records.write([Write(_place(ticket), put=item)])
    shown = timestamp(expires.replace(microsecond=0))
    return WebSocketTicket(ticket=ticket, expires_at=shown)


def redeem_ticket(app: App, ticket: str) -> Caller:
    """Who it was made for; it is used from then on, whatever comes of it.

    Raises AuthenticationFailed, with the same words for a ticket that nobody made, that is used,
    expired, or made with a key that has been revoked.
    """
    refused = AuthenticationFailed("invalid ticket")
    place = _place(ticket)
    item: Any = app.records.get([place])[0]
    if item is None:
        raise refused
    try:
        app.records.write([Write(place, delete=True, conditions=(_EXISTS,))])
    except (StaleRead, AmbiguousWrite):
        raise refused from None
    caller = Caller(item["workspace_id"], item["key_id"], item["kind"], item["key_digest"])
    if item["expires_at"] <= app.clock().timestamp() or not stands(app, caller):
        raise refused
    return caller


def _place(ticket: str) -> keys.Key:
    return keys.ticket(hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).hexdigest())
