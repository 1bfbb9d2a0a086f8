"""An AWS account inside this process, of moto: for S3, KMS and Step Functions' own answers."""

from __future__ import annotations

from contextlib import contextmanager

import boto3
import pytest

from tests.ministack import CREDENTIALS, REGION


class InProcess:
    """As `tests.ministack.Endpoint`, without one."""

    def client(self, service):
        return boto3.client(service, region_name=REGION, **CREDENTIALS)


@contextmanager
def moto_account():
    """A new, empty account."""
    moto = pytest.importorskip("moto", reason="waits for moto, a development tool of the project")
    with moto.mock_aws():
        yield InProcess()
