"""Tickets for the WebSocket: an extension (DESIGN 8)."""

from typing import Literal

from freehold.wire.base import WireModel


class WebSocketTicket(WireModel):
    """Opens one WebSocket, once, as `/ws?ticket=…`, until `expires_at`."""

    type: Literal["ws_ticket"] = "ws_ticket"
    ticket: str
    expires_at: str
