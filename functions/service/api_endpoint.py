"""Every request that is answered at once, through the API function, where API Gateway does not
stand before it.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from starlette.types import Receive, Scope, Send

from freehold.errors import ApiError
from freehold.ids import new_id
from freehold.ports import App
from functions.api.handler import make_handler
from functions.envelope import InternalError
from functions.service.proxy_event import proxy_event, read_body, send_answer
from functions.stream.app import refuse

_log = logging.getLogger("freehold.server")
HANDLERS = 64
"""Requests at once. Each waits for the store, so there are more of them than cores."""


class ApiEndpoint:
    """An ASGI application, on threads of `handlers`."""

    def __init__(self, app: App, handlers: ThreadPoolExecutor) -> None:
        self._limit = app.settings.max_body_bytes
        self._handlers = handlers
        self._handler = make_handler(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
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
