"""The HTTP side of the Messages API double: one thread a connection, and every way to break one."""

from __future__ import annotations

import json
import select
import socket
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock
from typing import TYPE_CHECKING

from freehold.testing.messages_dialects import Sent
from freehold.testing.messages_faults import Cut, Fail, Garble, Refuse, Silence, Stall
from freehold.testing.messages_refused import Refused

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from freehold.testing.messages_faults import Fault, StreamFault
    from freehold.testing.messages_server import MessagesServer, Recorded
    from freehold.testing.messages_stream import Answer
    from freehold.toolset import JsonObject


class HttpServer(ThreadingHTTPServer):
    """Ends every connection when it stops, however long an answer was still to take."""

    daemon_threads = False

    def __init__(
        self, address: tuple[str, int], double: MessagesServer, tls: ssl.SSLContext | None
    ) -> None:
        super().__init__(address, _Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.double = double
        self._connections: set[socket.socket] = set()
        self._stopping = Event()
        self._lock = Lock()

    def serve(self) -> None:
        self.serve_forever(poll_interval=0.02)

    def stop(self) -> None:
        """Returns when every thread has ended."""
        self._stopping.set()
        self.shutdown()
        self.drop_connections()
        self.server_close()

    def drop_connections(self) -> None:
        with self._lock:
            for connection in self._connections:
                _end(connection)

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)
            if self._stopping.is_set():
                _end(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.discard(connection)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is no error of this server."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # the stub is narrower than the call


def _end(connection: socket.socket) -> None:
    """Wakes whoever reads from it or waits for it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _ClientLeft(ConnectionError):
    """The client closed the connection before it had its answer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: HttpServer
    connection: socket.socket

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        super().finish()

    def log_message(self, *_: object) -> None:
        """Silent: tests read `MessagesServer.requests`."""

    # ------------------------------------------------------------ routes
    def do_GET(self) -> None:
        self._serve(b"")

    def do_CONNECT(self) -> None:
        """What a client asks of a proxy. This is none: it refuses, and the request is on record."""
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("content-length", 0))))

    def _serve(self, body: bytes) -> None:
        path = self.path.partition("?")[0]
        headers = dict(self.headers.items())
        recorded = self.server.double.record(path, headers, body, self.client_address)
        try:
            self._route(path, body, recorded)
        except Refused as refused:
            self._refuse(refused, recorded)
        except OSError:
            recorded.left.set()
            self.close_connection = True
        finally:
            recorded.ended.set()

    def _route(self, path: str, body: bytes, recorded: Recorded) -> None:
        double = self.server.double
        headers = {name.lower(): value for name, value in self.headers.items()}
        sent = double.dialect.admit(Sent(self.command, self.path, headers, body))
        path, headers, body = sent.path, dict(sent.headers), sent.body
        if self.command == "GET" and path.startswith("/v1/models/"):
            self._send(200, double.model(path.removeprefix("/v1/models/")), recorded)
            return
        if self.command != "POST" or path != "/v1/messages":
            raise Refused(404, "not_found_error", "Not found")
        fault = double.next_fault()
        self._fail_at_once(fault, recorded)
        if isinstance(fault, Garble):
            return
        answer, is_streamed = double.answer(headers, body)
        if is_streamed:
            self._stream(answer, fault if isinstance(fault, Cut | Stall | Fail) else None, recorded)
        else:
            self._wait(answer.reply.delay)
            self._send(200, answer.message(), recorded)

    # ------------------------------------------------------------ answers
    def _fail_at_once(self, fault: Fault | None, recorded: Recorded) -> None:
        if isinstance(fault, Refuse):
            extra = dict(fault.headers)
            if fault.retry_after is not None:
                extra["retry-after"] = fault.retry_after
            raise Refused(fault.status, fault.type, fault.message, headers=extra)
        if isinstance(fault, Silence):
            self._wait(None)
        if isinstance(fault, Garble):
            self._send_bytes(200, fault.content_type, fault.body, recorded)

    def _refuse(self, refused: Refused, recorded: Recorded) -> None:
        request_id = self.server.double.next_id("req")
        answer = self.server.double.dialect.refusal(refused, request_id)
        self._send(answer.status, answer.body, recorded, answer.headers)

    def _send(
        self,
        status: int,
        body: JsonObject,
        recorded: Recorded,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        data = json.dumps(body, ensure_ascii=False).encode()
        self._send_bytes(status, "application/json", data, recorded, headers)

    def _send_bytes(
        self,
        status: int,
        content_type: str,
        data: bytes,
        recorded: Recorded,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        recorded.status = status
        self.send_response(status)
        self.send_header("request-id", self.server.double.next_id("req"))
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    # ------------------------------------------------------------ streams
    def _stream(self, answer: Answer, fault: StreamFault | None, recorded: Recorded) -> None:
        recorded.status = 200
        self.send_response(200)
        self.send_header("request-id", self.server.double.next_id("req"))
        self.send_header("content-type", self.server.double.dialect.content_type)
        self.send_header("cache-control", "no-cache")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for n, (pause, event) in enumerate(answer.events()):
            if fault is not None and n == fault.after:
                self._break_off(fault)
                return
            self._wait(pause)
            self._chunk(self.server.double.dialect.frame(event))
        if answer.reply.is_cut or isinstance(fault, Cut):
            self._break_off(Cut(0))
            return
        self._chunk(b"")

    def _break_off(self, fault: StreamFault) -> None:
        if isinstance(fault, Stall):
            self._wait(None)
        if isinstance(fault, Fail):
            error: JsonObject = {"type": fault.type, "message": fault.message}
            self._chunk(self.server.double.dialect.frame({"type": "error", "error": error}))
            self._chunk(b"")
            return
        self.close_connection = True
        _end(self.connection)

    def _chunk(self, data: bytes) -> None:
        """One chunk of the body; the empty one ends it."""
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _wait(self, seconds: float | None) -> None:
        """Until the time is over, None for ever. Raises _ClientLeft as soon as nobody listens."""
        if seconds == 0:
            return
        readable, _, _ = select.select([self.connection], [], [], seconds)
        if readable:
            raise _ClientLeft
