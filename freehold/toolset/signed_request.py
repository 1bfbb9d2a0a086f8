"""What the server signs, and a sandbox's supervisor or the egress proxy verifies (DESIGN 7)."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TOLERANCE_SECONDS = 60
"""How far the clocks of server and sandbox may be apart, either way."""

_PREFIX = "x-freehold-"


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """Everything a signature covers. `body_digest` is the SHA-256 of the body in hexadecimal,
    `timestamp` whole seconds since 1970, `nonce` random and used once.
    """

    method: str
    path: str
    body_digest: str
    session_id: str
    boot_id: str
    timestamp: int
    nonce: str

    def message(self) -> bytes:
        """The bytes that are signed. No part may contain a line feed, so no two requests share
        them.
        """
        parts = [
            "freehold-sandbox-1",
            self.method,
            self.path,
            self.body_digest,
            self.session_id,
            self.boot_id,
            str(self.timestamp),
            self.nonce,
        ]
        if any("\n" in part for part in parts):
            raise ValueError("a part of a signed request contains a line feed")
        return "\n".join(parts).encode()

    def headers(self, signature: bytes) -> dict[str, str]:
        """The parts that are not in the request line or the body."""
        return {
            _PREFIX + "digest": self.body_digest,
            _PREFIX + "session": self.session_id,
            _PREFIX + "boot": self.boot_id,
            _PREFIX + "time": str(self.timestamp),
            _PREFIX + "nonce": self.nonce,
            _PREFIX + "signature": signature.hex(),
        }


def signed_headers(
    sign: Callable[[bytes], bytes],
    method: str,
    path: str,
    body: bytes,
    *,
    session_id: str,
    boot_id: str,
) -> dict[str, str]:
    """The headers that let this request pass, now and once."""
    return headers_of_digest(
        sign, method, path, digest(body), session_id=session_id, boot_id=boot_id
    )


def headers_of_digest(
    sign: Callable[[bytes], bytes],
    method: str,
    path: str,
    body_digest: str,
    *,
    session_id: str,
    boot_id: str,
) -> dict[str, str]:
    """As `signed_headers`, for a body that is elsewhere."""
    request = SignedRequest(
        method=method,
        path=path,
        body_digest=body_digest,
        session_id=session_id,
        boot_id=boot_id,
        timestamp=int(time.time()),
        nonce=os.urandom(16).hex(),
    )
    return request.headers(sign(request.message()))


def parse(method: str, path: str, headers: Mapping[str, str]) -> tuple[SignedRequest, bytes]:
    """The inverse of `headers`, from headers with lower-case names, with the signature. Raises
    ValueError.
    """
    try:
        request = SignedRequest(
            method=method,
            path=path,
            body_digest=headers[_PREFIX + "digest"],
            session_id=headers[_PREFIX + "session"],
            boot_id=headers[_PREFIX + "boot"],
            timestamp=int(headers[_PREFIX + "time"]),
            nonce=headers[_PREFIX + "nonce"],
        )
        return request, bytes.fromhex(headers[_PREFIX + "signature"])
    except KeyError as error:
        raise ValueError(f"header {error} is missing") from None


def digest(body: bytes) -> str:
    """The digest a request carries."""
    return hashlib.sha256(body).hexdigest()
