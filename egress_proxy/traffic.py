"""Bytes in both directions until both have ended, with nothing kept but what is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from egress_proxy.destinations import CHUNK_BYTES, Streams
from egress_proxy.policy import Policy


@dataclass(slots=True)
class Traffic:
    """Bytes of a connection, from the client's point of view."""

    sent: int = 0
    received: int = 0


Carry: TypeAlias = Callable[[Streams, Streams, Traffic, float], Awaitable[None]]
"""What happens in a tunnel once its ClientHello was checked and passed on: client, upstream, what
is counted, seconds without a byte after which it ends. Raises TimeoutError, OSError.
"""


def carrier(policy: Policy, host: str) -> Carry:
    """For one tunnel of a session. Where credentials are substituted, whatever ends TLS for `host`
    goes here; a policy that asks for it is refused when it is put.
    """
    assert host not in policy.substitutions
    return splice


async def splice(client: Streams, upstream: Streams, traffic: Traffic, idle: float) -> None:
    """Unchanged. A slow reader slows its sender down: what is not taken is not read either."""
    loop = asyncio.get_running_loop()

    async def pump(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counted: str
    ) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            timer.reschedule(loop.time() + idle)
            writer.write(chunk)
            setattr(traffic, counted, getattr(traffic, counted) + len(chunk))
            await writer.drain()
        with suppress(OSError):  # the other side has closed already
            writer.write_eof()

    async with asyncio.timeout(idle) as timer:
        await asyncio.gather(
            pump(client[0], upstream[1], "sent"), pump(upstream[0], client[1], "received")
        )
