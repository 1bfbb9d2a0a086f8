"""Names and addresses of hosts in the one form that they are compared and resolved in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_NUMBER = re.compile(r"\d+\Z|0x[0-9a-f]*\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")
_LOCAL = {"localhost", "local", "internal", "localdomain", "invalid", "home", "lan", "intranet"}
_MAX_HOST = 253


def plain_host(text: str) -> str:
    """A name in lower case, or a plain address; an IPv6 address comes and goes without brackets.

    What ends in a number is an address, and only the plain notations are taken: resolvers read
    `0177.1`, `0x7f.1` and `2130706433` as addresses too. Raises ValueError, also for what is not
    ASCII.
    """
    if not text.isascii():
        raise ValueError("a host in ASCII is expected")
    host = text.lower().removesuffix(".")
    if ":" in host:
        return str(IPv6Address(host))
    if _NUMBER.match(host.rpartition(".")[2]):
        return str(IPv4Address(host))
    if len(host) > _MAX_HOST or not all(_LABEL.match(label) for label in host.split(".")):
        raise ValueError("no name of a host")
    return host


def split_authority(text: str, default_port: int | None = None) -> tuple[str, int]:
    """Host and port of `host:port` or `[address]:port`. Raises ValueError, also where a port is
    missing and there is no default.
    """
    if text.startswith("["):
        bracketed, closed, port = text[1:].partition("]")
        if not closed or ":" not in bracketed or (port and not port.startswith(":")):
            raise ValueError("no host and port")
        return plain_host(bracketed), _port(port[1:] if port else None, default_port)
    host, colon, port = text.partition(":")
    return plain_host(host), _port(port if colon else None, default_port)


def _port(text: str | None, default: int | None) -> int:
    if text is None and default is not None:
        return default
    if text is None or not _PORT.match(text) or not 0 < int(text) <= 65535:  # noqa: PLR2004 - what 16 bits hold
        raise ValueError("no port")
    return int(text)


def is_address(host: str) -> bool:
    """Whether a plain host is an address."""
    return ":" in host or host.rpartition(".")[2].isdigit()


def is_local_name(host: str) -> bool:
    """Names that mean something inside a network only: a resolver may add its own domain to a
    single label.
    """
    labels = host.split(".")
    return not is_address(host) and (len(labels) == 1 or labels[-1] in _LOCAL)


def is_allowed_host(host: str, allowed: Iterable[str]) -> bool:
    """By a list as `allowed_hosts`: exactly, or any name below what follows `*.`."""
    host = host.lower()
    return any(
        host.endswith(entry[1:].lower()) if entry.startswith("*.") else host == entry.lower()
        for entry in allowed
    )


def parse_pattern(entry: str) -> str:
    """An entry of such a list in its plain form. Raises ValueError."""
    if not entry.startswith("*."):
        return plain_host(entry)
    below = plain_host(entry[2:])
    if is_address(below):
        raise ValueError("nothing lies below an address")
    return f"*.{below}"
