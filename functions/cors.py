"""Which web pages may read answers: none, unless the operator names their origins (DESIGN 9).

An origin is compared whole. Browsers are never told that they may send credentials of their own: a
key travels in a header that the page sets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

_PREFLIGHT = {
    "access-control-allow-methods": "GET, POST, DELETE",
    # To a browser the asterisk means every header but this one.
    "access-control-allow-headers": "authorization, *",
    "access-control-max-age": "7200",
}
_READABLE = {"access-control-expose-headers": "*"}

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Asgi = Callable[[Any, Receive, Send], Awaitable[None]]


def cors_headers(origins: Sequence[str], headers: Mapping[str, str]) -> Mapping[str, str]:
    """What any answer carries, refusals too, by the request's headers (names in lower case).

    Nothing without `origins`; for a page that is not among them, only that it depends on the page.
    """
    if not origins:
        return {}
    origin = headers.get("origin")
    if origin is None or origin not in origins:
        return {"vary": "Origin"}
    return {"vary": "Origin", "access-control-allow-origin": origin, **_READABLE}


def preflight_headers(
    origins: Sequence[str], method: str, headers: Mapping[str, str]
) -> Mapping[str, str] | None:
    """What a browser is told that asks whether it may send a request; None for anything else, and
    for a page that may not.
    """
    asks = method == "OPTIONS" and "access-control-request-method" in headers
    if not asks or headers.get("origin") not in origins:
        return None
    return _PREFLIGHT


class Cors:
    """An ASGI application whose answers the pages of `origins` may read."""

    def __init__(self, inner: Asgi, origins: Sequence[str]) -> None:
        self._inner = inner
        self._origins = origins

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if not self._origins or scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        headers = {n.decode("latin-1").lower(): v.decode("latin-1") for n, v in scope["headers"]}
        shared = cors_headers(self._origins, headers)
        told = preflight_headers(self._origins, scope["method"], headers)
        if told is not None:
            pairs = _pairs({**shared, **told})
            await send({"type": "http.response.start", "status": 204, "headers": pairs})
            await send({"type": "http.response.body", "body": b""})
            return

        async def sharing(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_pairs(shared)]}
            await send(message)

        await self._inner(scope, receive, sharing)


def _pairs(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]
