"""One HTTP connection. What never becomes a request is refused here, in the envelope of everything
else.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from http import HTTPStatus
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

from freehold.errors import ApiError, InvalidRequest, Unavailable
from freehold.ids import new_id
from functions.envelope import answer_headers, error_body


class HttpConnection(H11Protocol):
    """HTTP/1.1 by h11, also where a faster parser is installed: that one bounds neither the size of
    a head nor the memory it takes. Here a head has 64 KB and half a minute, so that clients that
    never finish one cannot use up the server's descriptors.
    """

    head_seconds: ClassVar[float] = 30.0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base
        super().connection_made(transport)
        if len(self.connections) > _most_connections():
            transport.write(_refusal(Unavailable("Too many connections.", retry_after=1)))
            transport.close()
        else:
            self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_watching()

    def send_400_response(self, msg: str) -> None:
        """Refuses what is not HTTP. Where an answer has begun the connection just ends."""
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            self.transport.write(_refusal(InvalidRequest(msg)))
        self.transport.close()

    def _watch_head(self) -> None:
        """Whoever has begun a request must finish its head; a WebSocket has no more of them."""
        is_served = self.cycle is not None and not self.cycle.response_complete
        if is_served or self.transport.get_protocol() is not self:
            self._stop_watching()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self.transport.close)

    def _stop_watching(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _most_connections() -> int:
    """So many that the store, the sandboxes and the model still find descriptors: half of them, or
    all but 256.
    """
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return sys.maxsize
    return max(descriptors // 2, descriptors - 256)


def _refusal(error: ApiError) -> bytes:
    request_id = new_id("req")
    body = error_body(error, request_id)
    headers = {
        **answer_headers(request_id, error=error),
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
    }
    lines = [
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}",
        *(f"{n}: {v}" for n, v in headers.items()),
    ]
    return "\r\n".join([*lines, "", body]).encode()
