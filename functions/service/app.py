"""API and streams in one process, for as long as clients stay and for bodies of any size."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from starlette.routing import Route

from freehold.ports import App
from functions.health import healthz, version
from functions.service.api_endpoint import HANDLERS, ApiEndpoint
from functions.stream.app import stream_routes
from functions.stream.hub import Hub


class Service:
    """The ASGI application and what must be let go of after it. It has no `/ws`: that is an API of
    its own, which the fan-out serves.
    """

    def __init__(self, app: App) -> None:
        self.hub = Hub(app)
        self._handlers = ThreadPoolExecutor(HANDLERS, thread_name_prefix="api")
        elsewhere = ApiEndpoint(app, self._handlers)
        routes = [
            Route("/healthz", healthz),
            Route("/version", version),
            *stream_routes(self.hub),
            Route("/{path:path}", elsewhere),
        ]
        self.asgi = Starlette(routes=routes)
        self.asgi.router.default = elsewhere

    def close(self) -> None:
        """After the loop has ended."""
        self.hub.release()
        self._handlers.shutdown(wait=False, cancel_futures=True)
