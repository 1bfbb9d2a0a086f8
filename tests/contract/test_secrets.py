"""All secrets face the same contract."""

from __future__ import annotations

from functools import partial

import pytest
from botocore.exceptions import ClientError

from freehold.adapters.kms_secrets import KmsSecrets
from freehold.adapters.local_secrets import LocalSecrets
from freehold.adapters.sqlite import SqliteRecords
from freehold.testing.secrets_contract import CONTRACT
from tests.contract.moto_account import moto_account


@pytest.fixture(scope="module", params=["file", "moto", "ministack"])
def installations(request, tmp_path_factory):
    if request.param == "file":
        directory = tmp_path_factory.mktemp("keys")
        yield [partial(LocalSecrets, directory / name) for name in ("ours", "theirs")]
    elif request.param == "moto":
        with moto_account() as account:
            yield [_installation(_MotoKeys(account.client("kms"))) for _ in range(2)]
    else:
        client = request.getfixturevalue("emulated_aws").client("kms")
        yield [_installation(client) for _ in range(2)]


class _MotoKeys:
    """moto says AccessDenied where KMS says IncorrectKey."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        return getattr(self._client, name)

    def decrypt(self, **request):
        try:
            return self._client.decrypt(**request)
        except ClientError as error:
            if error.response["Error"]["Code"] == "AccessDeniedException":
                error.response["Error"]["Code"] = "IncorrectKeyException"
            raise


def _installation(client):
    """A key and a table of its own."""
    arn = client.create_key()["KeyMetadata"]["Arn"]
    return partial(KmsSecrets, client, arn, SqliteRecords(":memory:"))


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_contract(check, installations):
    check(*installations)
