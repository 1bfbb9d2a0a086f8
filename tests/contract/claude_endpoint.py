"""Claude's adapter in front of the double: what its tests share."""

from __future__ import annotations

import ipaddress
import ssl
from contextlib import closing
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from freehold.adapters.claude import ClaudeApi, ClaudeModel
from freehold.errors import ModelError, ModelStopped
from freehold.testing.model_contract import read, request_for

KEY = "sk-very-secret-0123456789"
THINKING = {
    "type": "adaptive",
    "block_binding": {"prefix_mismatch_behavior": "drop_block"},
}
"""As the contract's model is asked to think."""
BINDING_BETA = "thinking-binding-controls-2026-08-01"


def model_at(url, key=KEY):
    return closing(ClaudeModel(ClaudeApi(SecretStr(key) if key else None, url)))


def failure_of(model, request=None):
    """The error that a reply ends with; it is one line and tells no secret."""
    with pytest.raises(ModelError) as raised:
        read(model, request or request_for({"say": "hello"}))
    assert KEY not in str(raised.value)
    assert "\n" not in raised.value.message
    return raised.value


def reading(reply):
    """A thread that reads the reply, and the list it fills: chunks, and ModelStopped at the end."""
    result = []

    def read_on():
        try:
            for chunk in reply:
                result.append(chunk)  # noqa: PERF402 - one by one, as they come
        except ModelStopped as stopped:
            result.append(stopped)

    reader = Thread(target=read_on, daemon=True)
    reader.start()
    return reader, result


def certificate(directory):
    """A server's TLS context for 127.0.0.1, and the file that makes a client trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted, private = directory / "ca.pem", directory / "key.pem"
    trusted.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    return context, trusted
