"""What secrets under KMS do beyond the contract of all secrets."""

from __future__ import annotations

import pytest

from freehold.adapters.kms_secrets import InstallationKeyUnusable, KmsSecrets
from freehold.adapters.sqlite import SqliteRecords
from freehold.errors import Unavailable
from freehold.keys import installation_key
from freehold.ports import Write
from freehold.testing.faulty_records import Fault, FaultyRecords
from tests.contract.aws_trouble import counted
from tests.contract.moto_account import moto_account


@pytest.fixture(scope="module")
def account():
    with moto_account() as account:
        yield account


@pytest.fixture
def key(account):
    """A client and the ARN of a new key."""
    client = account.client("kms")
    return client, client.create_key()["KeyMetadata"]["Arn"]


@pytest.fixture
def table():
    return SqliteRecords(":memory:")


def test_kms_is_asked_once_for_each_secret_and_never_for_a_commit(key, table):
    client, arn = key
    calls = counted(client)
    secrets = KmsSecrets(client, arn, table)
    secrets.mac("log-seal", b"")
    secrets.sign(b"")
    assert _operations(calls) == ["GenerateDataKey", "Decrypt"] * 2, "the installation's first use"
    next_process = KmsSecrets(client, arn, table)
    for n in range(50):
        next_process.mac("log-seal", bytes(n))
        next_process.sign(bytes(n))
        next_process.public_key()
    assert _operations(calls) == ["Decrypt"] * 2, "one for each key"
    next_process.open("vault", next_process.seal("vault", b"plain"))
    assert _operations(calls) == ["GenerateDataKey", "Decrypt"]


def test_kms_is_told_the_purpose(key, table):
    client, arn = key
    secrets = KmsSecrets(client, arn, table)
    calls = counted(client)
    secrets.open("vault/credential", secrets.seal("vault/credential", b"plain"))
    contexts = [parameters["EncryptionContext"] for _, parameters in calls]
    assert contexts == [{"purpose": "freehold/vault/credential"}] * 2


@pytest.mark.parametrize(
    "bad",
    [b"", b"\1", b"\1\0\0" + bytes(40), b"\1\x18\1" + bytes(6145 + 40), b"\2\0\1w" + bytes(40)],
    ids=["empty", "short", "no data key", "a data key of 6145 bytes", "version 2"],
)
def test_kms_is_not_asked_for_what_it_would_not_take(key, table, bad):
    """It answers those with another error, one that a wrong key of ours has as well."""
    calls = counted(key[0])
    with pytest.raises(ValueError, match="altered"):
        KmsSecrets(*key, table).open("vault", bad)
    assert calls == []


def test_what_is_sealed_needs_the_data_key_of_its_own(key, table):
    """Also where KMS would open another's, or does not look at all of what it opens."""
    secrets = KmsSecrets(*key, table)
    one, other = secrets.seal("vault", b"one"), secrets.seal("vault", b"two")
    end = 3 + int.from_bytes(one[1:3])
    for mixed in (one[:end] + other[end:], other[:end] + one[end:]):
        with pytest.raises(ValueError, match="altered"):
            secrets.open("vault", mixed)


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.UNANSWERED, Fault.HELD])
def test_processes_agree_whatever_becomes_of_the_first_write(key, table, fault):
    records = FaultyRecords(table, {("write", 1): fault})
    first = KmsSecrets(*key, records).mac("log-seal", b"message")
    while records.held:
        assert not records.land(), "it came too late"
    assert KmsSecrets(*key, table).mac("log-seal", b"message") == first


def test_a_table_that_takes_no_write_is_unavailable(key, table):
    records = FaultyRecords(table, {("write", n): Fault.LOST for n in range(1, 100)})
    with pytest.raises(Unavailable):
        KmsSecrets(*key, records).mac("log-seal", b"")


@pytest.mark.parametrize("use", ["mac", "sign"])
def test_the_table_holds_no_key_that_it_could_be_used_without_kms(key, table, use):
    client, arn = key
    calls = []
    client.meta.events.register("after-call.kms.Decrypt", lambda parsed, **_: calls.append(parsed))
    secrets = KmsSecrets(client, arn, table)
    secrets.mac("p", b"")
    secrets.sign(b"")
    (item,) = table.get([installation_key(use)])
    assert set(item) == {"sealed"}
    opened = secrets.open(f"installation/{use}", item["sealed"])
    assert len(opened) == 32
    assert not any(opened in value for value in item.values())
    assert all(data_key["Plaintext"] not in item["sealed"] for data_key in calls)


@pytest.mark.parametrize("use", ["mac", "sign"])
def test_a_key_that_was_altered_is_not_replaced(key, table, use):
    """A new one would silently make every seal and signature so far look forged."""
    secrets = KmsSecrets(*key, table)
    assert secrets.mac("p", b"")
    assert secrets.sign(b"")
    (item,) = table.get([installation_key(use)])
    bad = item["sealed"][:-1] + bytes([item["sealed"][-1] ^ 1])
    table.write([Write(installation_key(use), put={"sealed": bad})])
    restarted = KmsSecrets(*key, table)
    with pytest.raises(InstallationKeyUnusable, match=f"`{use}` key"):
        restarted.mac("p", b"") if use == "mac" else restarted.sign(b"")
    assert table.get([installation_key(use)]) == [{"sealed": bad}]


def test_a_key_that_is_disabled_is_the_operators_affair(emulated_aws, table):
    client = emulated_aws.client("kms")
    arn = client.create_key()["KeyMetadata"]["Arn"]
    secrets = KmsSecrets(client, arn, table)
    sealed = secrets.seal("vault", b"plain")
    client.disable_key(KeyId=arn)
    with pytest.raises(client.exceptions.DisabledException):
        secrets.open("vault", sealed)


def _operations(calls):
    """The operations so far; begins anew."""
    names = [name for name, _ in calls]
    calls.clear()
    return names
