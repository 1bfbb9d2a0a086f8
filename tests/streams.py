"""A raw reader of server-sent events: what is on the wire, not what a client makes of it."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.servers import HEADERS


@dataclass(frozen=True)
class Frame:
    """One frame as sent: its lines, and what they say."""

    lines: tuple[str, ...]

    @property
    def type(self):
        return self._field("event")

    @property
    def id(self):
        found = self._field("id")
        return None if found is None else int(found)

    @property
    def data(self):
        return json.loads(self._field("data"))

    def _field(self, name):
        found = [line for line in self.lines if line.startswith(name + ": ")]
        assert len(found) <= 1, self.lines
        return found[0][len(name) + 2 :] if found else None


class Stream:
    """An open stream. Reads only when asked to."""

    def __init__(self, connection):
        self.socket = connection
        self._file = connection.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(": ")
            self.headers[name.lower()] = value
        self._rest = b""

    def body(self):
        """A body that is not a stream."""
        return json.loads(self._file.read(int(self.headers["content-length"])))

    def frame(self):
        """The next frame; None at the orderly end of the stream."""
        while b"\n\n" not in self._rest:
            size = int(self._file.readline(), 16)
            chunk = self._file.read(size)
            self._file.readline()
            if size == 0:
                assert self._rest == b"", self._rest
                return None
            self._rest += chunk
        raw, _, self._rest = self._rest.partition(b"\n\n")
        return Frame(tuple(raw.decode("ascii").split("\n")))

    def frames(self, until=None):
        """Frames without pings up to one of type `until`, or to the end."""
        found = []
        while frame := self.frame():
            if frame.type == "ping":
                continue
            found.append(frame)
            if frame.type == until:
                break
        return found

    def close(self):
        self._file.close()
        self.socket.close()


@contextmanager
def open_stream(server, session_id, *, thread_id=None, query="", headers=None, timeout=20):
    """A GET of the stream, entered when its headers have come."""
    place = "events/stream" if thread_id is None else f"threads/{thread_id}/stream"
    given = {"x-api-key": server.key, **HEADERS, **(headers or {})}
    sent = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value is not None)
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=timeout) as connection:
        request = f"GET /v1/sessions/{session_id}/{place}{query} HTTP/1.1\r\nhost: x\r\n{sent}\r\n"
        connection.sendall(request.encode())
        stream = Stream(connection)
        try:
            yield stream
        finally:
            stream.close()
