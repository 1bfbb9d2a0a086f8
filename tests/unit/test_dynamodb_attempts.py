"""What becomes of requests that the table throttles, refuses or never answers.

The table is a list of answers here: the emulator of the contract tests never gives them.
"""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from freehold.adapters.dynamodb import DynamoRecords, attempts
from freehold.errors import AmbiguousWrite, ItemTooLarge, StaleRead, Unavailable
from freehold.keys import Key
from freehold.ports import Condition, Write

A, B = Key("p", "a"), Key("p", "b")
CONDITION = Condition("n", "==", 1, "n is one")
WRITES = (Write(A, set={"x": 1}, conditions=(CONDITION,)), Write(B, put={}))
UNANSWERED = [
    ReadTimeoutError(endpoint_url="u"),
    ConnectionClosedError(endpoint_url="u"),
    EndpointConnectionError(endpoint_url="u"),
]


def refused(code, *, status=400, reasons=(), repeated=0, message=""):
    response = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "RetryAttempts": repeated},
    }
    if reasons:
        response["CancellationReasons"] = [
            reason if isinstance(reason, dict) else {"Code": reason} for reason in reasons
        ]
    return ClientError(response, "TransactWriteItems")


def cancelled(*reasons, **given):
    return refused("TransactionCanceledException", reasons=reasons, **given)


FAILED = cancelled({"Code": "ConditionalCheckFailed", "Item": {"n": {"N": "2"}}}, "None")
CONFLICT = cancelled("None", "TransactionConflict")
THROTTLED = [
    refused("ThrottlingException"),
    refused("ProvisionedThroughputExceededException"),
    cancelled("ThrottlingError", "None"),
    cancelled("None", "ProvisionedThroughputExceeded"),
]
UNCERTAIN = [
    *UNANSWERED,
    refused("InternalServerError", status=500),
    refused("ServiceUnavailable", status=503),
    refused("TransactionInProgressException"),
]


class Table:
    """A client with these answers, in turn; the last one for ever."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def _answer(self, **request):
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    transact_write_items = batch_get_item = query = _answer


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(attempts, "_FIRST_PAUSE", 0.0)


def named(error):
    is_answer = isinstance(error, ClientError)
    return error.response["Error"]["Code"] if is_answer else type(error).__name__


# ---------------------------------------------------------------- writes
@pytest.mark.parametrize("trouble", [*THROTTLED, *UNCERTAIN], ids=named)
def test_a_write_is_repeated_under_one_token(trouble):
    table = Table(trouble, trouble, {})
    DynamoRecords(table, "t").write(WRITES)
    assert len(table.requests) == 3
    assert table.requests[0] == table.requests[1] == table.requests[2]
    DynamoRecords(table, "t").write(WRITES)
    assert table.requests[3]["ClientRequestToken"] != table.requests[0]["ClientRequestToken"]


@pytest.mark.parametrize("trouble", THROTTLED, ids=named)
def test_a_table_that_stays_busy_is_unavailable(trouble):
    table = Table(trouble)
    with pytest.raises(Unavailable):
        DynamoRecords(table, "t").write(WRITES)
    assert len(table.requests) == 8


@pytest.mark.parametrize("trouble", UNCERTAIN, ids=named)
def test_a_write_that_is_never_answered_is_ambiguous(trouble):
    with pytest.raises(AmbiguousWrite):
        DynamoRecords(Table(trouble), "t").write(WRITES)


@pytest.mark.parametrize("refusal", [FAILED, CONFLICT, refused("ExpiredTokenException")], ids=named)
@pytest.mark.parametrize("trouble", UNCERTAIN, ids=named)
def test_no_refusal_is_certain_once_an_attempt_went_unanswered(trouble, refusal):
    """The attempt before it may still arrive."""
    table = Table(THROTTLED[0], trouble, THROTTLED[0], refusal)
    with pytest.raises(AmbiguousWrite):
        DynamoRecords(table, "t").write(WRITES)
    assert len(table.requests) == 4


def test_no_refusal_is_certain_of_what_the_client_repeated():
    reasons = FAILED.response["CancellationReasons"]
    with pytest.raises(AmbiguousWrite):
        DynamoRecords(Table(cancelled(*reasons, repeated=1)), "t").write(WRITES)


def test_throttling_leaves_a_refusal_certain():
    with pytest.raises(StaleRead, match="n is one"):
        DynamoRecords(Table(*THROTTLED, FAILED), "t").write(WRITES)


def test_a_conflict_is_a_stale_read_without_a_reason():
    table = Table(CONFLICT)
    with pytest.raises(StaleRead) as stale:
        DynamoRecords(table, "t").write(WRITES)
    assert stale.value.failed == ()
    assert len(table.requests) == 1


@pytest.mark.parametrize("other", ["TransactionConflict", "ThrottlingError", "ValidationError"])
def test_a_failed_condition_says_more_than_what_went_wrong_beside_it(other):
    failed = FAILED.response["CancellationReasons"][0]
    with pytest.raises(StaleRead, match="n is one"):
        DynamoRecords(Table(cancelled(failed, other)), "t").write(WRITES)


def test_a_condition_that_failed_on_no_item():
    writes = (Write(A, conditions=(Condition("", "exists", reason="it exists"), CONDITION)),)
    with pytest.raises(StaleRead, match="it exists, n is one"):
        DynamoRecords(Table(cancelled("ConditionalCheckFailed")), "t").write(writes)


@pytest.mark.parametrize("message", ["Item size to update has exceeded the maximum allowed size"])
def test_a_limit_that_only_the_table_can_measure(message):
    reason = {"Code": "ValidationError", "Message": message}
    for error in (cancelled("None", reason), refused("ValidationException", message=message)):
        with pytest.raises(ItemTooLarge):
            DynamoRecords(Table(error), "t").write(WRITES)


@pytest.mark.parametrize(
    "error",
    [
        refused("AccessDeniedException"),
        refused("ResourceNotFoundException"),
        refused("ValidationException", message="Invalid UpdateExpression"),
        cancelled("None", {"Code": "ValidationError", "Message": "Type mismatch"}),
        NoCredentialsError(),
    ],
    ids=named,
)
def test_what_the_port_has_no_word_for_comes_as_it_is(error):
    table = Table(error)
    for call in (lambda r: r.write(WRITES), lambda r: r.query("p"), lambda r: r.get([A])):
        with pytest.raises(type(error)) as raised:
            call(DynamoRecords(table, "t"))
        assert raised.value is error
    assert len(table.requests) == 3


def test_nobody_waits_longer_for_an_answer_than_for_a_request(monkeypatch):
    """A request that timed out is not sent again: its caller has waited long enough."""
    monkeypatch.setattr(attempts, "_PATIENCE_SECONDS", -1.0)
    table = Table(UNANSWERED[0], {})
    with pytest.raises(AmbiguousWrite):
        DynamoRecords(table, "t").write(WRITES)
    assert len(table.requests) == 1


def test_nothing_to_write_is_no_request():
    table = Table(AssertionError("a request"))
    DynamoRecords(table, "t").write([])
    DynamoRecords(table, "t").write([Write(A)])
    assert table.requests == []


# ---------------------------------------------------------------- reads
@pytest.mark.parametrize("trouble", [*THROTTLED[:2], *UNCERTAIN], ids=named)
def test_a_read_is_repeated(trouble):
    records = DynamoRecords(Table(trouble, trouble, {"Items": []}), "t")
    assert records.query("p").items == ()
    with pytest.raises(Unavailable):
        DynamoRecords(Table(trouble), "t").query("p")


def test_keys_that_were_left_are_asked_for_again():
    keys = [{"pk": {"S": k.pk}, "sk": {"S": k.sk}} for k in (A, B)]
    left = {"Responses": {"t": []}, "UnprocessedKeys": {"t": {"Keys": keys}}}
    one = {"Responses": {"t": [keys[0]]}, "UnprocessedKeys": {"t": {"Keys": keys[1:]}}}
    rest = {"Responses": {"t": [{**keys[1], "n": {"N": "1"}}]}, "UnprocessedKeys": {}}
    table = Table(left, one, left, rest)
    assert DynamoRecords(table, "t").get([B, A, B]) == [{"n": 1}, {}, {"n": 1}]
    assert [len(r["RequestItems"]["t"]["Keys"]) for r in table.requests] == [2, 2, 1, 1]
    with pytest.raises(Unavailable):
        DynamoRecords(Table(left), "t").get([A, B])
