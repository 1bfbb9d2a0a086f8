"""The HTTP side of the local server: functions behind it, streams in it, health beside it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from freehold.errors import NotFound
from freehold.local.readiness import Readiness
from freehold.local.websocket import LiveSocket, deny
from freehold.ports import App
from functions.health import healthz, plain_answer, version
from functions.service.api_endpoint import HANDLERS, ApiEndpoint
from functions.stream.app import stream_routes
from functions.stream.hub import Hub


class Web:
    """The ASGI application and what must be let go of after it."""

    def __init__(self, app: App, readiness: Readiness) -> None:
        self.hub = Hub(app)
        self._readiness = readiness
        self._handlers = ThreadPoolExecutor(HANDLERS, thread_name_prefix="api")
        elsewhere = _Elsewhere(ApiEndpoint(app, self._handlers))
        routes: list[BaseRoute] = [
            Route("/healthz", healthz),
            Route("/readyz", self._readyz),
            Route("/version", version),
            WebSocketRoute("/ws", LiveSocket(self.hub, self._handlers)),
            *stream_routes(self.hub),
            Route("/{path:path}", elsewhere),
        ]
        self.asgi = Starlette(routes=routes)
        self.asgi.router.default = elsewhere

    def close(self) -> None:
        """After the loop has ended."""
        self.hub.release()
        self._handlers.shutdown(wait=False, cancel_futures=True)

    async def _readyz(self, _: Request) -> JSONResponse:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._handlers, self._readiness.look)
        return plain_answer(found.parts, status=200 if found.is_ready else 503)


class _Elsewhere:
    """Whatever has no route of its own."""

    def __init__(self, api: ApiEndpoint) -> None:
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await deny(WebSocket(scope, receive, send), NotFound("Not found. The socket is /ws."))
        else:
            await self._api(scope, receive, send)
