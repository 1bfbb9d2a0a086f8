"""How the Messages API double is spoken to: what a request must carry, how answers are framed."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from freehold.testing.messages_refused import Refused
from freehold.testing.messages_stream import error_body, frame

if TYPE_CHECKING:
    from freehold.toolset import JsonObject


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it arrived. `target` is the path with its query; header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as it is answered."""

    status: int
    headers: Mapping[str, str]
    body: JsonObject


class Dialect(Protocol):
    """One provider's way to offer the Messages API."""

    content_type: str
    """Of a stream."""

    def admit(self, sent: Sent) -> Sent:
        """The request as the Claude API would have got it. Raises Refused."""

    def frame(self, event: JsonObject) -> bytes:
        """An event of a stream, errors included."""

    def refusal(self, refused: Refused, request_id: str) -> Refusal: ...


class ClaudeApi:
    """The Claude API itself, behind one key."""

    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def admit(self, sent: Sent) -> Sent:
        """Takes the key in either of the two headers."""
        given = sent.headers.get("x-api-key")
        text = "invalid x-api-key"
        if given is None:
            scheme, _, given = sent.headers.get("authorization", "").partition(" ")
            is_bearer = scheme.lower() == "bearer"
            text = "Invalid bearer token" if is_bearer else "x-api-key header is required"
        if not hmac.compare_digest(given.encode(), self._api_key.encode()):
            raise Refused(401, "authentication_error", text)
        return sent

    def frame(self, event: JsonObject) -> bytes:
        return frame(event)

    def refusal(self, refused: Refused, request_id: str) -> Refusal:
        body = error_body(refused.type, refused.message, request_id)
        return Refusal(refused.status, refused.headers, body)
