"""Plain HTTP to port 80: one request in absolute form, read whole and sent anew.

Client and server each speak to a parser of their own, so that there is one reading of where a
message ends. A connection carries one request: what follows it is not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import h11

from egress_proxy.destinations import Streams
from egress_proxy.host_names import split_authority
from egress_proxy.http_peer import Headers, HttpPeer, end_to_end, values
from egress_proxy.refusals import Malformed, Refused, Unreachable
from egress_proxy.traffic import Traffic

_PORT = 80
_SCHEME = b"http://"
_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding"})
_SWITCHING = 101


@dataclass(frozen=True, slots=True)
class Forwarded:
    """`target` is path and query; `headers` are those of the next hop."""

    host: str
    port: int
    method: bytes
    target: bytes
    headers: Headers


def parse(request: h11.Request) -> Forwarded:
    """Raises Malformed or, for another port, Refused."""
    if not request.target.lower().startswith(_SCHEME):
        raise Malformed("a URL of http:// or CONNECT is expected")
    rest = request.target[len(_SCHEME) :]
    end = next((n for n, byte in enumerate(rest) if byte in b"/?#"), len(rest))
    authority, target = rest[:end], rest[end:]
    if b"@" in authority or b"#" in target:
        raise Malformed("the URL holds what is not sent")
    try:
        host, port = split_authority(authority.decode("ascii"), _PORT)
        named = [
            split_authority(value.decode("ascii"), _PORT)
            for value in values(request.headers, b"host")
        ]
    except ValueError:
        raise Malformed("its host is no name and no plain address") from None
    if any(other != (host, port) for other in named):
        raise Malformed("the Host header names another host than the URL")
    if port != _PORT:
        raise Refused(host, f"plain HTTP leads to port {_PORT} only, not to {port}")
    path = target if target.startswith(b"/") else b"/" + target
    headers = _headers(list(request.headers), host)
    return Forwarded(host, port, request.method, path, headers)


def _headers(given: Iterable[tuple[bytes, bytes]], host: str) -> Headers:
    """What the next hop is told. Raises Malformed for a message that could have two ends."""
    named = {word.strip() for word in b",".join(values(given, b"connection")).lower().split(b",")}
    is_chunked = bool(values(given, b"transfer-encoding"))
    if named & _FRAMING or (is_chunked and values(given, b"content-length")):
        raise Malformed("two lengths")
    name = f"[{host}]" if ":" in host else host
    kept = [(key, value) for key, value in end_to_end(given) if key != b"host"]
    framing = [(b"transfer-encoding", b"chunked")] if is_chunked else []
    return [(b"host", name.encode()), *kept, *framing, (b"connection", b"close")]


async def run(
    forwarded: Forwarded,
    peer: HttpPeer,
    upstream: Streams,
    traffic: Traffic,
    *,
    head_bytes: int,
    idle_seconds: float,
) -> None:
    """Sends the request, and the answer back. Raises Unreachable while it can still be answered
    with; TimeoutError, OSError and h11's errors later on.
    """
    server = HttpPeer(h11.CLIENT, *upstream, head_bytes)
    loop = asyncio.get_running_loop()

    async with asyncio.timeout(idle_seconds) as timer:

        def alive() -> None:
            timer.reschedule(loop.time() + idle_seconds)

        head = h11.Request(
            method=forwarded.method, target=forwarded.target, headers=forwarded.headers
        )
        await server.send(head)
        tasks = (
            asyncio.create_task(_send_body(peer, server, traffic, alive)),
            asyncio.create_task(_return_answer(forwarded.host, server, peer, traffic, alive)),
        )
        try:
            await _first_to_matter(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def _first_to_matter(sending: asyncio.Task[None], returning: asyncio.Task[None]) -> None:
    """The answer decides, and may come before the whole request has gone. Only a request that is
    broken ends everything: nobody will answer it.
    """
    await asyncio.wait((sending, returning), return_when=asyncio.FIRST_COMPLETED)
    if sending.done() and isinstance(sending.exception(), h11.RemoteProtocolError):
        sending.result()
    await returning


async def _send_body(
    peer: HttpPeer, server: HttpPeer, traffic: Traffic, alive: Callable[[], None]
) -> None:
    while isinstance(event := await peer.receive(), h11.Data):
        traffic.sent += len(event.data)
        await server.send(h11.Data(data=event.data))
        alive()
    if isinstance(event, h11.EndOfMessage):
        await server.send(h11.EndOfMessage())


async def _return_answer(
    host: str, server: HttpPeer, peer: HttpPeer, traffic: Traffic, alive: Callable[[], None]
) -> None:
    try:
        head = await _final_head(server, peer)
    except (h11.RemoteProtocolError, OSError):
        raise Unreachable(host, "its answer is no HTTP") from None
    await peer.send(head)
    while isinstance(event := await server.receive(), h11.Data):
        traffic.received += len(event.data)
        await peer.send(h11.Data(data=event.data))
        alive()
    await peer.send(h11.EndOfMessage())


async def _final_head(server: HttpPeer, peer: HttpPeer) -> h11.Response:
    """Passes on what only informs. Raises h11.RemoteProtocolError, OSError."""
    while True:
        event = await server.receive()
        if isinstance(event, h11.Response):
            return _answer_head(event)
        if not isinstance(event, h11.InformationalResponse):
            raise ConnectionResetError
        if event.status_code != _SWITCHING:
            await peer.send(h11.InformationalResponse(status_code=event.status_code, headers=[]))


def _answer_head(event: h11.Response) -> h11.Response:
    """h11 frames what goes on. A length that came beside chunks was not the length."""
    headers = end_to_end(event.headers)
    if values(event.headers, b"transfer-encoding"):
        headers = [(name, value) for name, value in headers if name != b"content-length"]
    return h11.Response(
        status_code=event.status_code,
        headers=[*headers, (b"connection", b"close")],
        reason=event.reason,
    )
