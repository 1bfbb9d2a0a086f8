"""Serves an ASGI application that has streams, and ends in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from functions.http_connection import HttpConnection
from functions.stream.hub import Hub

GRACE_SECONDS = 5
"""For answers that are being made when the end is asked for."""
KEEP_ALIVE_SECONDS = 75
"""Longer than clients keep an idle connection: one that the server closes first loses a request."""


class WebServer(uvicorn.Server):
    """A signal ends the streams before the server waits for connections; a second one does not wait
    for anybody.
    """

    def __init__(self, asgi: ASGIApp, hub: Hub, **options: Any) -> None:
        """`options` are uvicorn's, where they are not the same everywhere."""
        super().__init__(
            uvicorn.Config(
                asgi,
                # Not "auto": what is served must not depend on what else is installed.
                http=HttpConnection,
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
                **{"timeout_keep_alive": KEEP_ALIVE_SECONDS, **options},
            )
        )
        self._hub = hub

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, for SIGTERM and SIGINT."""
        loop = asyncio.get_running_loop()
        wanted = (signal.SIGTERM, signal.SIGINT)
        for number in wanted:
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in wanted:
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True
        self._hub.close()
