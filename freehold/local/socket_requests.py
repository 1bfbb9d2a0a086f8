"""What a client of `/ws` asks of the services. All of it blocks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from freehold.errors import InvalidRequest
from freehold.local.socket_actions import Handshake, SendAction
from freehold.services.events import send_events
from freehold.services.idempotency import Once, Repeated
from freehold.services.rate_limits import count_request
from freehold.services.threads import locate_thread
from freehold.services.tickets import redeem_ticket
from freehold.wire.event_input import SendEvents
from freehold.wire.parsing import parse_body
from functions.admission import authenticate, parse_query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freehold.domain.session import Head
    from freehold.keys import SessionKey
    from freehold.ports import App
    from freehold.services.keys import Caller


def enter(app: App, headers: Mapping[str, str], query: bytes) -> Caller:
    """Who connects. Raises AuthenticationFailed, PermissionDenied, InvalidRequest."""
    ticket = Handshake.from_query(parse_query(query)).ticket
    if ticket is None:
        return authenticate(app, headers)
    if "x-api-key" in headers or "authorization" in headers:
        raise InvalidRequest("Send an API key or a `ticket`, not both.")
    return redeem_ticket(app, ticket)


def locate(
    app: App, caller: Caller, session_id: str, thread_id: str | None
) -> tuple[SessionKey, str, Head]:
    """The thread to follow; that counts as a read. Raises NotFound, InvalidRequest, RateLimited."""
    allowance = count_request(app, caller, "read")
    if allowance is not None:
        allowance.check(app.clock())
    return locate_thread(app, caller, session_id, thread_id)


def post_events(app: App, caller: Caller, action: SendAction, body: bytes) -> str:
    """Sends the events. The JSON that the POST would answer; raises what that refuses."""
    request = parse_body(SendEvents, body)
    once = None
    if action.idempotency_key is not None:
        named = json.dumps([action.action, action.session_id]).encode()
        once = Once(app, caller, action.idempotency_key, named + body)
    try:
        return send_events(app, caller, action.session_id, request, once).model_dump_json()
    except Repeated as earlier:
        return earlier.body.decode()
