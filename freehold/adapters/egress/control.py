"""Signed requests to an egress proxy (`egress_proxy.control`)."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING

from freehold.toolset.signed_request import signed_headers

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from freehold.ports import Secrets
    from freehold.toolset import JsonObject

_SECONDS = 10.0
_MAX_ANSWER_BYTES = 64 * 1024


class ProxyRefused(Exception):
    """The proxy answered something else than 200. The text is its reason, for operators."""


class EgressControl:
    """One life of a proxy. `boot_id` is its own word for that; `connect` opens a connection to its
    control socket. Every method raises OSError when there is no answer, and ProxyRefused.
    """

    def __init__(
        self, connect: Callable[[], socket.socket], secrets: Secrets, boot_id: str
    ) -> None:
        self._connect = connect
        self._secrets = secrets
        self._boot_id = boot_id

    def put(
        self, session_id: str, policy: JsonObject, token_sha256: str, source: str | None
    ) -> None:
        """From now on the session reaches what `policy` says (`egress_proxy.policy`)."""
        grant = {"policy": policy, "token_sha256": token_sha256, "source": source}
        self._exchange("PUT", session_id, json.dumps(grant).encode())

    def remove(self, session_id: str) -> None:
        """Its connections are closed, also when it was not there."""
        self._exchange("DELETE", session_id, b"")

    def _exchange(self, method: str, session_id: str, body: bytes) -> None:
        path = f"/sessions/{session_id}"
        headers = signed_headers(
            self._secrets.sign, method, path, body, session_id=session_id, boot_id=self._boot_id
        )
        connection = http.client.HTTPConnection("egress", timeout=_SECONDS)
        connection.sock = self._connect()
        connection.sock.settimeout(_SECONDS)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read(_MAX_ANSWER_BYTES)
        except http.client.HTTPException as error:
            raise OSError("the proxy does not speak HTTP") from error
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise ProxyRefused(f"{response.status} {answer.decode(errors='replace')}")
