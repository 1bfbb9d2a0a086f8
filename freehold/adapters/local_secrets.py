"""`Secrets` from one key file that its owner alone can read, outside every path a sandbox sees.

The file holds 32 random bytes in hexadecimal behind a version. Every key is derived from them.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_HEADER = "freehold-key-1 "
_KEY_BYTES = 32
_NONCE_BYTES = 12
_SEALED_VERSION = b"\x01"


class KeyFileUnusable(Exception):
    """The message is one line for the person who started the server."""


class LocalSecrets:
    """`seal` is AES-256-GCM with the purpose as associated data, `mac` HMAC-SHA-256 (32 bytes)."""

    def __init__(self, path: Path) -> None:
        """Reads the key file; where there is none, creates it, and of several who try one succeeds.

        Raises PermissionError when others can read it and ValueError when it is not a key file.
        """
        if not path.exists():
            _create(path)
        key = _read(path)
        self._signing = Ed25519PrivateKey.from_private_bytes(_derive(key, "sign"))
        self._sealing = AESGCM(_derive(key, "seal"))
        self._mac_key = _derive(key, "mac")

    def seal(self, purpose: str, plaintext: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return _SEALED_VERSION + nonce + self._sealing.encrypt(nonce, plaintext, purpose.encode())

    def open(self, purpose: str, sealed: bytes) -> bytes:
        """What is wrong is not said: it could help a forger."""
        version, rest = sealed[:1], sealed[1:]
        try:
            plain = self._sealing.decrypt(
                rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], purpose.encode()
            )
        except (InvalidTag, ValueError):
            plain = None
        if plain is None or version != _SEALED_VERSION:
            raise ValueError("altered, or sealed for another purpose")
        return plain

    def sign(self, message: bytes) -> bytes:
        return self._signing.sign(message)

    def public_key(self) -> bytes:
        return self._signing.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def mac(self, purpose: str, message: bytes) -> bytes:
        """The length of the purpose is part of it: purpose and message cannot trade characters."""
        name = purpose.encode()
        framed = len(name).to_bytes(4, "big") + name + message
        return hmac.digest(self._mac_key, framed, hashlib.sha256)


def _create(path: Path) -> None:
    """Written beside and linked into place: nobody ever reads half a key, the first one stays."""
    draft = path.with_name(f"{path.name}.{os.urandom(8).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{_HEADER}{os.urandom(_KEY_BYTES).hex()}\n")
            file.flush()
            os.fsync(descriptor)
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
        _sync(path.parent)


def _read(path: Path) -> bytes:
    with path.open() as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise KeyFileUnusable(f"Others can read {path}. Run: chmod 600 {path}")
        text = file.read(200)
    try:
        key = bytes.fromhex(text.removeprefix(_HEADER))
    except ValueError:
        key = b""
    if not text.startswith(_HEADER) or len(key) != _KEY_BYTES:
        raise KeyFileUnusable(f"{path} is not a key file of this program.")
    return key


def _derive(key: bytes, use: str) -> bytes:
    info = f"freehold/1/{use}".encode()
    return HKDF(hashes.SHA256(), _KEY_BYTES, salt=None, info=info).derive(key)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
