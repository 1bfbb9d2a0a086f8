"""Connections to the model endpoint that another thread can break at once.

A client of the `anthropic` package here owns exactly one connection, so that a reply knows the
socket it is read from, whether that was opened for it or kept alive from the reply before.
Importing this module imports `anthropic`, which takes seconds.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import anthropic
import httpx2

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from freehold.adapters.claude.endpoint import Endpoint
    from freehold.adapters.claude.parameters import Call

_LIMITS = httpx2.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=60)
_MOST_IDLE = 32


class Connection:
    """One connection, opened by the first request. For one request at a time."""

    def __init__(self, endpoint: Endpoint, tls: ssl.SSLContext) -> None:
        self._lock = Lock()
        self._socket: socket.socket | None = None
        self._is_broken = False
        options: dict[str, Any] = {
            "verify": tls,
            "limits": _LIMITS,
            "event_hooks": {"request": [self._watch]},
        }
        if endpoint.is_loopback:
            # With a transport of its own the client leaves HTTP_PROXY and its kin unread.
            options["transport"] = httpx2.HTTPTransport(verify=tls, limits=_LIMITS)
        self._http = anthropic.DefaultHttpxClient(**options)
        self._client = endpoint.client(self._http)

    def stream(self, call: Call) -> anthropic.Stream[Any]:
        """Sends a request; returns when the status is there.

        The events come as JSON: the package's models of them lose what they do not know, and a
        block is replayed as it came.
        """
        events: anthropic.Stream[Any] = self._client.post(
            "/v1/messages",
            cast_to=object,
            body={**call.body, "stream": True},
            options={"headers": call.headers},
            stream=True,
            stream_cls=anthropic.Stream[Any],
        )
        return events

    def shut_down(self) -> None:
        """Ends a read or write that another thread is blocked in, and later ones. Any thread."""
        with self._lock:
            self._is_broken = True
            if self._socket is not None:
                _shut_down(self._socket)

    def close(self) -> None:
        """Only for the thread that reads from it."""
        self._http.close()
        with self._lock:
            self._is_broken = True
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    # ------------------------------------------------------------ the socket
    def _watch(self, request: httpx2.Request) -> None:
        request.extensions["trace"] = self._traced

    def _traced(self, name: str, info: Mapping[str, Any]) -> None:
        if name.endswith("connect_tcp.complete"):
            self._hold(info["return_value"].get_extra_info("socket"))

    def _hold(self, opened: socket.socket) -> None:
        """Keeps a handle of its own: TLS takes over the original, whose number may be reused."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            self._socket = opened.dup()
            if self._is_broken:
                _shut_down(self._socket)


def _shut_down(handle: socket.socket) -> None:
    with suppress(OSError):  # the peer was faster
        handle.shutdown(socket.SHUT_RDWR)


@dataclass(slots=True)
class Connections:
    """Connections that wait for their next request. Thread-safe.

    `SSL_CERT_FILE` and `SSL_CERT_DIR` are read once, when this is made; raises OSError or
    ssl.SSLError where they name nothing usable.
    """

    endpoint: Endpoint
    _tls: ssl.SSLContext = field(default_factory=httpx2.create_ssl_context)
    _idle: list[Connection] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def take(self) -> Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return Connection(self.endpoint, self._tls)

    def give_back(self, connection: Connection) -> None:
        """For one whose last answer was read to its end."""
        with self._lock:
            if len(self._idle) < _MOST_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Closes those that are idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
