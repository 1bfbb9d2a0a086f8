"""An AWS account inside this process, of moto: for S3, KMS and Step Functions' own answers."""

from __future__ import annotations

from contextlib import contextmanager

import boto3
from moto import mock_aws

from tests.ministack import CREDENTIALS, REGION


class InProcess:
    """As `tests.ministack.Endpoint`, without one."""

    def client(self, service):
        return boto3.client(service, region_name=REGION, **CREDENTIALS)


@contextmanager
def moto_account():
    """A new, empty account."""
    with mock_aws():
        yield InProcess()
