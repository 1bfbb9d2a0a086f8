"""As much of HTTP/1.1 as the supervisor needs: requests with a length, connections that stay open.

`http.server` would do, but takes longer to import than everything else here together, and a cold
sandbox waits for that.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from freehold.toolset import JsonObject

MAX_BODY_BYTES = 64 * 1024 * 1024
_MAX_LINE_BYTES = 8 * 1024
_MAX_HEADERS = 32
_TAKEN_WITHOUT_LOOKING_BYTES = 64 * 1024

_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    409: "Conflict",
    413: "Content Too Large",
    500: "Internal Server Error",
}


class Refused(Exception):
    """Answered with a status and `{"error": ...}`; the connection stays open."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


class _Malformed(Exception):
    """Nothing that could be answered: the connection is closed."""


@dataclass(frozen=True, slots=True)
class Request:
    """`path` is as sent, with its query. Names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    body: bytes
    status: int = 200
    content_type: str = "application/json"

    @classmethod
    def json(cls, value: JsonObject, status: int = 200) -> Response:
        return cls(json.dumps(value).encode(), status)


Handler: TypeAlias = "Callable[[Request], Response]"
Admission: TypeAlias = "Callable[[Request], None]"


def serve(listener: socket.socket, admit: Admission, handle: Handler) -> None:
    """Answers until the listener is closed, each connection on a thread of its own.

    `admit` sees a request before its body is read (the body it sees is empty) and raises Refused
    for one that has no business here: nobody without a signature makes the supervisor hold 64 MB.
    """
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(
            target=_converse, args=(connection, admit, handle), daemon=True, name="connection"
        ).start()


def _converse(connection: socket.socket, admit: Admission, handle: Handler) -> None:
    with connection, connection.makefile("rb") as reader:
        try:
            while (request := _read_head(reader)) is not None:
                connection.sendall(_encode(_answer(request, reader, admit, handle)))
        except (OSError, _Malformed):
            return


def _answer(head: Request, reader: BinaryIO, admit: Admission, handle: Handler) -> Response:
    length = _length(head)
    try:
        _admit(head, length, admit)
    except Refused as refused:
        if length > _TAKEN_WITHOUT_LOOKING_BYTES:
            raise _Malformed from refused
        _read(reader, length)
        return Response.json({"error": refused.error}, refused.status)
    request = Request(head.method, head.path, head.headers, _read(reader, length))
    try:
        return handle(request)
    except Refused as refused:
        return Response.json({"error": refused.error}, refused.status)
    except Exception:  # noqa: BLE001 - the edge: one request failed, and its sender must hear it
        traceback.print_exc(file=sys.stderr)
        return Response.json({"error": "the supervisor failed"}, 500)


def _admit(head: Request, length: int, admit: Admission) -> None:
    if length > MAX_BODY_BYTES:
        raise Refused(413, f"a body holds at most {MAX_BODY_BYTES} bytes")
    admit(head)


def _read_head(reader: BinaryIO) -> Request | None:
    """The request line and the headers; None at the end of the connection."""
    line = reader.readline(_MAX_LINE_BYTES)
    if not line:
        return None
    words = _text(line).split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, path, version
        raise _Malformed
    headers: dict[str, str] = {}
    while True:
        line = reader.readline(_MAX_LINE_BYTES)
        if line in {b"\r\n", b"\n"}:
            return Request(words[0], words[1], headers, b"")
        name, colon, value = _text(line).partition(":")
        # A header sent twice could be read one way here and another way by whoever signed.
        if not colon or name.lower() in headers or len(headers) == _MAX_HEADERS:
            raise _Malformed
        headers[name.lower()] = value.strip()


def _text(line: bytes) -> str:
    if not line.endswith(b"\n"):
        raise _Malformed
    return line.decode("latin-1").rstrip("\r\n")


def _length(head: Request) -> int:
    if "transfer-encoding" in head.headers:
        raise _Malformed
    length = head.headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise _Malformed
    return int(length)


def _read(reader: BinaryIO, length: int) -> bytes:
    body = reader.read(length)
    if len(body) != length:
        raise _Malformed
    return body


def _encode(response: Response) -> bytes:
    head = (
        f"HTTP/1.1 {response.status} {_REASONS[response.status]}\r\n"
        f"content-type: {response.content_type}\r\n"
        f"content-length: {len(response.body)}\r\n\r\n"
    )
    return head.encode() + response.body
