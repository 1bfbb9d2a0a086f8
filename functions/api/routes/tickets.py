"""Tickets for the WebSocket (DESIGN 8)."""

from __future__ import annotations

from freehold.ports import App
from freehold.services import tickets
from freehold.wire.tickets import WebSocketTicket
from functions.api.operation import NoBody, NoQuery, Operation, Request


def create_ws_ticket(app: App, request: Request[NoQuery, NoBody]) -> WebSocketTicket:
    """Create a ticket that opens one WebSocket within a minute. An extension."""
    return tickets.create_ticket(app, request.caller)


OPERATIONS = (Operation("POST", "/v1/ws-tickets", create_ws_ticket),)
