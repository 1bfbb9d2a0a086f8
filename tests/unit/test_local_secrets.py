"""What a key file does beyond the contract of all secrets (tests/contract/test_secrets.py)."""

from __future__ import annotations

import multiprocessing

import pytest

from freehold.adapters.local_secrets import KeyFileUnusable, LocalSecrets


@pytest.fixture
def path(tmp_path):
    return tmp_path / "secret.key"


@pytest.fixture
def secrets(path):
    return LocalSecrets(path)


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
