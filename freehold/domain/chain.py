"""The hash chain of a feed: each commit names the one before it, over the bytes as stored (DESIGN
4).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def genesis(session_id: str, thread_id: str) -> bytes:
    """What the first commit of a feed stands on."""
    return hashlib.sha256(f"freehold/1/{session_id}/{thread_id}".encode()).digest()


def commit_hash(
    previous: bytes, header: Mapping[str, object], events: bytes, private: bytes
) -> bytes:
    """`SHA-256(previous + header + SHA-256(events) + SHA-256(private))`.

    The bodies enter by their digests, so content can be erased on request and the chain still
    verifies.
    """
    digests = hashlib.sha256(events).digest() + hashlib.sha256(private).digest()
    return hash_of(previous, header, digests)


def hash_of(previous: bytes, header: Mapping[str, object], digests: bytes) -> bytes:
    """The same from the digests of both bodies, end to end: all that is left of erased ones."""
    canonical = _canonical(header).encode()
    return hashlib.sha256(previous + canonical + digests).digest()


def seal_message(thread_id: str, version: int, digest: bytes) -> bytes:
    """What the keyed mark of a chain's end is made of; its purpose is `SEAL`."""
    return f"{thread_id}/{version}/".encode() + digest


SEAL = "log-seal"
