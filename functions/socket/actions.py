"""What a client may say on a socket, on a laptop and on AWS. As strict as a request body."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import Field

from freehold.errors import InvalidRequest, RequestTooLarge
from freehold.wire.base import WireModel
from freehold.wire.parsing import parse_body, parse_object
from freehold.wire.queries import Query

MAX_ACTION = 131_072
"""Bytes of one message, as on API Gateway."""


class Subscribe(WireModel):
    """Follow a thread, the primary when none is named: everything after `after_seq`, or from now
    on.
    """

    action: Literal["subscribe"]
    session_id: str
    thread_id: str | None = None
    after_seq: int | None = Field(default=None, ge=0)
    event_deltas: list[Literal["agent.message", "agent.thinking"]] = Field(default_factory=list)


class Unsubscribe(WireModel):
    """Stop following a thread, or every thread of the session when none is named."""

    action: Literal["unsubscribe"]
    session_id: str
    thread_id: str | None = None


class SendAction(WireModel):
    """Send events to a session. The message holds `events` besides, as the body of the POST."""

    action: Literal["send"]
    session_id: str
    idempotency_key: str | None = None


class Ping(WireModel):
    """Answered with a pong, after everything that was asked before it."""

    action: Literal["ping"]


class Handshake(Query):
    """The query of a handshake: a ticket, where the client can send no key."""

    ticket: str | None = None


ACTIONS = ("subscribe", "unsubscribe", "send", "ping")
MAX_SUBSCRIPTIONS = 100
"""On one connection."""
SUBPROTOCOL = "freehold"
"""What a browser offers before its key, and what the server chooses: the key is not sent back."""


def offered_key(header: str | None) -> str | None:
    """The API key among the subprotocols of a handshake, which are the only thing that a browser
    can set: `freehold`, then the key. None where no key is offered. Raises InvalidRequest.
    """
    if header is None:
        return None
    name, *rest = [part.strip() for part in header.split(",")]
    if name != SUBPROTOCOL or len(rest) > 1 or not all(rest):
        raise InvalidRequest(
            f"`Sec-WebSocket-Protocol` must be `{SUBPROTOCOL}`, or that and an API key."
        )
    return rest[0] if rest else None


def parse_send(raw: bytes) -> tuple[SendAction, bytes]:
    """Where to send, and the body that the POST would have: what that refuses is refused here in
    the same words. Raises InvalidRequest.
    """
    body = parse_object(raw)
    address = {name: body.pop(name) for name in SendAction.model_fields if name in body}
    return parse_body(SendAction, json.dumps(address).encode()), json.dumps(body).encode()


def action_name(text: str | None) -> str:
    """Which of `ACTIONS` a message asks for; None is a binary one. Raises InvalidRequest,
    RequestTooLarge.
    """
    if text is None:
        raise InvalidRequest("Binary messages are not understood; send JSON as text.")
    if len(text.encode()) > MAX_ACTION:
        raise RequestTooLarge(f"A message is at most {MAX_ACTION} bytes. Larger ones go over HTTP.")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidRequest("The message is not JSON.") from None
    name = body.get("action") if isinstance(body, dict) else None
    if not isinstance(name, str):
        raise InvalidRequest('The message is not an object with an "action".')
    if name not in ACTIONS:
        raise InvalidRequest(f"Unknown action `{name[:100]}`.")
    return name
