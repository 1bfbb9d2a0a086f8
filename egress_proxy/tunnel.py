"""`CONNECT`: a tunnel to port 443 that carries TLS for the host asked for, and nothing else."""

from __future__ import annotations

import asyncio

import h11

from egress_proxy import client_hello
from egress_proxy.client_hello import NotTls
from egress_proxy.destinations import CHUNK_BYTES, Streams
from egress_proxy.host_names import is_address, plain_host, split_authority
from egress_proxy.http_peer import HttpPeer, values
from egress_proxy.refusals import Malformed, Refused
from egress_proxy.traffic import Carry, Traffic

_PORT = 443


def destination(request: h11.Request) -> tuple[str, int]:
    """Raises Malformed or, for another port, Refused."""
    if values(request.headers, b"content-length") or values(request.headers, b"transfer-encoding"):
        raise Malformed("CONNECT with a body")
    try:
        host, port = split_authority(request.target.decode("ascii"))
    except ValueError:
        raise Malformed("CONNECT names no host and port") from None
    if port != _PORT:
        raise Refused(host, f"a tunnel leads to port {_PORT} only, not to {port}")
    return host, port


async def run(
    host: str,
    peer: HttpPeer,
    client: Streams,
    upstream: Streams,
    traffic: Traffic,
    carry: Carry,
    *,
    head_seconds: float,
    idle_seconds: float,
) -> None:
    """Answers 200 and carries bytes until both sides have ended. Not one is passed on before the
    ClientHello is whole and names `host`; a client of another name hears a TLS alert.

    Raises Refused, after which the client must be hung up on; TimeoutError, OSError.
    """
    await peer.send(h11.Response(status_code=200, headers=[], reason="Connection established"))
    try:
        async with asyncio.timeout(head_seconds):
            first = await _checked_hello(host, peer.left_over, client[0])
    except Refused:
        client[1].write(client_hello.UNRECOGNIZED_NAME)
        await client[1].drain()
        raise
    traffic.sent += len(first)
    upstream[1].write(first)
    await carry(client, upstream, traffic, idle_seconds)


async def _checked_hello(host: str, data: bytes, reader: asyncio.StreamReader) -> bytes:
    """All that was read. Raises Refused, ConnectionResetError when the client ends before."""
    try:
        while (hello := client_hello.read(data)) is None:
            more = await reader.read(CHUNK_BYTES)
            if not more:
                raise ConnectionResetError
            data += more
    except NotTls as wrong:
        raise Refused(host, f"port {_PORT} is for TLS, and this is {wrong}") from None
    if not _names(hello.server_name, host):
        raise Refused(host, "the name in the TLS handshake is missing or another")
    return data


def _names(server_name: str | None, host: str) -> bool:
    """An address has no place in a handshake: to reach one, no name is given at all."""
    if server_name is None:
        return is_address(host)
    try:
        return plain_host(server_name) == host
    except ValueError:
        return False
