"""What a server answers, told to whoever counts: requests by status, streams and sockets while they
are open.
"""

from __future__ import annotations

from typing import Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from freehold.facts import FollowerChanged, Observe, RequestAnswered

_STREAM = b"text/event-stream"


class Counted:
    """An ASGI application around another one."""

    def __init__(self, asgi: ASGIApp, observe: Observe) -> None:
        self._asgi = asgi
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        opened: Literal["stream", "socket"] | None = None

        async def watch(message: Message) -> None:
            nonlocal opened
            if message["type"] == "http.response.start":
                self._observe(RequestAnswered(message["status"]))
                if dict(message["headers"]).get(b"content-type", b"").startswith(_STREAM):
                    opened = "stream"
                    self._observe(FollowerChanged(opened, 1))
            elif message["type"] == "websocket.accept":
                opened = "socket"
                self._observe(FollowerChanged(opened, 1))
            await send(message)

        try:
            await self._asgi(scope, receive, watch)
        finally:
            if opened is not None:
                self._observe(FollowerChanged(opened, -1))
