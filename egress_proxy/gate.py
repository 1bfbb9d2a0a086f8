"""Who may tell the proxy what a session reaches: the holder of the server's signing key, for this
session and this boot of the proxy, now and once.

The form of a signature is that of requests to a sandbox's supervisor, whose boots are others: what
was signed for one of them is refused here.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOLERANCE_SECONDS = 60
_PREFIX = "x-freehold-"
_SIGNED = ("digest", "session", "boot", "time", "nonce")
_LONGEST_NONCE = 64


class NotAdmitted(Exception):
    """`status` and the text are the answer."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


class Gate:
    """Holds the public key alone."""

    def __init__(
        self, public_key: bytes, boot_id: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(public_key)
        self._boot_id = boot_id
        self._clock = clock
        self._seen: dict[str, float] = {}

    def admit(
        self, method: str, path: str, session_id: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        """`headers` have lower-case names. Raises NotAdmitted: 409 for another boot, else 401."""
        try:
            digest, session, boot, at, nonce = (headers[_PREFIX + name] for name in _SIGNED)
            parts = ["freehold-sandbox-1", method, path, digest, session, boot, at, nonce]
            signature = bytes.fromhex(headers[_PREFIX + "signature"])
            self._key.verify(signature, "\n".join(parts).encode())
            signed_at = int(at)
        except (KeyError, ValueError, InvalidSignature):
            raise NotAdmitted(401, "signature") from None
        if session != session_id:
            raise NotAdmitted(401, "session")
        if hashlib.sha256(body).hexdigest() != digest:
            raise NotAdmitted(401, "digest")
        if abs(self._clock() - signed_at) > TOLERANCE_SECONDS:
            raise NotAdmitted(401, "timestamp")
        self._use(nonce)
        if boot != self._boot_id:
            raise NotAdmitted(409, "boot")

    def _use(self, nonce: str) -> None:
        """A nonce is remembered for as long as its timestamp can pass."""
        now = self._clock()
        while self._seen and self._seen[oldest := next(iter(self._seen))] <= now:
            del self._seen[oldest]
        if nonce in self._seen or not 0 < len(nonce) <= _LONGEST_NONCE:
            raise NotAdmitted(401, "nonce")
        self._seen[nonce] = now + 2 * TOLERANCE_SECONDS
