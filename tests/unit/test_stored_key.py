"""The model key in Secrets Manager; Secrets Manager itself answers as its API describes."""

from __future__ import annotations

import boto3
import pytest
from botocore.stub import Stubber

from freehold.adapters.stored_key import KEPT_SECONDS, StoredKey
from freehold.errors import ModelError
from tests.clocks import StandingClock

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:ModelKey"


@pytest.fixture
def clock():
    return StandingClock(0.0)


@pytest.fixture
def secrets():
    client = boto3.client(
        "secretsmanager",
        region_name="eu-west-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()
    client.close()


def _answer(secrets, text):
    secrets.add_response(
        "get_secret_value",
        {"ARN": ARN, "Name": "ModelKey", "VersionId": "1" * 32, "SecretString": text},
        {"SecretId": ARN},
    )


def _refuse(secrets, code, status=400):
    secrets.add_client_error("get_secret_value", code, "no", http_status_code=status)


def test_a_key_is_kept_a_while_and_then_looked_up_again(secrets, clock):
    key = StoredKey(secrets.client, ARN, clock)
    _answer(secrets, "first")
    assert key.read().get_secret_value() == "first"
    clock.at = KEPT_SECONDS - 1
    assert key.read().get_secret_value() == "first"
    clock.at = KEPT_SECONDS
    _answer(secrets, "second")
    assert key.read().get_secret_value() == "second"


def test_a_secret_without_a_value_is_looked_up_each_time(secrets, clock):
    key = StoredKey(secrets.client, ARN, clock)
    _refuse(secrets, "ResourceNotFoundException")
    assert key.read() is None
    _answer(secrets, "stored now")
    assert key.read().get_secret_value() == "stored now"


@pytest.mark.parametrize(
    ("code", "status", "retryable"),
    [
        ("AccessDeniedException", 400, False),
        ("DecryptionFailure", 400, False),
        ("ThrottlingException", 400, True),
        ("InternalServiceError", 500, True),
    ],
)
def test_what_stands_in_the_way_of_a_key_is_a_model_error(secrets, clock, code, status, retryable):
    _refuse(secrets, code, status)
    with pytest.raises(ModelError) as raised:
        StoredKey(secrets.client, ARN, clock).read()
    assert raised.value.retryable is retryable
    assert ARN not in raised.value.message
