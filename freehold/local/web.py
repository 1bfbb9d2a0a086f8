"""The HTTP side of the local server: functions behind it, streams in it, health beside it."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from freehold import __version__
from freehold.errors import ApiError, NotFound
from freehold.ids import new_id
from freehold.local.proxy_event import proxy_event, read_body, send_answer
from freehold.local.readiness import Readiness
from freehold.local.websocket import LiveSocket, deny
from freehold.ports import App
from functions.api.handler import make_handler
from functions.envelope import InternalError, answer_headers
from functions.stream.app import refuse, stream_routes
from functions.stream.hub import Hub

_log = logging.getLogger("freehold.server")
_HANDLERS = 64
"""Requests at once. Each waits for the store's disk, so there are more of them than cores."""


class Web:
    """The ASGI application and what must be let go of after it."""

    def __init__(self, app: App, readiness: Readiness) -> None:
        self.hub = Hub(app)
        self._readiness = readiness
        self._handlers = ThreadPoolExecutor(_HANDLERS, thread_name_prefix="api")
        elsewhere = ApiEndpoint(app, self._handlers)
        routes: list[BaseRoute] = [
            Route("/healthz", _healthz),
            Route("/readyz", self._readyz),
            Route("/version", _version),
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
        return _answer(found.parts, status=200 if found.is_ready else 503)


class ApiEndpoint:
    """Every request that is answered at once: through the API function, as on AWS."""

    def __init__(self, app: App, handlers: ThreadPoolExecutor) -> None:
        self._limit = app.settings.max_body_bytes
        self._handlers = handlers
        self._handler = make_handler(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await deny(WebSocket(scope, receive, send), NotFound("Not found. The socket is /ws."))
            return
        try:
            body = await read_body(receive, self._limit)
            if body is None:
                return
            event = proxy_event(scope, body)
        except ApiError as error:
            await refuse(send, new_id("req"), error)
            return
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(self._handlers, self._handler, event, None)
        except Exception:  # noqa: BLE001 - as API Gateway does for a function that fails
            request_id = new_id("req")
            _log.exception("function_failed", extra={"request_id": request_id})
            await refuse(send, request_id, InternalError(request_id))
            return
        await send_answer(send, answer)


async def _healthz(_: Request) -> JSONResponse:
    return _answer({"status": "ok"})


async def _version(_: Request) -> JSONResponse:
    return _answer({"name": "freehold", "version": __version__})


def _answer(content: dict[str, str], *, status: int = 200) -> JSONResponse:
    return JSONResponse(content, status_code=status, headers=answer_headers(new_id("req")))
