"""Signed requests to one supervisor, over connections that stay open."""

from __future__ import annotations

import http.client
import json
from threading import Lock
from typing import TYPE_CHECKING

from freehold.errors import SandboxLost
from freehold.toolset import WAIT_SECONDS
from freehold.toolset.signed_request import signed_headers

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from freehold.ports import Secrets
    from freehold.toolset import JsonObject

_SECONDS = WAIT_SECONDS + 15
_MAX_ANSWER_BYTES = 64 * 1024 * 1024


class _Connection(http.client.HTTPConnection):
    """HTTP over whatever `connect` opens."""

    def __init__(self, open_socket: Callable[[], socket.socket]) -> None:
        super().__init__("sandbox", timeout=_SECONDS)
        self._open_socket = open_socket

    def connect(self) -> None:
        self.sock = self._open_socket()
        self.sock.settimeout(_SECONDS)


class SupervisorClient:
    """For many threads at once; each request has a connection to itself."""

    def __init__(
        self,
        open_socket: Callable[[], socket.socket],
        secrets: Secrets,
        session_id: str,
        boot_id: str,
    ) -> None:
        self._open_socket = open_socket
        self._secrets = secrets
        self._session_id = session_id
        self._boot_id = boot_id
        self._idle: list[_Connection] = []
        self._lock = Lock()
        self._is_closed = False

    def post(self, path: str, value: JsonObject) -> tuple[int, JsonObject]:
        """Status and answer. Raises SandboxLost when there is none, or none that can be read."""
        connection = self._take()
        try:
            status, body = self._exchange(connection, path, json.dumps(value).encode())
            answer = json.loads(body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            raise SandboxLost("The sandbox stopped answering.") from error
        self._give_back(connection)
        if not isinstance(answer, dict):
            raise SandboxLost("The sandbox answered something else than an object.")
        return status, answer

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> _Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return _Connection(self._open_socket)

    def _give_back(self, connection: _Connection) -> None:
        with self._lock:
            if not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()

    def _exchange(self, connection: _Connection, path: str, body: bytes) -> tuple[int, bytes]:
        headers = signed_headers(
            self._secrets.sign,
            "POST",
            path,
            body,
            session_id=self._session_id,
            boot_id=self._boot_id,
        )
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        answer = response.read(_MAX_ANSWER_BYTES + 1)
        if len(answer) > _MAX_ANSWER_BYTES:
            raise ValueError("too long")
        return response.status, answer
