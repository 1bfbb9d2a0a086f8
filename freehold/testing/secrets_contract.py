"""What every `Secrets` must do, as a program: run each check of `CONTRACT` on two installations.

    @pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
    def test_contract(check, installations):
        check(*installations)

An installation is a function that opens its secrets anew, as another process of it would.

Not promised, and not asked: which `ValueError` says what, an empty purpose of `seal`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from threading import Barrier

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from freehold.ports import Secrets

Installation = Callable[[], Secrets]
Check = Callable[[Installation, Installation], None]

_OPENERS = 8
_MAC_BYTES = 32
_PATIENCE = 30.0


def what_is_sealed_opens_in_every_process(ours: Installation, _: Installation) -> None:
    for plain in (b"", b"x", bytes(range(256)) * 400):
        assert ours().open("vault", ours().seal("vault", plain)) == plain


def what_is_sealed_shows_nothing_and_never_repeats(ours: Installation, _: Installation) -> None:
    secrets = ours()
    sealed = {secrets.seal("vault", b"the plaintext") for _ in range(20)}
    assert len(sealed) == 20  # noqa: PLR2004 - as many as were made
    assert not any(b"plaintext" in one for one in sealed)


def what_was_altered_does_not_open(ours: Installation, _: Installation) -> None:
    """Not one byte of it, and neither more nor less."""
    secrets = ours()
    sealed = secrets.seal("vault", b"plain")
    altered = [bytes([*sealed[:n], sealed[n] ^ 1, *sealed[n + 1 :]]) for n in range(len(sealed))]
    cut = [sealed[:n] for n in range(len(sealed))]
    for bad in (*altered, *cut, sealed + b"x", sealed * 100):
        assert _is_refused(secrets, "vault", bad)
    assert secrets.open("vault", sealed) == b"plain"


def what_was_sealed_for_another_purpose_does_not_open(ours: Installation, _: Installation) -> None:
    secrets = ours()
    sealed = secrets.seal("vault", b"plain")
    for purpose in ("", "vault2", "Vault", "vaul"):
        assert _is_refused(secrets, purpose, sealed)


def what_another_installation_sealed_does_not_open(
    ours: Installation, theirs: Installation
) -> None:
    assert _is_refused(theirs(), "vault", ours().seal("vault", b"plain"))


def a_signature_is_verified_with_the_public_key_alone(
    ours: Installation, theirs: Installation
) -> None:
    signature = ours().sign(b"message")
    key = Ed25519PublicKey.from_public_bytes(ours().public_key())
    key.verify(signature, b"message")
    assert not _verifies(key, signature, b"massage")
    foreign = Ed25519PublicKey.from_public_bytes(theirs().public_key())
    assert not _verifies(foreign, signature, b"message")


def a_mac_depends_on_key_purpose_and_message_and_on_where_one_ends(
    ours: Installation, theirs: Installation
) -> None:
    secrets = ours()
    macs = [
        secrets.mac("seal", b"message"),
        secrets.mac("sealm", b"essage"),
        secrets.mac("sea", b"lmessage"),
        secrets.mac("", b"sealmessage"),
        secrets.mac("seal", b""),
        theirs().mac("seal", b"message"),
    ]
    assert all(one != other for one, other in combinations(macs, 2))
    assert ours().mac("seal", b"message") == macs[0]
    assert {len(mac) for mac in macs} == {_MAC_BYTES}


def who_open_an_installation_at_once_agree(ours: Installation, _: Installation) -> None:
    """Also on one that nobody has opened before, as this is the first check to ask for."""
    barrier = Barrier(_OPENERS)

    def open_(_: int) -> tuple[bytes, bytes]:
        barrier.wait(_PATIENCE)
        secrets = ours()
        return secrets.public_key(), secrets.mac("seal", b"message")

    with ThreadPoolExecutor(_OPENERS) as pool:
        found = set(pool.map(open_, range(_OPENERS)))
    assert found == {(ours().public_key(), ours().mac("seal", b"message"))}


CONTRACT: tuple[Check, ...] = (
    who_open_an_installation_at_once_agree,
    what_is_sealed_opens_in_every_process,
    what_is_sealed_shows_nothing_and_never_repeats,
    what_was_altered_does_not_open,
    what_was_sealed_for_another_purpose_does_not_open,
    what_another_installation_sealed_does_not_open,
    a_signature_is_verified_with_the_public_key_alone,
    a_mac_depends_on_key_purpose_and_message_and_on_where_one_ends,
)


def _is_refused(secrets: Secrets, purpose: str, sealed: bytes) -> bool:
    try:
        secrets.open(purpose, sealed)
    except ValueError:
        return True
    return False


def _verifies(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
