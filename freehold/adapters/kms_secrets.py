"""`Secrets` under a key that never leaves KMS.

What is sealed has a data key of its own, sealed by KMS for the same purpose beside it. The keys
that sign and authenticate are used with every commit, so KMS is not asked then: they are made once
in the life of an installation, lie sealed in the table, and are opened once a process.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from threading import Lock
from typing import Any

from botocore.exceptions import ClientError  # type: ignore[import-untyped]  # publishes no types
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from freehold.adapters.aws_answers import answered, code
from freehold.errors import AmbiguousWrite, StaleRead, Unavailable
from freehold.keys import installation_key
from freehold.ports import Condition, Records, Write

_ATTEMPTS = 5
_KEY_BYTES = 32
_NONCE_BYTES = 12
_LENGTH_BYTES = 2
_MAX_WRAPPED = 6144
"""KMS takes no more, and seals a data key in a few hundred bytes."""
_SEALED_VERSION = b"\x01"
_REFUSED = {"InvalidCiphertextException", "IncorrectKeyException"}


class InstallationKeyUnusable(Exception):
    """A stored key does not open: it was altered, or sealed under another KMS key."""


class KmsSecrets:
    """`seal` is AES-256-GCM with the sealed data key and the purpose as associated data, `mac`
    HMAC-SHA-256 (32 bytes).

    Threads share an instance. Every method raises Unavailable when KMS does not answer in time;
    `sign`, `public_key` and `mac` also what `Records` raises, and InstallationKeyUnusable.
    """

    def __init__(self, client: Any, key_arn: str, records: Records) -> None:
        """`client` is boto3's for KMS. Sends nothing yet."""
        self._client = client
        self._key_arn = key_arn
        self._records = records
        self._opened: dict[str, bytes] = {}
        self._lock = Lock()

    def close(self) -> None:
        """Drops idle connections; the next call opens new ones."""
        self._client.close()

    def seal(self, purpose: str, plaintext: bytes) -> bytes:
        """One call of KMS."""
        with answered("KMS"):
            made = self._client.generate_data_key(
                KeyId=self._key_arn, KeySpec="AES_256", EncryptionContext=_context(purpose)
            )
        wrapped: bytes = made["CiphertextBlob"]
        head = _SEALED_VERSION + len(wrapped).to_bytes(_LENGTH_BYTES) + wrapped
        nonce = os.urandom(_NONCE_BYTES)
        body = AESGCM(made["Plaintext"]).encrypt(nonce, plaintext, head + purpose.encode())
        return head + nonce + body

    def open(self, purpose: str, sealed: bytes) -> bytes:
        """One call of KMS. What is wrong is not said: it could help a forger."""
        plain = self._open(purpose, sealed) if sealed[:1] == _SEALED_VERSION else None
        if plain is None:
            raise ValueError("altered, or sealed for another purpose")
        return plain

    def sign(self, message: bytes) -> bytes:
        return self._signing().sign(message)

    def public_key(self) -> bytes:
        return self._signing().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def mac(self, purpose: str, message: bytes) -> bytes:
        """The length of the purpose is part of it: purpose and message cannot trade characters."""
        name = purpose.encode()
        framed = len(name).to_bytes(4, "big") + name + message
        return hmac.digest(self._installation_key("mac"), framed, hashlib.sha256)

    def _open(self, purpose: str, sealed: bytes) -> bytes | None:
        start = len(_SEALED_VERSION) + _LENGTH_BYTES
        end = start + int.from_bytes(sealed[len(_SEALED_VERSION) : start])
        head, wrapped, rest = sealed[:end], sealed[start:end], sealed[end:]
        is_possible = 0 < len(wrapped) <= _MAX_WRAPPED
        key = self._unwrapped(purpose, wrapped) if is_possible else None
        if key is None:
            return None
        try:
            nonce, body = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
            return AESGCM(key).decrypt(nonce, body, head + purpose.encode())
        except (InvalidTag, ValueError):
            return None

    def _unwrapped(self, purpose: str, wrapped: bytes) -> bytes | None:
        try:
            with answered("KMS"):
                opened = self._client.decrypt(
                    KeyId=self._key_arn,
                    CiphertextBlob=wrapped,
                    EncryptionContext=_context(purpose),
                )
        except ClientError as error:
            if code(error) in _REFUSED:
                return None
            raise
        key: bytes = opened["Plaintext"]
        return key

    def _signing(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self._installation_key("sign"))

    def _installation_key(self, use: str) -> bytes:
        with self._lock:
            if use not in self._opened:
                self._opened[use] = self._stored(use)
            return self._opened[use]

    def _stored(self, use: str) -> bytes:
        """Of several processes that make the key at once one does; all use what the table holds."""
        key, purpose = installation_key(use), f"installation/{use}"
        for _ in range(_ATTEMPTS):
            (item,) = self._records.get([key])
            if item is not None:
                return self._usable(use, purpose, item["sealed"])
            sealed = self.seal(purpose, os.urandom(_KEY_BYTES))
            absent = Condition("", "absent", reason="the installation has this key")
            try:
                self._records.write([Write(key, put={"sealed": sealed}, conditions=(absent,))])
            except (StaleRead, AmbiguousWrite):
                continue
        raise Unavailable("The store did not take the write in time.", retry_after=1)

    def _usable(self, use: str, purpose: str, sealed: Any) -> bytes:
        try:
            return self.open(purpose, sealed)
        except ValueError as error:
            raise InstallationKeyUnusable(
                f"The installation's `{use}` key in the table was altered, or sealed under another"
                f" KMS key than {self._key_arn}."
            ) from error


def _context(purpose: str) -> Mapping[str, str]:
    """KMS binds it to what it seals, and writes it to CloudTrail. Never empty, as KMS wants it."""
    return {"purpose": f"freehold/{purpose}"}
