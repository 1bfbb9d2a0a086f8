"""Which records of the table's stream start a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
from boto3.dynamodb.types import TypeSerializer

from freehold.domain.session import Head
from freehold.keys import SessionKey
from freehold.ports import Run
from functions.wake.handler import begun, make_handler

HEAD = Head("sthr_1", None, "agent", "2026-01-01T00:00:00.000000Z")
KEY = SessionKey("wrkspc_a", "sesn_1").head("sthr_1")
RUNNING = replace(HEAD, status="running", epoch=3)


class Started:
    """Runs whose names are remembered; a name in `closed` has ended, one in `broken` raises."""

    def __init__(self, closed=(), broken=()):
        self.runs = []
        self._closed, self._broken = closed, broken

    def start(self, run):
        if run.name in self._broken:
            raise ConnectionError(run.name)
        self.runs.append(run)
        return run.name not in self._closed


def _image(head):
    if head is None:
        return None
    encode = TypeSerializer().serialize
    return {name: encode(value) for name, value in head.to_item().items()}


def _record(new, old=None, number="1"):
    images = {"NewImage": _image(new), "OldImage": _image(old)}
    return {
        "eventSource": "aws:dynamodb",
        "eventName": "MODIFY" if old else "INSERT",
        "dynamodb": {
            "Keys": {"pk": {"S": KEY.pk}, "sk": {"S": KEY.sk}},
            "SequenceNumber": number,
            **{name: image for name, image in images.items() if image is not None},
        },
    }


def _begun(new, old=None):
    return begun(DynamoDBRecord(_record(new, old)))


@pytest.mark.parametrize(
    ("new", "old", "epoch_and_leg"),
    [
        (RUNNING, None, (3, 0)),
        (RUNNING, replace(HEAD, epoch=2), (3, 0)),
        (replace(RUNNING, epoch=4), RUNNING, (4, 0)),
        (replace(RUNNING, leg=1), RUNNING, (3, 1)),
        (replace(RUNNING, status="rescheduling", epoch=4), RUNNING, (4, 0)),
        (replace(RUNNING, version=9), RUNNING, None),
        (replace(RUNNING, status="rescheduling"), RUNNING, None),
        (replace(RUNNING, status="idle", epoch=4), RUNNING, None),
        (None, RUNNING, None),
    ],
    ids=[
        *("born running", "woken", "released", "successor", "released to wait"),
        *("goes on", "waits", "ended", "purged"),
    ],
)
def test_a_head_under_a_new_name_starts_its_run(new, old, epoch_and_leg):
    run = epoch_and_leg and Run("wrkspc_a", "sesn_1", "sthr_1", *epoch_and_leg)
    assert _begun(new, old) == run


def test_a_batch_starts_each_of_its_runs():
    runs = Started(closed=("sthr_1-3-0",))
    records = [_record(replace(RUNNING, epoch=n), HEAD, str(n)) for n in (3, 4)]
    assert make_handler(runs)({"Records": records}, None) == {"batchItemFailures": []}
    assert [run.name for run in runs.runs] == ["sthr_1-3-0", "sthr_1-4-0"]


def test_a_record_that_fails_is_delivered_again_and_holds_nobody_up():
    runs = Started(broken=("sthr_1-4-0",))
    records = [_record(replace(RUNNING, epoch=n), HEAD, str(n)) for n in (3, 4, 5)]
    answer = make_handler(runs)({"Records": records}, None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "4"}]}
    assert [run.name for run in runs.runs] == ["sthr_1-3-0", "sthr_1-5-0"]


def test_a_batch_that_fails_as_a_whole_says_so_record_by_record():
    runs = Started(broken=("sthr_1-3-0",))
    answer = make_handler(runs)({"Records": [_record(RUNNING, HEAD, "7")]}, None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "7"}]}
