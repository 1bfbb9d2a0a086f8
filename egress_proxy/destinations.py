"""Connections to addresses that were looked at: a name is resolved once, here, and what is
connected to is what was looked at.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address, ip_network
from typing import TypeAlias

from egress_proxy.host_names import is_address
from egress_proxy.public_address import is_public
from egress_proxy.refusals import Refused, Unreachable

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Resolve: TypeAlias = Callable[[str, int], Sequence[str]]
"""The addresses of a name; it may block. Raises OSError or UnicodeError."""
Dial: TypeAlias = Callable[[str, int], Awaitable[Streams]]
"""A connection to an address and port. Raises OSError."""

CHUNK_BYTES = 16 * 1024
_MOST_ADDRESSES = 4
_RESOLVERS = 32
_RESOLVED_AT_ONCE = 4


def keep_little(writer: asyncio.StreamWriter) -> None:
    """Of what one side sends and the other does not take, a few chunks are in memory: asyncio would
    by itself read a quarter of a megabyte at once.
    """
    writer.transport.max_size = CHUNK_BYTES  # type: ignore[attr-defined]
    writer.transport.set_write_buffer_limits(CHUNK_BYTES)


def resolve(host: str, port: int) -> list[str]:
    """As the operating system does."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def dial(address: str, port: int) -> Streams:
    """To the address itself. Raises ConnectionRefusedError when it is this machine's own: what
    listens on all of its addresses does not expect a sandbox.
    """
    reader, writer = await asyncio.open_connection(address, port, limit=CHUNK_BYTES)
    local, peer = (writer.get_extra_info(name) for name in ("sockname", "peername"))
    if not local or not peer or local[0] == peer[0]:
        writer.transport.abort()
        raise ConnectionRefusedError("an address of this machine")
    return reader, writer


class Turns:
    """How many names one session has resolved at once: a name whose server is slow holds a thread,
    and there are few.
    """

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_RESOLVED_AT_ONCE)

    async def run(self, pool: ThreadPoolExecutor, work: Callable[[], Sequence[str]]) -> list[str]:
        """A turn ends with its thread, not with whoever waited for it."""
        await self._free.acquire()
        future = asyncio.get_running_loop().run_in_executor(pool, work)
        future.add_done_callback(self._end)
        return list(await asyncio.shield(future))

    def _end(self, done: asyncio.Future[Sequence[str]]) -> None:
        self._free.release()
        if not done.cancelled():
            done.exception()  # nobody may be waiting for it any more


class Destinations:
    """Every host that any session may reach. `refused_ranges` are networks of the operator's that
    none may, public or not.
    """

    def __init__(
        self,
        refused_ranges: Sequence[str] = (),
        *,
        seconds: float,
        resolve: Resolve = resolve,
        dial: Dial = dial,
    ) -> None:
        self._refused = [ip_network(text) for text in refused_ranges]
        self._seconds = seconds
        self._resolve = resolve
        self._dial = dial
        self._pool = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="resolver")

    async def connect(self, host: str, port: int, turns: Turns) -> Streams:
        """Raises Refused when no address of the host may be reached, else Unreachable."""
        for address in (await self._addresses(host, port, turns))[:_MOST_ADDRESSES]:
            try:
                async with asyncio.timeout(self._seconds):
                    return await self._dial(address, port)
            except (OSError, TimeoutError):
                continue
        raise Unreachable(host, "it does not answer")

    async def _addresses(self, host: str, port: int, turns: Turns) -> list[str]:
        found = [host]
        if not is_address(host):
            try:
                async with asyncio.timeout(self._seconds):
                    found = await turns.run(self._pool, lambda: self._resolve(host, port))
            except (OSError, UnicodeError, TimeoutError):
                raise Unreachable(host, "it is not found") from None
        reached = [address for address in found if self._may_reach(address)]
        if not reached:
            raise Refused(host, "it is not on the public internet")
        return reached

    def _may_reach(self, address: str) -> bool:
        if not is_public(address):
            return False
        parsed = ip_address(address)
        return not any(parsed in network for network in self._refused)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
