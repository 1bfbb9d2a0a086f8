"""What a client of a socket asks of the services. All of it blocks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freehold.errors import InvalidRequest
from freehold.services.events import send_events
from freehold.services.idempotency import Once, Repeated
from freehold.services.rate_limits import count_request
from freehold.services.threads import locate_thread
from freehold.services.tickets import redeem_ticket
from freehold.wire.event_input import SendEvents
from freehold.wire.parsing import parse_body
from functions.admission import authenticate
from functions.socket.actions import SUBPROTOCOL, Handshake, SendAction, offered_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from freehold.domain.session import Head
    from freehold.keys import SessionKey
    from freehold.ports import App
    from freehold.services.keys import Caller
    from functions.socket.actions import Subscribe


@dataclass(frozen=True, slots=True)
class Entrant:
    """Who connects, and the subprotocol to answer with, if any was offered."""

    caller: Caller
    subprotocol: str | None


def enter(app: App, headers: Mapping[str, str], query: Sequence[tuple[str, str]]) -> Entrant:
    """Who connects, by one of: a key in a header, a key among the subprotocols, a ticket in the
    query. `headers` have names in lower case.

    Raises AuthenticationFailed, PermissionDenied, InvalidRequest.
    """
    ticket = Handshake.from_query(query).ticket
    offered = headers.get("sec-websocket-protocol")
    key = offered_key(offered)
    given = [headers.get("x-api-key") or headers.get("authorization"), key, ticket]
    if sum(one is not None for one in given) > 1:
        raise InvalidRequest("Send an API key or a `ticket`, not both, and a key only once.")
    if ticket is not None:
        caller = redeem_ticket(app, ticket)
    else:
        caller = authenticate(app, headers if key is None else {**headers, "x-api-key": key})
    return Entrant(caller, None if offered is None else SUBPROTOCOL)


def locate(
    app: App, caller: Caller, session_id: str, thread_id: str | None
) -> tuple[SessionKey, str, Head]:
    """The thread to follow; that counts as a read. Raises NotFound, InvalidRequest, RateLimited."""
    allowance = count_request(app, caller, "read")
    if allowance is not None:
        allowance.check(app.clock())
    return locate_thread(app, caller, session_id, thread_id)


def check_cursor(action: Subscribe, head: Head) -> int:
    """The last sequence number not to be sent. Raises InvalidRequest for one that is to come."""
    end = head.next_seq - 1
    cursor = end if action.after_seq is None else action.after_seq
    if cursor > end:
        raise InvalidRequest(f"`after_seq` is beyond the end of the thread, {end}.")
    return cursor


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
