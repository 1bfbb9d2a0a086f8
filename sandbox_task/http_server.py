"""As much of HTTP/1.1 as the supervisor needs: requests with a length, connections that stay open.

`http.server` would do, but takes longer to import than everything else here together, and a cold
sandbox waits for that.
"""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import threading
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, cast

from freehold.toolset.packages import MAX_ARCHIVE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from freehold.toolset import JsonObject

MAX_BODY_BYTES = 64 * 1024 * 1024
_MAX_LINE_BYTES = 8 * 1024
_MAX_HEADERS = 32
_TAKEN_WITHOUT_LOOKING_BYTES = 64 * 1024
_PAUSE_SECONDS = 30.0
"""In which a large body must go on, either way: who sends it may have been killed."""

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
    content: BinaryIO | None = None
    """In place of `body`, what is read as it arrives. A read raises OSError where the sender does
    not go on, and where the connection ends before the body.
    """


@dataclass(frozen=True, slots=True)
class Response:
    body: bytes
    status: int = 200
    content_type: str = "application/json"
    file: BinaryIO | None = None
    """What follows `body`, from its beginning; closed when it is sent."""

    @classmethod
    def json(cls, value: JsonObject, status: int = 200) -> Response:
        return cls(json.dumps(value).encode(), status)


Handler: TypeAlias = "Callable[[Request], Response]"
Admission: TypeAlias = "Callable[[Request], bool]"


def serve(listener: socket.socket, admit: Admission, handle: Handler) -> None:
    """Answers until the listener is closed, each connection on a thread of its own.

    `admit` sees a request before its body is read (the body it sees is empty) and raises Refused
    for one that has no business here: nobody without a signature makes the supervisor hold 64 MB.
    It answers whether `handle` reads the body itself, which may be larger then.
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
                arriving = _Arriving(connection, reader, _length(request))
                _send(connection, _answer(request, arriving, admit, handle))
                if arriving.left:
                    return  # the next request would begin in the middle of this one's body
        except (OSError, _Malformed):
            return


class _Arriving(io.RawIOBase):
    """The body of one request. Of one that is read as it arrives no pause may be long."""

    def __init__(self, connection: socket.socket, reader: BinaryIO, length: int) -> None:
        self._connection = connection
        self._reader = reader
        self.left = length

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Raises OSError."""
        wanted = self.left if size < 0 else min(size, self.left)
        self._connection.settimeout(_PAUSE_SECONDS)
        try:
            found = self._reader.read(wanted)
        finally:
            self._connection.settimeout(None)
        self.left -= len(found)
        if len(found) != wanted:
            raise ConnectionError("the body ended early")
        return found

    def whole(self) -> bytes:
        """Of any pauses. Raises _Malformed."""
        body = self._reader.read(self.left)
        if len(body) != self.left:
            raise _Malformed
        self.left = 0
        return body


def _answer(head: Request, arriving: _Arriving, admit: Admission, handle: Handler) -> Response:
    try:
        is_read_later = _admit(head, arriving.left, admit)
    except Refused as refused:
        if arriving.left > _TAKEN_WITHOUT_LOOKING_BYTES:
            raise _Malformed from refused
        arriving.whole()
        return Response.json({"error": refused.error}, refused.status)
    if is_read_later:
        content = cast("BinaryIO", arriving)
        request = Request(head.method, head.path, head.headers, b"", content)
    else:
        request = Request(head.method, head.path, head.headers, arriving.whole())
    try:
        return handle(request)
    except Refused as refused:
        return Response.json({"error": refused.error}, refused.status)
    except Exception:  # noqa: BLE001 - the edge: one request failed, and its sender must hear it
        traceback.print_exc(file=sys.stderr)
        return Response.json({"error": "the supervisor failed"}, 500)


def _admit(head: Request, length: int, admit: Admission) -> bool:
    if length > MAX_ARCHIVE_BYTES:
        raise Refused(413, f"a body holds at most {MAX_ARCHIVE_BYTES} bytes")
    is_read_later = admit(head)
    if length > MAX_BODY_BYTES and not is_read_later:
        raise Refused(413, f"a body holds at most {MAX_BODY_BYTES} bytes")
    return is_read_later


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


def _send(connection: socket.socket, response: Response) -> None:
    if response.file is None:
        connection.sendall(_encode(response, 0))
        return
    with response.file as file:
        connection.sendall(_encode(response, os.fstat(file.fileno()).st_size))
        connection.settimeout(_PAUSE_SECONDS)
        connection.sendfile(file)
        connection.settimeout(None)


def _encode(response: Response, more: int) -> bytes:
    head = (
        f"HTTP/1.1 {response.status} {_REASONS[response.status]}\r\n"
        f"content-type: {response.content_type}\r\n"
        f"content-length: {len(response.body) + more}\r\n\r\n"
    )
    return head.encode() + response.body
