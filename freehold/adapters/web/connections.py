"""Connections to addresses that were checked: a name is resolved once, and what is connected to is
what was looked at. There is no second look that could be answered differently.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from typing import TypeAlias

from egress_proxy.host_names import is_address
from egress_proxy.public_address import is_public
from freehold.adapters.web.failure import Failed
from freehold.adapters.web.lifeline import Lifeline
from freehold.adapters.web.web_url import WebUrl

Resolve: TypeAlias = Callable[[str, int], Sequence[str]]
"""The addresses of a name. Raises OSError."""
Dial: TypeAlias = Callable[[str, int, float], socket.socket]
"""A connection to an address and port, within seconds. Raises OSError."""

_CONNECT_SECONDS = 5.0
_MOST_ADDRESSES = 4


def resolve(host: str, port: int) -> list[str]:
    """As the operating system does."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def dial(address: str, port: int, seconds: float) -> socket.socket:
    """To the address itself: nothing is resolved."""
    return socket.create_connection((address, port), timeout=seconds)


def system_trust() -> ssl.SSLContext:
    """Trusts whom the operating system trusts."""
    import httpx2  # noqa: PLC0415 - many a function that has a `Web` never uses it

    return httpx2.create_ssl_context()


class _Opened(HTTPConnection):
    """Speaks over a socket that is open already, and never opens another."""

    def __init__(self, url: WebUrl, opened: socket.socket) -> None:
        super().__init__(url.host, url.port)
        self.sock = opened
        self.auto_open = 0


class Connections:
    """`is_allowed` judges addresses; those it refuses are passed over, and a host without another
    is refused.

    No proxy of the environment is used: it would resolve the name itself, out of our sight.
    """

    def __init__(
        self,
        is_allowed: Callable[[str], bool] = is_public,
        *,
        resolve: Resolve = resolve,
        dial: Dial = dial,
        tls: Callable[[], ssl.SSLContext] = system_trust,
    ) -> None:
        self._is_allowed = is_allowed
        self._resolve = resolve
        self._dial = dial
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None

    @contextmanager
    def open(self, url: WebUrl, lifeline: Lifeline) -> Iterator[HTTPConnection]:
        """Closed at the end of the block, broken at the end of the call. Raises Failed."""
        opened = self._connect(url, lifeline)
        # TLS takes over the socket; a handle of our own can still be shut down by another thread.
        handle = opened.dup()
        try:
            with lifeline.ended_by(lambda: _shut_down(handle)):
                opened.settimeout(lifeline.seconds_left)
                if url.scheme == "https":
                    opened = self._secured(opened, url)
                connection = _Opened(url, opened)
                yield connection
        finally:
            opened.close()
            handle.close()

    def _connect(self, url: WebUrl, lifeline: Lifeline) -> socket.socket:
        for address in self._addresses(url, lifeline)[:_MOST_ADDRESSES]:
            seconds = min(_CONNECT_SECONDS, lifeline.seconds_left)
            with suppress(OSError):
                return lifeline.wait_for(
                    lambda address=address, seconds=seconds: self._dial(  # type: ignore[misc]
                        address, url.port, seconds
                    ),
                    socket.socket.close,
                )
        raise Failed("url_not_accessible", f"{url.host} does not answer")

    def _addresses(self, url: WebUrl, lifeline: Lifeline) -> list[str]:
        found: Sequence[str] = [url.host]
        if not is_address(url.host):
            try:
                found = lifeline.wait_for(lambda: self._resolve(url.host, url.port), _forget)
            except OSError:
                raise Failed("url_not_accessible", f"{url.host} is not found") from None
        allowed = [address for address in found if self._is_allowed(address)]
        if not allowed:
            raise Failed("url_not_allowed", f"{url.host} is not on the public internet")
        return allowed

    def _secured(self, opened: socket.socket, url: WebUrl) -> ssl.SSLSocket:
        """The certificate is checked for the host of the URL, not for the address."""
        if self._tls is None:
            self._tls = self._make_tls()
        try:
            return self._tls.wrap_socket(opened, server_hostname=url.host)
        except ssl.SSLCertVerificationError:
            raise Failed("url_not_accessible", "its certificate is not valid") from None
        except OSError:
            raise Failed("url_not_accessible", "it does not speak TLS") from None


def _shut_down(handle: socket.socket) -> None:
    with suppress(OSError):  # the peer was faster
        handle.shutdown(socket.SHUT_RDWR)


def _forget(_: object) -> None:
    """Addresses that came too late."""
