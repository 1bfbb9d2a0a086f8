"""The sessions that may use the proxy. They are in memory alone."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias

from egress_proxy.destinations import CHUNK_BYTES, Turns
from egress_proxy.policy import Policy
from egress_proxy.policy import parse as parse_policy

_ID = re.compile(r"[A-Za-z0-9_]{1,100}\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_WAITING = 128


@dataclass(frozen=True, slots=True)
class Grant:
    """What a session may reach and how it is known: the SHA-256 of its token, and on a network the
    one address it comes from.
    """

    policy: Policy
    token_digest: bytes
    source: str | None

    @classmethod
    def parse(cls, given: object) -> Grant:
        """Raises ValueError, whose text may be shown."""
        if not isinstance(given, dict) or set(given) != {"policy", "token_sha256", "source"}:
            raise ValueError("policy, token_sha256 and source are expected, and nothing else")
        digest, source = given["token_sha256"], given["source"]
        if not isinstance(digest, str) or not _DIGEST.match(digest):
            raise ValueError("token_sha256: 64 hexadecimal digits are expected")
        if source is not None:
            source = str(ip_address(str(source)))
        return cls(parse_policy(given["policy"]), bytes.fromhex(digest), source)


@dataclass(eq=False, slots=True)
class Session:
    """`open` are its connections, with the host that each is for, None before it is known."""

    id: str
    grant: Grant
    turns: Turns = field(default_factory=Turns)
    open: dict[asyncio.Task[None], str | None] = field(default_factory=dict)
    listener: asyncio.Server | None = None

    def end(self, task: asyncio.Task[None]) -> None:
        self.open.pop(task, None)
        task.cancel()


Converse: TypeAlias = Callable[
    [asyncio.StreamReader, asyncio.StreamWriter, "Session | None"], Awaitable[None]
]
"""Serves one connection. The session is given where the connection itself says which it is."""


class Sessions:
    """`sockets` is the directory of their own sockets, None where they come in over a network."""

    def __init__(self, sockets: Path | None, converse: Converse) -> None:
        self._sockets = sockets
        self._converse = converse
        self._sessions: dict[str, Session] = {}

    async def put(self, session_id: str, grant: Grant) -> None:
        """From now on the session has this grant alone: connections that it would not have opened
        are closed, and all of them when the token is another. Raises ValueError, OSError.
        """
        if not _ID.match(session_id):
            raise ValueError("not a session id")
        if (grant.source is None) != (self._sockets is not None):
            raise ValueError("source: expected exactly where sessions come in over a network")
        session = self._sessions.get(session_id)
        if session is None:
            session = Session(session_id, grant)
            if self._sockets is not None:
                session.listener = await self._listen(self._sockets, session)
            self._sessions[session_id] = session
            return
        before, session.grant = session.grant, grant
        is_other = (before.token_digest, before.source) != (grant.token_digest, grant.source)
        for task, host in list(session.open.items()):
            if is_other or (host is not None and grant.policy.refusal(host)):
                session.end(task)

    async def _listen(self, sockets: Path, session: Session) -> asyncio.Server:
        path = sockets / session.id / "socket"
        path.unlink(missing_ok=True)  # of a proxy that was killed
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(path))
            path.chmod(0o666)  # who may come to it is decided by who has its directory mounted
        except OSError:
            listener.close()
            raise
        return await asyncio.start_unix_server(
            lambda reader, writer: self._converse(reader, writer, session),
            sock=listener,
            limit=CHUNK_BYTES,
            backlog=_WAITING,
        )

    def remove(self, session_id: str) -> None:
        """Its connections are closed at once, and no further one is taken. Safe to repeat."""
        session = self._sessions.pop(session_id, None)
        if session is None:
            return
        if session.listener is not None and self._sockets is not None:
            session.listener.close()
            with suppress(OSError):
                (self._sockets / session_id / "socket").unlink()
        for task in list(session.open):
            session.end(task)

    def identify(
        self, name: str, token: str, source: str | None, came_by: Session | None
    ) -> Session | None:
        """The session that all of this belongs to."""
        session = self._sessions.get(name)
        if session is None or (came_by is not None and came_by is not session):
            return None
        digest = hashlib.sha256(token.encode()).digest()
        if not hmac.compare_digest(digest, session.grant.token_digest):
            return None
        return session if session.grant.source == source else None

    def __len__(self) -> int:
        return len(self._sessions)

    def close(self) -> None:
        for session_id in list(self._sessions):
            self.remove(session_id)
