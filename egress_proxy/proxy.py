"""All parts of a proxy, put together."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

from egress_proxy.client import Clients
from egress_proxy.control import Control
from egress_proxy.destinations import CHUNK_BYTES, Destinations
from egress_proxy.gate import Gate
from egress_proxy.sessions import Sessions
from egress_proxy.settings import Settings

_WAITING = 256


class Proxy:
    """Listens from `start` on, until `close`. `boot_id` names this life of it: what was signed for
    another is refused.
    """

    def __init__(self, settings: Settings, destinations: Destinations | None = None) -> None:
        self.boot_id = settings.boot_id or f"egress_{os.urandom(16).hex()}"
        self._settings = settings
        self._destinations = destinations or Destinations(
            settings.refused_ranges, seconds=settings.limits.connect_seconds
        )
        self._clients = Clients(self._destinations, settings.limits)
        sockets = Path(settings.sockets) if settings.sockets else None
        self.sessions = Sessions(sockets, self._clients.converse)
        self._clients.sessions = self.sessions
        gate = Gate(bytes.fromhex(settings.public_key), self.boot_id)
        self._control = Control(gate, self.sessions, self.boot_id)
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        """Raises OSError."""
        control = _listen(self._settings.control)
        self._servers.append(await self._serve_control(control))
        if self._settings.listen:
            self._servers.append(
                await asyncio.start_server(
                    lambda reader, writer: self._clients.converse(reader, writer, None),
                    sock=_listen(self._settings.listen),
                    limit=CHUNK_BYTES,
                    backlog=_WAITING,
                )
            )

    async def _serve_control(self, listener: socket.socket) -> asyncio.Server:
        start = (
            asyncio.start_unix_server if listener.family == socket.AF_UNIX else asyncio.start_server
        )
        return await start(self._control.converse, sock=listener, limit=CHUNK_BYTES)

    @property
    def addresses(self) -> list[str]:
        """Where it listens, control first: of a port 0, the one that was taken."""
        names = [server.sockets[0].getsockname() for server in self._servers]
        return [name if isinstance(name, str) else f"{name[0]}:{name[1]}" for name in names]

    def close(self) -> None:
        for server in self._servers:
            server.close()
        self.sessions.close()
        self._destinations.close()


def _listen(where: str) -> socket.socket:
    """A Unix socket for a path, else `host:port`. Raises OSError."""
    if ":" not in where:
        Path(where).unlink(missing_ok=True)  # of a proxy that was killed
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(where)
        Path(where).chmod(0o600)
        return listener
    host, _, port = where.rpartition(":")
    return socket.create_server((host, int(port)), reuse_port=False)
