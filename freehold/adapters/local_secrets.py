"""`Secrets` from one key file, readable by its owner alone and outside every path a sandbox can
see.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_KEY_BYTES = 32
_NONCE_BYTES = 12


class LocalSecrets:
    """Every key is derived from the 32 random bytes in the file, which the first use creates.

    Raises ValueError for a file that holds anything else.
    """

    def __init__(self, path: Path) -> None:
        root = _root_key(path)
        self._signing = Ed25519PrivateKey.from_private_bytes(_derive(root, "sign"))
        self._sealing = AESGCM(_derive(root, "seal"))
        self._root = root

    def seal(self, purpose: str, plaintext: bytes) -> bytes:
        """AES-256-GCM with `purpose` as associated data."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._sealing.encrypt(nonce, plaintext, purpose.encode())

    def open(self, purpose: str, sealed: bytes) -> bytes:
        """Raises ValueError when it was altered or made for another purpose."""
        nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._sealing.decrypt(nonce, body, purpose.encode())
        except (InvalidTag, ValueError) as error:
            raise ValueError("The sealed value was altered or is for another purpose.") from error

    def sign(self, message: bytes) -> bytes:
        return self._signing.sign(message)

    def public_key(self) -> bytes:
        return self._signing.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def mac(self, purpose: str, message: bytes) -> bytes:
        """HMAC-SHA-256 under a key of the purpose's own."""
        return hmac.digest(_derive(self._root, f"mac/{purpose}"), message, hashlib.sha256)


def _derive(root: bytes, use: str) -> bytes:
    derivation = HKDF(hashes.SHA256(), _KEY_BYTES, salt=None, info=f"freehold/1/{use}".encode())
    return derivation.derive(root)


def _root_key(path: Path) -> bytes:
    """The file's bytes; where there is none, new ones, linked into place so that two processes
    agree.
    """
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was faster: its key counts
        finally:
            draft.unlink()
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise ValueError(f"{path} is not a key file of this program.")
    return key
