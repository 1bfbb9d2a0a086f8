"""How the proxy is told what sessions reach.

    PUT    /sessions/{id}   {policy, token_sha256, source}   {}
    DELETE /sessions/{id}                                    {}
    GET    /healthz         {boot_id, sessions}, unsigned

A refusal is `{"error": ...}`: 401 not signed as it must be, 409 `boot`, 400, 404.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import h11

from egress_proxy.gate import Gate, NotAdmitted
from egress_proxy.http_peer import HttpPeer
from egress_proxy.sessions import Grant

if TYPE_CHECKING:
    from egress_proxy.sessions import Sessions

_HEAD_BYTES = 16 * 1024
_MAX_BODY = 1024 * 1024
_SECONDS = 20.0
_SESSIONS = "/sessions/"
_OK, _BAD, _NOT_FOUND = 200, 400, 404


class Control:
    """Answers on connections of one request each."""

    def __init__(self, gate: Gate, sessions: Sessions, boot_id: str) -> None:
        self._gate = gate
        self._sessions = sessions
        self._boot_id = boot_id

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Raises nothing but cancellation."""
        peer = HttpPeer(h11.SERVER, reader, writer, _HEAD_BYTES)
        try:
            async with asyncio.timeout(_SECONDS):
                status, answer = await self._answer(peer)
                await _send(peer, status, answer)
        except (OSError, TimeoutError, h11.ProtocolError):
            pass
        finally:
            writer.close()

    async def _answer(self, peer: HttpPeer) -> tuple[int, dict[str, str | int]]:
        request = await peer.receive()
        if not isinstance(request, h11.Request):
            raise ConnectionResetError
        body = b""
        while isinstance(event := await peer.receive(), h11.Data):
            body += event.data
            if len(body) > _MAX_BODY:
                raise ConnectionResetError
        method, path = request.method.decode("ascii"), request.target.decode("ascii")
        if (method, path) == ("GET", "/healthz"):
            return _OK, {"boot_id": self._boot_id, "sessions": len(self._sessions)}
        if method not in ("PUT", "DELETE") or not path.startswith(_SESSIONS):
            return _NOT_FOUND, {"error": "no such path"}
        session_id = path.removeprefix(_SESSIONS)
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in request.headers}
        try:
            self._gate.admit(method, path, session_id, headers, body)
            await self._change(method, session_id, body)
        except NotAdmitted as refused:
            return refused.status, {"error": str(refused)}
        except (ValueError, OSError) as refused:
            return _BAD, {"error": str(refused)}
        return _OK, {}

    async def _change(self, method: str, session_id: str, body: bytes) -> None:
        """Raises ValueError, OSError."""
        if method == "PUT":
            await self._sessions.put(session_id, Grant.parse(json.loads(body)))
        else:
            self._sessions.remove(session_id)


async def _send(peer: HttpPeer, status: int, answer: dict[str, str | int]) -> None:
    body = json.dumps(answer).encode()
    headers = [
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("connection", "close"),
    ]
    await peer.send(h11.Response(status_code=status, headers=headers))
    await peer.send(h11.Data(data=body))
    await peer.send(h11.EndOfMessage())
