"""A URL taken apart once, so that what is checked is what is connected to and asked for."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from egress_proxy.host_names import is_local_name, plain_host
from freehold.adapters.web.failure import Failed

MAX_URL = 2000
_PORTS = {"http": 80, "https": 443}
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
    if is_local_name(url.host):
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
    """In the one form that names are compared and resolved in."""
    host = parts.hostname or ""
    try:
        if "[" in parts.netloc:
            return str(IPv6Address(host))
        if not host.isascii():
            host = _ascii(host)
        return plain_host(host)
    except ValueError:  # what idna raises is one
        raise _invalid("its host is no name and no plain address") from None


def _ascii(host: str) -> str:
    """Raises UnicodeError."""
    import idna  # noqa: PLC0415 - its tables are large, and most names are ASCII

    return idna.encode(host, uts46=True).decode()


def _invalid(why: str) -> Failed:
    return Failed("invalid_tool_input", f"this URL is not fetched: {why}")
