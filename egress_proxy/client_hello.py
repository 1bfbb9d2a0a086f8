"""Which name a TLS client asks for, read from the ClientHello and not decrypted (RFC 8446, 6066).

Encrypted ClientHello hides an inner name behind this outer one (RFC 9849); what is read here is the
outer name, which is the one that has to be right.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_BYTES = 32 * 1024
"""Of a ClientHello with its records. Those of today, post-quantum keys included, have 2 KiB."""
UNRECOGNIZED_NAME = b"\x15\x03\x03\x00\x02\x02\x70"
"""A fatal alert: the client's error then speaks of the name."""

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_MAX_RECORD = 1 << 14
_RECORD_HEAD, _MESSAGE_HEAD = 5, 4
_SERVER_NAME = 0


class NotTls(Exception):
    """What came first is no ClientHello."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """`server_name` is as sent, None where there is none."""

    server_name: str | None


def read(data: bytes) -> ClientHello | None:
    """The ClientHello that `data` begins with; None while it is not complete.

    Raises NotTls as soon as it cannot become one, also when it holds two names.
    """
    message = _message(data)
    if message is None:
        if len(data) > MAX_BYTES:
            raise NotTls("a ClientHello that does not end")
        return None
    try:
        return ClientHello(_server_name(_Bytes(message)))
    except (EOFError, UnicodeDecodeError):
        raise NotTls("a ClientHello that does not add up") from None


def _message(data: bytes) -> bytes | None:
    """The handshake message out of its records; None while a part is missing."""
    message = b""
    place = 0
    while True:
        head = data[place : place + _RECORD_HEAD]
        if (head[:1] and head[0] != _HANDSHAKE) or (head[1:2] and head[1] != 3):  # noqa: PLR2004 - version 3.x
            raise NotTls("no TLS handshake")
        if len(head) < _RECORD_HEAD:
            return None
        length = int.from_bytes(head[3:5], "big")
        if not 0 < length <= _MAX_RECORD:
            raise NotTls("a record of a length that TLS does not have")
        message += data[place + _RECORD_HEAD : place + _RECORD_HEAD + length]
        if message[:1] and message[0] != _CLIENT_HELLO:
            raise NotTls("another message than a ClientHello")
        if len(message) >= _MESSAGE_HEAD:
            wanted = _MESSAGE_HEAD + int.from_bytes(message[1:4], "big")
            if wanted > MAX_BYTES:
                raise NotTls("a ClientHello that is too long")
            if len(message) >= wanted:
                return message[_MESSAGE_HEAD:wanted]
        place += _RECORD_HEAD + length
        if place > len(data):
            return None


class _Bytes:
    """Reads from the front. Raises EOFError where there is less than asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def has_ended(self) -> bool:
        return not self._data

    def take(self, count: int) -> bytes:
        if len(self._data) < count:
            raise EOFError
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def take_all(self) -> bytes:
        return self.take(len(self._data))

    def vector(self, size: int) -> _Bytes:
        """What follows a length of `size` bytes."""
        return _Bytes(self.take(self.number(size)))


def _server_name(body: _Bytes) -> str | None:
    body.take(2 + 32)  # version, random
    for size in (1, 2, 1):  # session id, cipher suites, compression methods
        body.vector(size)
    if body.has_ended():
        return None
    extensions = body.vector(2)
    if not body.has_ended():
        raise EOFError
    names = []
    while not extensions.has_ended():
        kind = extensions.number(2)
        content = extensions.vector(2)
        if kind == _SERVER_NAME:
            names.append(_name_in(content))
    if len(names) > 1:
        raise NotTls("two names of a server")
    return names[0] if names else None


def _name_in(extension: _Bytes) -> str:
    """The list holds one entry, and its type is `host_name`: nothing else was ever defined."""
    entries = extension.vector(2)
    if entries.number(1) != 0:
        raise EOFError
    name = entries.vector(2).take_all()
    if not name or not entries.has_ended() or not extension.has_ended():
        raise EOFError
    return name.decode("ascii")
