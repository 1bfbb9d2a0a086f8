"""Installed packages on their way between a supervisor and the bucket, as they arrive: an archive
is larger than what this function holds.

What it stores and brings is bytes from a stranger. Who calls it signs for their digest, and the
supervisor that gets them holds them to it.
"""

from __future__ import annotations

import hashlib
import http.client
import re
from collections.abc import Callable
from contextlib import closing
from typing import Any, BinaryIO, Protocol

_KEY, _DIGEST = re.compile(r"[0-9a-f]{64}\Z"), re.compile(r"[0-9a-f]{64}\Z")
_MAX_ANSWER_BYTES = 64 * 1024
_CHUNK = 1 << 20
_OK = 200


class PackageArchives(Protocol):
    """`freehold.adapters.fargate_sandbox.package_archives`."""

    def find(self, key: str) -> tuple[str, int] | None: ...

    def write(self, key: str, content: BinaryIO, digest: str) -> None: ...

    def read(self, key: str) -> BinaryIO: ...


class NotAnArchive(Exception):
    """A request that names no object of packages. A defect."""


class NotWhole(Exception):
    """Other bytes came than were promised; nothing was stored."""


class PackageCarrier:
    """`find`, `keep` and `bring`, by the name of the field that holds the key."""

    def __init__(
        self, archives: PackageArchives, connect: Callable[[Any], http.client.HTTPConnection]
    ) -> None:
        """`connect` makes a connection to where a request may go, or raises NotForDispatch."""
        self._archives = archives
        self._connect = connect

    def carry(self, event: Any) -> dict[str, Any]:
        """Takes `{find: key}`, answers `{digest, size}` or `{}`; `{keep: key, digest, size}` with a
        request that gets it, answers `{kept}`; `{bring: key, size}` with one that puts it, answers
        `{status}`. Raises NotAnArchive, KeyError, OSError and HTTPException.
        """
        if "find" in event:
            found = self._archives.find(_key(event["find"]))
            return {} if found is None else {"digest": found[0], "size": found[1]}
        if "keep" in event:
            return self._keep(_key(event["keep"]), event)
        return self._bring(_key(event["bring"]), event)

    def _keep(self, key: str, event: Any) -> dict[str, Any]:
        if not _DIGEST.match(event["digest"]):
            raise NotAnArchive("digest")
        with closing(self._connection(event)) as connection:
            connection.request(event["method"], event["path"], b"", event["headers"])
            response = connection.getresponse()
            if response.status != _OK:
                return {"kept": False}
            content: Any = _Promised(response, event["digest"], event["size"])
            try:
                self._archives.write(key, content, event["digest"])
            except NotWhole:  # its task has ended, or says what is not so
                return {"kept": False}
        return {"kept": True}

    def _bring(self, key: str, event: Any) -> dict[str, Any]:
        with (
            closing(self._archives.read(key)) as content,
            closing(self._connection(event)) as connection,
        ):
            connection.putrequest(event["method"], event["path"])
            for name, value in event["headers"].items():
                connection.putheader(name, value)
            connection.putheader("content-length", str(event["size"]))
            connection.endheaders()
            left = event["size"]
            while chunk := content.read(_CHUNK):
                left -= len(chunk)
                connection.send(chunk)
            if left:
                # The supervisor would wait for the rest.
                raise ConnectionError("another archive than was found")
            response = connection.getresponse()
            response.read(_MAX_ANSWER_BYTES)
        return {"status": response.status}

    def _connection(self, event: Any) -> http.client.HTTPConnection:
        if event["path"].partition("?")[0] != "/packages":
            raise NotAnArchive("path")
        return self._connect(event)


class _Promised:
    """What is read from a supervisor, its last bytes only if all of them are what was promised. An
    upload that takes less than it asked for to be the end would else be whole.
    """

    def __init__(self, response: http.client.HTTPResponse, digest: str, size: int) -> None:
        self._response = response
        self._digest = digest
        self._left = size
        self._found = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Raises NotWhole."""
        wanted = self._left if size < 0 else min(size, self._left)
        chunk = self._response.read(wanted)
        if len(chunk) != wanted:
            raise NotWhole
        self._left -= len(chunk)
        self._found.update(chunk)
        if not self._left and self._found.hexdigest() != self._digest:
            raise NotWhole
        return chunk


def _key(given: str) -> str:
    if not _KEY.match(given):
        raise NotAnArchive("key")
    return given
