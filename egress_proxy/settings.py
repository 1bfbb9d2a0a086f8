"""What a proxy is told when it starts: one JSON object, its only argument. It holds no secret."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from ipaddress import ip_network


@dataclass(frozen=True, slots=True)
class Limits:
    """Of what one session, or one connection, may take."""

    connections: int = 256
    """Open at once from one session; more are hung up on, whether they say who they are or not."""
    all_connections: int = 4096
    head_bytes: int = 64 * 1024
    head_seconds: float = 20.0
    """For a whole request head, and for a whole ClientHello."""
    connect_seconds: float = 10.0
    """For a name to be resolved, and for a connection to one of its addresses."""
    idle_seconds: float = 600.0
    """Without a byte in either direction."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`control` is the path of a Unix socket or `host:port`. Sessions come in by `listen`, a
    `host:port`, where token and source address tell them apart, or each by a socket of its own,
    `{sockets}/{session}/socket`, in a directory that whoever asks for the session has made.
    """

    public_key: str
    """Of Ed25519, in hexadecimal: whose requests to `control` are obeyed."""
    control: str
    boot_id: str = ""
    """Where whoever starts it has named this life of it already; else it names itself."""
    listen: str = ""
    sockets: str = ""
    refused_ranges: tuple[str, ...] = ()
    """Networks that are refused besides all that are not public: a VPC's own."""
    ends_with_input: bool = False
    """Ends when standard input does: whoever started it is gone then."""
    uid: int | None = None
    """Of a proxy that is started as root: the user it becomes once it listens."""
    limits: Limits = field(default_factory=Limits)


def parse(text: str) -> Settings:
    """Raises TypeError or ValueError for what is no such object."""
    given = json.loads(text)
    given["limits"] = Limits(**given.get("limits", {}))
    given["refused_ranges"] = tuple(given.get("refused_ranges", ()))
    settings = Settings(**given)
    if not (settings.listen or settings.sockets):
        raise ValueError("listen or sockets: nobody could come in")
    for network in settings.refused_ranges:
        ip_network(network)
    return settings
