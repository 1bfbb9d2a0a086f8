"""Who may ask the supervisor: the holder of the server's signing key, for this session and boot,
now and once.
"""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from freehold.toolset import signed_request
from sandbox_task.http_server import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_task.http_server import Request

_LONGEST_NONCE = 64


class Gate:
    """Holds the public key alone: who takes the supervisor over can sign nothing."""

    def __init__(
        self,
        public_key: bytes,
        session_id: str,
        boot_id: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(public_key)
        self._session_id = session_id
        self._boot_id = boot_id
        self._clock = clock
        self._seen: dict[str, float] = {}
        self._lock = Lock()

    def admit(self, request: Request) -> None:
        """Raises Refused: 401 for a request that nobody signed for this session, now and only once;
        409 `boot` for one that is meant for another boot. Looks at the headers alone.
        """
        try:
            signed, signature = signed_request.parse(request.method, request.path, request.headers)
            self._key.verify(signature, signed.message())
        except (ValueError, InvalidSignature):
            raise Refused(401, "signature") from None
        if signed.session_id != self._session_id:
            raise Refused(401, "session")
        if abs(self._clock() - signed.timestamp) > signed_request.TOLERANCE_SECONDS:
            raise Refused(401, "timestamp")
        self._use(signed.nonce)
        if signed.boot_id != self._boot_id:
            raise Refused(409, "boot")

    @staticmethod
    def check_body(request: Request) -> None:
        """Raises Refused when the body is not the one whose digest was signed."""
        if signed_request.digest(request.body) != request.headers["x-freehold-digest"]:
            raise Refused(401, "digest")

    def _use(self, nonce: str) -> None:
        """A nonce is remembered for as long as its timestamp can pass."""
        now = self._clock()
        with self._lock:
            while self._seen:
                oldest = next(iter(self._seen))
                if self._seen[oldest] > now:
                    break
                del self._seen[oldest]
            if nonce in self._seen or not 0 < len(nonce) <= _LONGEST_NONCE:
                raise Refused(401, "nonce")
            self._seen[nonce] = now + 2 * signed_request.TOLERANCE_SECONDS
