"""What the adapters of AWS do beyond the contracts of their ports, above all when it fails them."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from freehold.adapters import aws_clients
from freehold.adapters.kms_secrets import KmsSecrets
from freehold.adapters.s3_blobs import NotDeleted, S3Blobs
from freehold.adapters.step_functions import StepFunctionsRuns
from freehold.errors import Unavailable
from freehold.ids import new_id
from freehold.ports import Run
from tests.contract.aws_trouble import forgetful, refuse, say, server
from tests.contract.moto_account import moto_account
from tests.emulated_functions import create_state_machine_stack
from tests.ministack import CREDENTIALS, REGION

RUN = Run("wrkspc_1", "sesn_2", "sthr_3", epoch=4, leg=5)
SLEEP = {"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 100_000, "End": True}}}


@pytest.fixture(scope="module")
def account():
    with moto_account() as account:
        yield account


@pytest.fixture
def bucket(account):
    """A client and the name of a new bucket."""
    client, name = account.client("s3"), new_bucket()
    client.create_bucket(Bucket=name)
    return client, name


def new_bucket():
    return new_id("bucket").replace("_", "-").lower()


def connect(service, url, attempts=1):
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        config=Config(
            proxies={},
            retries={"mode": "standard", "total_max_attempts": attempts},
            s3={"addressing_style": "path"},
        ),
        **CREDENTIALS,
    )


# ---------------------------------------------------------------- all of them
CALLS = {
    "s3.PutObject": lambda client: S3Blobs(client, "blobs").put("a", b""),
    "s3.GetObject": lambda client: S3Blobs(client, "blobs").get("a"),
    "s3.ListObjectsV2": lambda client: S3Blobs(client, "blobs").delete("a"),
    "kms.GenerateDataKey": lambda client: KmsSecrets(client, "arn", None).seal("p", b""),
    "kms.Decrypt": lambda client: KmsSecrets(client, "arn", None).open("p", b"\1\0\1w" + bytes(40)),
    "sfn.StartExecution": lambda client: StepFunctionsRuns(client, "arn").start(RUN),
}


def service_of(operation):
    return operation.partition(".")[0].replace("sfn", "stepfunctions")


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "ThrottlingException"), (503, "SlowDown"), (500, "InternalError"), (502, "502")],
)
def test_a_service_that_is_too_busy_is_unavailable(account, operation, status, code):
    client = account.client(service_of(operation))
    refuse(client, operation, status, code)
    with pytest.raises(Unavailable) as refused:
        CALLS[operation](client)
    assert refused.value.retry_after == 1
    assert "said the test" not in refused.value.message


@pytest.mark.parametrize("operation", CALLS)
def test_a_permission_that_is_missing_is_the_operators_affair(account, operation):
    """It must not look like a busy service, an absent blob, a forgery or a closed run."""
    client = account.client(service_of(operation))
    refuse(client, operation, 403, "AccessDenied")
    with pytest.raises(ClientError, match="AccessDenied"):
        CALLS[operation](client)


@pytest.mark.parametrize("operation", CALLS)
def test_a_service_that_does_not_answer_is_unavailable(operation):
    def hang_up(handler, _):
        handler.close_connection = True

    with server(hang_up) as url, pytest.raises(Unavailable):
        CALLS[operation](connect(service_of(operation), url))


def test_clients_ask_a_busy_service_three_times_and_no_more(monkeypatch):
    asked = []

    def throttle(handler, body):
        asked.append(json.loads(body)["name"])
        say(handler, 400, b'{"__type":"ThrottlingException","message":"Rate exceeded"}')

    with server(throttle) as url:
        for name, value in {
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
        }.items():
            monkeypatch.setenv(name, value)
        runs = StepFunctionsRuns(aws_clients.client("stepfunctions"), "arn:aws:states:::m")
        with pytest.raises(Unavailable):
            runs.start(RUN)
    assert asked == [RUN.name] * 3


# ---------------------------------------------------------------- S3
@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_a_bucket_is_asked_by_the_name_that_resolves_in_the_network_of_sandboxes(
    monkeypatch, region
):
    """The one that `infra/sandboxes.py` lets resolve there, in every Region."""
    for name, value in {
        "DEFAULT_REGION": region,
        "ACCESS_KEY_ID": "a",
        "SECRET_ACCESS_KEY": "b",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)

    class Sent(Exception):
        """In place of being sent."""

    def send(request, **_):
        raise Sent(request.url)

    client = aws_clients.client("s3")
    client.meta.events.register("before-send.s3", send)
    with pytest.raises(Sent, match=rf"^https://bucket-1\.s3\.{region}\.amazonaws\.com/a$"):
        client.head_object(Bucket="bucket-1", Key="a")


def test_a_deletion_takes_more_than_one_page(bucket):
    client, name = bucket
    for n in range(1001):
        client.put_object(Bucket=name, Key=f"w/a/{n:04d}", Body=b"x")
    client.put_object(Bucket=name, Key="w/b", Body=b"x")
    S3Blobs(client, name).delete("w/a/")
    assert [o["Key"] for o in client.list_objects_v2(Bucket=name)["Contents"]] == ["w/b"]


def test_a_deletion_that_leaves_an_object_is_none(bucket):
    client, name = bucket
    blobs = S3Blobs(client, name)
    blobs.put("w/a", b"x")

    def deny(**_):
        errors = [{"Key": "w/a", "Code": "AccessDenied", "Message": "no"}]
        return SimpleNamespace(status_code=200), {"Errors": errors}

    client.meta.events.register("before-call.s3.DeleteObjects", deny)
    with pytest.raises(NotDeleted, match="1 of 1 objects are left: AccessDenied"):
        blobs.delete("w/")


def test_two_who_write_the_same_blob_meet_without_an_error(bucket):
    """S3 refuses one of two that arrive together, whichever it is; later there is the blob."""
    client, name = bucket
    refuse(client, "s3.PutObject", 409, "ConditionalRequestConflict", times=2)
    S3Blobs(client, name).put("a", b"x")
    assert S3Blobs(client, name).get("a") == b"x"


def test_a_blob_that_stays_contended_is_unavailable(bucket):
    client, name = bucket
    refuse(client, "s3.PutObject", 409, "ConditionalRequestConflict", times=100)
    with pytest.raises(Unavailable):
        S3Blobs(client, name).put("a", b"x")


def test_a_blob_whose_answer_was_lost_is_written_once(emulated_aws):
    name = new_bucket()
    emulated_aws.client("s3").create_bucket(Bucket=name)
    with server(forgetful(emulated_aws.url)) as url:
        S3Blobs(connect("s3", url, attempts=2), name).put("a", b"x")
    assert S3Blobs(emulated_aws.client("s3"), name).get("a") == b"x"


def test_half_a_blob_is_none():
    def half(handler, _):
        say(handler, 200, b"half", length=1000)

    with server(half) as url, pytest.raises(Unavailable):
        S3Blobs(connect("s3", url), "blobs").get("a")


@pytest.mark.parametrize("name", ["../a", "a/..", "a/./b", "..", "x" * 1025, "ä" * 513])
def test_a_name_that_others_resolve_is_refused(bucket, name):
    with pytest.raises(ValueError, match="cannot name a blob"):
        S3Blobs(*bucket).put(name, b"x")


# ---------------------------------------------------------------- Step Functions
def test_an_execution_knows_ids_and_nothing_else(emulated_aws):
    """This very text: with another one an execution that is open would count as closed."""
    client = emulated_aws.client("stepfunctions")
    arn = create_state_machine_stack(emulated_aws, json.dumps(SLEEP), {})
    assert StepFunctionsRuns(client, arn).start(RUN)
    (execution,) = client.list_executions(stateMachineArn=arn)["executions"]
    assert execution["name"] == "sthr_3-4-5"
    told = client.describe_execution(executionArn=execution["executionArn"])["input"]
    assert told == (
        '{"epoch":4,"leg":5,"session_id":"sesn_2","thread_id":"sthr_3","workspace_id":"wrkspc_1"}'
    )
    client.stop_execution(executionArn=execution["executionArn"])


def test_every_run_has_a_name_that_an_execution_may_have():
    name = Run("w", "s", new_id("sthr"), epoch=10**15, leg=10**6).name
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name)


def test_a_start_whose_answer_was_lost_is_repeated(emulated_aws):
    client = emulated_aws.client("stepfunctions")
    arn = create_state_machine_stack(emulated_aws, json.dumps(SLEEP), {})
    with server(forgetful(emulated_aws.url)) as url:
        assert StepFunctionsRuns(connect("stepfunctions", url, attempts=2), arn).start(RUN)
    (execution,) = client.list_executions(stateMachineArn=arn)["executions"]
    client.stop_execution(executionArn=execution["executionArn"])
    assert StepFunctionsRuns(client, arn).start(RUN) is False


def test_a_state_machine_that_is_not_there_is_the_operators_affair(emulated_aws):
    client = emulated_aws.client("stepfunctions")
    arn = "arn:aws:states:us-east-1:000000000000:stateMachine:nowhere"
    with pytest.raises(client.exceptions.StateMachineDoesNotExist):
        StepFunctionsRuns(client, arn).start(RUN)
