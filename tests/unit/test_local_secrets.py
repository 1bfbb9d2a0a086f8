from __future__ import annotations

import multiprocessing
from itertools import combinations

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from freehold.adapters.local_secrets import KeyFileUnusable, LocalSecrets


@pytest.fixture
def path(tmp_path):
    return tmp_path / "secret.key"


@pytest.fixture
def secrets(path):
    return LocalSecrets(path)


def test_what_is_sealed_opens_also_after_a_restart(secrets, path):
    for plain in (b"", b"x", bytes(100_000)):
        assert LocalSecrets(path).open("vault", secrets.seal("vault", plain)) == plain


def test_what_is_sealed_shows_nothing_and_never_repeats(secrets):
    sealed = {secrets.seal("vault", b"the plaintext") for _ in range(100)}
    assert len(sealed) == 100
    assert not any(b"plaintext" in one for one in sealed)


def test_what_was_altered_or_is_for_another_purpose_does_not_open(secrets, tmp_path):
    sealed = secrets.seal("vault", b"plain")
    altered = [bytes([*sealed[:n], sealed[n] ^ 1, *sealed[n + 1 :]]) for n in range(len(sealed))]
    cut = [sealed[:n] for n in range(len(sealed))]
    for bad in [*altered, *cut, sealed + b"x"]:
        with pytest.raises(ValueError, match="altered"):
            secrets.open("vault", bad)
    for purpose in ("", "vault2", "Vault"):
        with pytest.raises(ValueError, match="another purpose"):
            secrets.open(purpose, sealed)
    with pytest.raises(ValueError, match="altered"):
        LocalSecrets(tmp_path / "other.key").open("vault", sealed)
    assert secrets.open("vault", sealed) == b"plain"


def test_a_signature_is_verified_with_the_public_key_alone(secrets):
    key = Ed25519PublicKey.from_public_bytes(secrets.public_key())
    key.verify(secrets.sign(b"message"), b"message")
    with pytest.raises(InvalidSignature):
        key.verify(secrets.sign(b"message"), b"massage")


def test_a_mac_depends_on_key_purpose_and_message_and_on_where_one_ends(secrets, path, tmp_path):
    macs = [
        secrets.mac("seal", b"message"),
        secrets.mac("sealm", b"essage"),
        secrets.mac("sea", b"lmessage"),
        secrets.mac("", b"sealmessage"),
        secrets.mac("seal", b""),
        LocalSecrets(tmp_path / "other.key").mac("seal", b"message"),
    ]
    assert all(one != other for one, other in combinations(macs, 2))
    assert LocalSecrets(path).mac("seal", b"message") == macs[0]
    assert len(macs[0]) == 32


def test_the_key_file_is_its_owners_alone_and_nothing_lies_beside_it(secrets, path):
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert secrets.public_key() == LocalSecrets(path).public_key()


def test_a_key_that_others_can_read_is_refused_with_the_remedy(secrets, path):
    path.chmod(0o640)
    with pytest.raises(KeyFileUnusable, match=f"chmod 600 {path}"):
        LocalSecrets(path)


@pytest.mark.parametrize("damage", ["", "cut", "other", "header", "longer"])
def test_a_damaged_key_file_is_refused_without_telling_it(secrets, path, damage):
    text = path.read_text()
    hexadecimal = text.split()[1]
    damaged = {
        "": "",
        "cut": text[:-9],
        "other": text.replace(hexadecimal, "z" * 64),
        "header": hexadecimal,
        "longer": text.rstrip() + "00\n",
    }
    path.write_text(damaged[damage])
    with pytest.raises(KeyFileUnusable, match="is not a key file") as refused:
        LocalSecrets(path)
    assert hexadecimal[:16] not in str(refused.value)


def _public_key(path, barrier, answers):
    barrier.wait(60)
    answers.put(LocalSecrets(path).public_key())


def test_processes_that_create_the_file_together_agree(path):
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(3), context.SimpleQueue()
    processes = [
        context.Process(target=_public_key, args=(path, barrier, answers)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    keys = {answers.get() for _ in processes}
    for process in processes:
        process.join(60)
    assert keys == {LocalSecrets(path).public_key()}
    assert list(path.parent.iterdir()) == [path]
