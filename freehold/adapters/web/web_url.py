"""A URL taken apart once, so that what is checked is what is connected to and asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from freehold.adapters.web.failure import Failed

MAX_URL = 2000
_PORTS = {"http": 80, "https": 443}
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_NUMBER = re.compile(r"\d+\Z|0x[0-9a-f]*\Z")
_LOCAL = {"localhost", "local", "internal", "localdomain", "invalid", "home", "lan", "intranet"}
_MAX_HOST = 253
_SAFE = "!$%&'()*+,-./:;=?@_~"


@dataclass(frozen=True, slots=True)
class WebUrl:
    """`host` is in lower case and ASCII, an IPv6 address without brackets. `target` is path and
    query as they are sent; there is no fragment.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """As the `Host` header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"

    def join(self, location: str) -> WebUrl:
        """Where a redirect leads. Raises Failed."""
        try:
            return parse_public(urljoin(str(self), location))
        except ValueError:
            raise Failed("url_not_accessible", "it redirects to what is no URL") from None


def parse_public(text: str) -> WebUrl:
    """A URL of a name or address that could be public, on a port of the web. Raises Failed."""
    if len(text) > MAX_URL:
        raise Failed("url_too_long", f"a URL has at most {MAX_URL} characters")
    url = parse(text)
    if url.port not in _PORTS.values():
        raise Failed("url_not_allowed", "only ports 80 and 443 are reached")
    if _is_local(url.host):
        raise Failed("url_not_allowed", "the host is no public name")
    return url


def parse(text: str) -> WebUrl:
    """A URL of http or https without credentials, wherever it leads. Raises Failed."""
    if any(c.isspace() or c == "\\" or not c.isprintable() for c in text):
        raise _invalid("it holds a space, a backslash or a control character")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _invalid("it cannot be taken apart") from None
    if parts.scheme not in _PORTS:
        raise _invalid("only http:// and https:// are fetched")
    if "@" in parts.netloc:
        raise _invalid("it holds a user name or password")
    host = _host(parts)
    target = quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        target += "?" + quote(parts.query, safe=_SAFE)
    return WebUrl(parts.scheme, host, _PORTS[parts.scheme] if port is None else port, target)


def _host(parts: SplitResult) -> str:
    """In the one form that names are compared and resolved in.

    What ends in a number is an address, and only the plain notations are taken: resolvers read
    `0177.1`, `0x7f.1` and `2130706433` as addresses too.
    """
    host = (parts.hostname or "").removesuffix(".")
    try:
        if "[" in parts.netloc:
            return str(IPv6Address(host))
        if not host.isascii():
            host = _ascii(host)
        if _NUMBER.match(host.rpartition(".")[2]):
            return str(IPv4Address(host))
    except (AddressValueError, UnicodeError):  # what idna raises is one
        raise _invalid("its host is no name and no plain address") from None
    if len(host) > _MAX_HOST or not all(_LABEL.match(label) for label in host.split(".")):
        raise _invalid("its host is no name")
    return host


def _ascii(host: str) -> str:
    """Raises UnicodeError."""
    import idna  # noqa: PLC0415 - its tables are large, and most names are ASCII

    return idna.encode(host, uts46=True).decode()


def is_address(host: str) -> bool:
    """Whether a host of a `WebUrl` is an address."""
    return ":" in host or host.rpartition(".")[2].isdigit()


def _is_local(host: str) -> bool:
    """Names that mean something inside a network only: a resolver may add its own domain to a
    single label.
    """
    labels = host.split(".")
    return not is_address(host) and (len(labels) == 1 or labels[-1] in _LOCAL)


def _invalid(why: str) -> Failed:
    return Failed("invalid_tool_input", f"this URL is not fetched: {why}")
