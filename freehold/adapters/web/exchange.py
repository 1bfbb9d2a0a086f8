"""One GET: nothing is remembered from one to the next, no cookie and no connection."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse

from freehold.adapters.web.connections import Connections
from freehold.adapters.web.failure import Failed
from freehold.adapters.web.lifeline import Lifeline
from freehold.adapters.web.web_url import WebUrl

MAX_BODY_BYTES = 10 * 1024 * 1024
"""On the wire, and again after decompression."""
_CHUNK = 64 * 1024
_GZIP = 31
"""`wbits` of zlib for gzip alone."""
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is decompressed, and empty where the answer is a redirect or an error."""

    url: WebUrl
    status: int
    headers: Message
    body: bytes = b""

    @property
    def location(self) -> str | None:
        """Where a redirect leads; a header's bytes come as Latin-1, and mean UTF-8."""
        given = self.headers["Location"] if self.status in _REDIRECTS else None
        if given is None:
            return None
        location = str(given).encode("latin-1", "replace").decode(errors="replace")
        return location.strip().replace(" ", "%20")

    @property
    def media_type(self) -> str:
        """In lower case, without parameters; empty where none is said."""
        given = str(self.headers["Content-Type"] or "")
        return given.partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """As the header says."""
        return self.headers.get_content_charset()


def get(
    url: WebUrl, connections: Connections, lifeline: Lifeline, headers: Mapping[str, str]
) -> Answer:
    """Raises Failed, WebCallStopped."""
    with connections.open(url, lifeline) as connection:
        try:
            connection.putrequest("GET", url.target, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", url.authority)
            for name, value in {
                **headers,
                "Accept-Encoding": "gzip",
                "Connection": "close",
            }.items():
                connection.putheader(name, value)
            connection.endheaders()
            with connection.getresponse() as response:
                return _answer(url, response)
        except (OSError, HTTPException, zlib.error):
            lifeline.check()
            raise Failed("url_not_accessible", "its answer breaks off or is not HTTP") from None


def _answer(url: WebUrl, response: HTTPResponse) -> Answer:
    is_ok = 200 <= response.status < 300  # noqa: PLR2004 - success, in HTTP
    body = _read(response) if is_ok else b""
    return Answer(url, response.status, response.headers, body)


def _read(response: HTTPResponse) -> bytes:
    """The whole body. Raises Failed where it is larger than it may be, or ends too early."""
    encoding = (response.getheader("Content-Encoding") or "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise Failed("unsupported_content_type", "its content is compressed in an unknown way")
    if (response.length or 0) > MAX_BODY_BYTES:
        raise _too_large()
    chunks = _bounded(response)
    body = b"".join(chunks if encoding == "identity" else _unzipped(chunks))
    if response.length:
        raise Failed("url_not_accessible", "its answer breaks off")
    return body


def _bounded(response: HTTPResponse) -> Iterator[bytes]:
    received = 0
    while chunk := response.read(_CHUNK):
        received += len(chunk)
        if received > MAX_BODY_BYTES:
            raise _too_large()
        yield chunk


def _unzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Never more than a chunk at a time, so that a few bytes cannot become gigabytes in memory. A
    stream may have several members.
    """
    unzip, given, rest = zlib.decompressobj(_GZIP), 0, b""
    for chunk in chunks:
        rest = chunk
        while rest:
            if unzip.eof:
                unzip = zlib.decompressobj(_GZIP)
            plain = unzip.decompress(rest, _CHUNK)
            given += len(plain)
            if given > MAX_BODY_BYTES:
                raise _too_large()
            yield plain
            rest = unzip.unused_data if unzip.eof else unzip.unconsumed_tail
    if given and not unzip.eof:
        raise Failed("url_not_accessible", "its answer breaks off")


def _too_large() -> Failed:
    return Failed("content_too_large", f"it is larger than {MAX_BODY_BYTES >> 20} MiB")
