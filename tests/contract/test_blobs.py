"""Every store of blobs faces the same contract."""

from __future__ import annotations

import pytest

from freehold.adapters.blobs import DirectoryBlobs
from freehold.adapters.s3_blobs import S3Blobs
from freehold.testing.blobs_contract import CONTRACT, new_prefix
from tests.contract.moto_account import moto_account

BUCKET = "blobs-contract"


@pytest.fixture(scope="module", params=["directory", "moto", "ministack"])
def blobs(request, tmp_path_factory):
    if request.param == "directory":
        yield DirectoryBlobs(tmp_path_factory.mktemp("blobs"))
    elif request.param == "moto":
        with moto_account() as account:
            yield _bucket(account)
    else:
        yield _bucket(request.getfixturevalue("emulated_aws"))


def _bucket(account):
    client = account.client("s3")
    client.create_bucket(Bucket=BUCKET)
    return S3Blobs(client, BUCKET)


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_contract(check, blobs):
    check(blobs, new_prefix())
