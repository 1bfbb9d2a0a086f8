"""One connection of a client: who it is, what it asks for, and whether it gets it."""

from __future__ import annotations

import asyncio
import base64
import resource
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import h11

from egress_proxy import forward, tunnel
from egress_proxy.decisions import note
from egress_proxy.destinations import keep_little
from egress_proxy.http_peer import HttpPeer, values
from egress_proxy.refusals import Malformed, NotIdentified, Refused
from egress_proxy.traffic import Traffic, carrier

if TYPE_CHECKING:
    from egress_proxy.destinations import Destinations, Streams
    from egress_proxy.sessions import Session, Sessions
    from egress_proxy.settings import Limits


_VERSIONS = (b"1.0", b"1.1")
_PING = (b"OPTIONS", b"*")
"""Asks whether there is a proxy (RFC 9110, 9.3.7) and for nothing else: nothing is decided, so
nothing is noted.
"""
_PARTING_SECONDS = 10.0
_SPARE_DESCRIPTORS = 64


def _address(writer: asyncio.StreamWriter) -> str:
    """Of a client that comes over a network; empty when it has gone again already."""
    name = writer.get_extra_info("peername")
    return str(name[0]) if name else ""


def _most_connections() -> int:
    """Each needs two descriptors."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (descriptors - _SPARE_DESCRIPTORS) // 2


class Clients:
    """Serves all of them. `sessions` is set before the first one comes."""

    sessions: Sessions

    def __init__(self, destinations: Destinations, limits: Limits) -> None:
        self._destinations = destinations
        self._limits = limits
        self._open: Counter[str] = Counter()
        self._most = min(limits.all_connections, _most_connections())

    async def converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, came_by: Session | None
    ) -> None:
        """From the first byte to the last. Raises nothing but cancellation."""
        origin = came_by.id if came_by else _address(writer)
        is_crowded = self._open[origin] >= self._limits.connections
        if is_crowded or self._open.total() >= self._most:
            writer.transport.abort()
            return
        self._open[origin] += 1
        keep_little(writer)
        try:
            await _Client(self, (reader, writer), came_by).serve()
        except asyncio.CancelledError:
            writer.transport.abort()  # the session ended: nothing more is to be delivered
        except (OSError, TimeoutError, h11.ProtocolError):
            pass
        finally:
            self._open -= Counter({origin: 1})
            writer.close()
            # A client that does not take its last bytes would hold them for ever.
            asyncio.get_running_loop().call_later(_PARTING_SECONDS, writer.transport.abort)

    @property
    def destinations(self) -> Destinations:
        return self._destinations

    @property
    def limits(self) -> Limits:
        return self._limits


class _Client:
    def __init__(self, clients: Clients, streams: Streams, came_by: Session | None) -> None:
        self._clients = clients
        self._limits = clients.limits
        self._streams = streams
        self._came_by = came_by
        self._session: Session | None = None
        self._peer = HttpPeer(h11.SERVER, *streams, clients.limits.head_bytes)
        self._task = asyncio.current_task()

    async def serve(self) -> None:
        """Raises OSError, TimeoutError, h11.ProtocolError, CancelledError."""
        try:
            async with asyncio.timeout(self._limits.head_seconds):
                request = await self._peer.receive()
            if isinstance(request, h11.Request):
                if request.http_version not in _VERSIONS:
                    raise Malformed("it is no HTTP/1.1")
                await self._carry_out(request)
        except h11.RemoteProtocolError:
            await self._refuse(Malformed("it is no HTTP/1.1"))
        except Refused as refused:
            await self._refuse(refused)
        finally:
            if self._session is not None and self._task is not None:
                self._session.open.pop(self._task, None)

    async def _refuse(self, refused: Refused) -> None:
        note(
            refused.mark,
            session=self._session.id if self._session else None,
            host=refused.host or None,
            status=refused.status,
            why=refused.why,
        )
        with suppress(h11.LocalProtocolError):  # a tunnel has no more answers
            await self._peer.answer(refused)

    async def _carry_out(self, request: h11.Request) -> None:
        if (request.method, request.target) == _PING:
            await self._peer.send(h11.Response(status_code=204, headers=[("connection", "close")]))
            return
        session = self._enter(request)
        if request.method == b"CONNECT":
            host, port = tunnel.destination(request)
            await self._tunnel(session, host, port)
        else:
            await self._forward(session, forward.parse(request))

    def _enter(self, request: h11.Request) -> Session:
        """Raises NotIdentified."""
        session = self._identify(request)
        if session is None or self._task is None:
            raise NotIdentified
        self._session = session
        session.open[self._task] = None
        return session

    def _identify(self, request: h11.Request) -> Session | None:
        given = values(request.headers, b"proxy-authorization")
        if len(given) != 1:
            return None
        scheme, _, encoded = given[0].partition(b" ")
        if scheme.lower() != b"basic":
            return None
        try:
            name, _, token = (
                base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
            )
        except ValueError:
            return None
        source = None if self._came_by else _address(self._streams[1])
        return self._clients.sessions.identify(name, token, source, self._came_by)

    async def _connect(self, session: Session, host: str, port: int) -> Streams:
        """Raises Refused, Unreachable. From now on a new policy is held against `host`."""
        refusal = session.grant.policy.refusal(host)
        if refusal is not None:
            raise Refused(host, refusal)
        assert self._task is not None
        session.open[self._task] = host
        upstream = await self._clients.destinations.connect(host, port, session.turns)
        keep_little(upstream[1])
        return upstream

    async def _tunnel(self, session: Session, host: str, port: int) -> None:
        while isinstance(await self._peer.receive(), h11.Data):
            raise Malformed("CONNECT with a body")
        upstream = await self._connect(session, host, port)
        traffic = Traffic()
        note("allowed", session=session.id, host=host, port=port)
        try:
            await tunnel.run(
                host,
                self._peer,
                self._streams,
                upstream,
                traffic,
                carrier(session.grant.policy, host),
                head_seconds=self._limits.head_seconds,
                idle_seconds=self._limits.idle_seconds,
            )
        finally:
            self._end(upstream, session, host, port, traffic)

    async def _forward(self, session: Session, forwarded: forward.Forwarded) -> None:
        upstream = await self._connect(session, forwarded.host, forwarded.port)
        traffic = Traffic()
        note("allowed", session=session.id, host=forwarded.host, port=forwarded.port)
        try:
            await forward.run(
                forwarded,
                self._peer,
                upstream,
                traffic,
                head_bytes=self._limits.head_bytes,
                idle_seconds=self._limits.idle_seconds,
            )
        finally:
            self._end(upstream, session, forwarded.host, forwarded.port, traffic)

    @staticmethod
    def _end(upstream: Streams, session: Session, host: str, port: int, traffic: Traffic) -> None:
        upstream[1].transport.abort()
        sent, received = traffic.sent, traffic.received
        note("closed", session=session.id, host=host, port=port, sent=sent, received=received)
