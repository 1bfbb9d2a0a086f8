"""HTTP/1.1 over a pair of streams, parsed by h11: what it does not take is not passed on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TypeAlias

import h11

from egress_proxy.destinations import CHUNK_BYTES
from egress_proxy.refusals import Refused

Headers: TypeAlias = list[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)


class HttpPeer:
    """One side of a conversation: a client of ours, or a server whose client we are."""

    def __init__(
        self,
        role: type[h11.CLIENT | h11.SERVER],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        head_bytes: int,
    ) -> None:
        self._http = h11.Connection(role, max_incomplete_event_size=head_bytes)
        self._reader = reader
        self._writer = writer
        self._method = b""

    async def receive(self) -> h11.Event | object:
        """The next event, h11.PAUSED behind the last. Raises h11.RemoteProtocolError, OSError."""
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                self._method = event.method
            if isinstance(event, h11.Event) or event is h11.PAUSED:
                return event
            self._http.receive_data(await self._reader.read(CHUNK_BYTES))

    async def send(self, event: h11.Event) -> None:
        """Waits until there is room for more. Raises h11.LocalProtocolError, OSError."""
        data = self._http.send(event)
        if data:
            self._writer.write(data)
            await self._writer.drain()

    async def answer(self, refused: Refused) -> None:
        """The proxy's own answer, if one can still be given. It is the connection's last."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        body = refused.text.encode()
        headers = [
            *refused.headers,
            ("content-type", "text/plain; charset=utf-8"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        await self.send(
            h11.Response(status_code=refused.status, headers=headers, reason=refused.phrase)
        )
        if self._method != b"HEAD":
            await self.send(h11.Data(data=body))
        await self.send(h11.EndOfMessage())

    @property
    def left_over(self) -> bytes:
        """What came after the request that switched protocols."""
        return self._http.trailing_data[0]


def values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """Of every header of that name, which is in lower case."""
    return [value for key, value in headers if key == name]


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Without what is meant for the next hop alone, that which `Connection` names included."""
    named = b",".join(values(headers, b"connection")).lower().split(b",")
    dropped = _HOP_BY_HOP | {name.strip() for name in named}
    return [(name, value) for name, value in headers if name not in dropped]
