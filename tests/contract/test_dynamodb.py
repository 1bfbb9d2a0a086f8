"""`DynamoRecords` on MiniStack: the contract, with and without answers, and the log in a race.

The code is written for DynamoDB. Where the emulator differs:

- It holds a transaction's 4 MB against the JSON of the request: corrected by its launcher.
- It executes one request after the other, so no transaction ever meets another, is in progress or
  is throttled; and a BatchGetItem never leaves keys, where the table does after 16 MB.
  tests/unit/test_dynamodb_attempts.py has those answers.
- Its index is never behind the table.
"""

from __future__ import annotations

from functools import partial

import pytest

from freehold.adapters.dynamodb import DynamoRecords
from freehold.errors import AmbiguousWrite, StaleRead, Unavailable
from freehold.keys import Key
from freehold.ports import Condition, Write
from freehold.testing.faulty_records import FaultyRecords
from freehold.testing.store_contract import CONTRACT, new_partition, racing_processes_lose_nothing
from tests.contract.dynamodb_race import Place, appends_race_a_run
from tests.contract.dynamodb_table import Fate, LossyLine, connect, create_table, opened
from tests.ministack import ministack

UNANSWERED = (Fate.SILENT, Fate.FAILED, Fate.LOST, Fate.LATE)
IS_NEW = (Condition("", "absent", reason="it is new"),)


@pytest.fixture(scope="module")
def url():
    with ministack() as endpoint:
        yield endpoint.url


@pytest.fixture(scope="module")
def table(url):
    return create_table(url)


@pytest.fixture
def pk():
    return new_partition()


# ---------------------------------------------------------------- the contract
@pytest.fixture(scope="module", params=["plain", "faulty", "unanswered"])
def records(request, url, table):
    """`unanswered`: every transaction that is applied loses its first answer."""
    if request.param != "unanswered":
        with opened(url, table) as store:
            yield FaultyRecords(store) if request.param == "faulty" else store
        return
    with LossyLine(url, Fate.DROPPED) as line:
        with opened(line.url, table) as store:
            yield store
        assert line.met[Fate.DROPPED] > 100


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_contract(check, records):
    check(records, new_partition())


def test_racing_processes_lose_nothing(url, table, pk):
    racing_processes_lose_nothing(partial(opened, url, table), pk, processes=16, rounds=4)


def test_racing_processes_that_get_no_answers_lose_nothing(url, table, pk):
    with LossyLine(url, Fate.KNOWN, Fate.DROPPED) as line:
        racing_processes_lose_nothing(partial(opened, line.url, table), pk, processes=4, rounds=6)


# ---------------------------------------------------------------- the log
@pytest.mark.parametrize("trouble", ["none", "faulty", "lossy"])
def test_appends_race_a_run_without_loss_gap_or_double(trouble, url, table, tmp_path, capsys):
    fates = Fate if trouble == "lossy" else [Fate.KNOWN]
    with LossyLine(url, *fates) as line:
        place = Place(url if trouble == "none" else line.url, table, tmp_path, trouble == "faulty")
        counts, commits = appends_race_a_run(place)
    with capsys.disabled():
        print(
            f"\n{trouble}: {counts['log attempts'] / (commits - 1):.2f} attempts a commit; {counts}"
        )


# ---------------------------------------------------------------- lost answers
def test_a_write_whose_answer_was_lost_is_applied_once(url, table, pk):
    with (
        LossyLine(url, *UNANSWERED, Fate.KNOWN, every_attempt=True) as line,
        opened(line.url, table) as records,
    ):
        records.write([Write(Key(pk, "a"), add={"n": 1})])
        assert records.get([Key(pk, "a")]) == [{"n": 1}]
        assert line.met.total() == len(UNANSWERED) + 1


def test_a_refusal_after_a_lost_answer_is_no_certainty(url, table, pk):
    """The attempt before it may arrive when the condition holds again."""
    with (
        LossyLine(url, Fate.KNOWN, Fate.LATE) as line,
        opened(line.url, table) as records,
    ):
        records.write([Write(Key(pk, "a"), put={"n": 1})])
        with pytest.raises(AmbiguousWrite):
            records.write([Write(Key(pk, "a"), put={"n": 2}, conditions=IS_NEW)])
        assert records.get([Key(pk, "a")]) == [{"n": 1}]


def test_a_refusal_that_the_client_asked_for_twice_is_no_certainty(url, table, pk):
    with LossyLine(url, Fate.KNOWN, Fate.SILENT) as line:
        client = connect(line.url, total_attempts=3)
        records = DynamoRecords(client, table)
        records.write([Write(Key(pk, "a"), put={"n": 1})])
        with pytest.raises(AmbiguousWrite):
            records.write([Write(Key(pk, "a"), put={"n": 2}, conditions=IS_NEW)])
        assert line.met.total() == 3
        client.close()


def test_a_write_that_never_gets_an_answer_is_ambiguous(url, table, pk):
    with LossyLine(url, Fate.LOST, every_attempt=True) as line, opened(line.url, table) as records:
        with pytest.raises(AmbiguousWrite):
            records.write([Write(Key(pk, "a"), put={})])
        assert records.get([Key(pk, "a")]) == [None]
        assert line.met[Fate.LOST] > 1


def test_a_throttled_write_is_repeated_and_then_unavailable(url, table, pk):
    new = Write(Key(pk, "a"), put={"n": 1}, conditions=IS_NEW)
    with LossyLine(url, Fate.BUSY, every_attempt=True) as line, opened(line.url, table) as records:
        with pytest.raises(Unavailable):
            records.write([new])
        assert records.get([new.key]) == [None]
    with LossyLine(url, Fate.BUSY) as line, opened(line.url, table) as records:
        records.write([new])
        with pytest.raises(StaleRead, match="it is new"):
            records.write([new])
        assert records.get([new.key]) == [{"n": 1}]


def test_a_transaction_that_meets_another_is_stale_without_a_reason(url, table, pk):
    with LossyLine(url, Fate.CONFLICT, Fate.KNOWN) as line, opened(line.url, table) as records:
        with pytest.raises(StaleRead) as stale:
            records.write(
                [Write(Key(pk, "a"), put={}, conditions=IS_NEW), Write(Key(pk, "b"), put={})]
            )
        assert stale.value.failed == ()
        assert records.get([Key(pk, "a")]) == [None]
        records.write([Write(Key(pk, "a"), put={}, conditions=IS_NEW)])


def test_nobody_listens(pk):
    with LossyLine("http://127.0.0.1:9") as line:
        url = line.url
    with opened(url, "table") as records:
        with pytest.raises(Unavailable):
            records.get([Key(pk, "a")])
        with pytest.raises(AmbiguousWrite):
            records.write([Write(Key(pk, "a"), put={})])


# ---------------------------------------------------------------- the table
def test_attributes_are_the_tables_own(url, table, pk):
    """Stream filters and consoles read them."""
    with opened(url, table) as records:
        head = {"status": "running", "epoch": 3, "due": "busy/2026", "chain": b"\x00", "span": None}
        records.write([Write(Key(pk, "a"), put=head)])
        client = connect(url)
        stored = client.get_item(TableName=table, Key={"pk": {"S": pk}, "sk": {"S": "a"}})["Item"]
        client.close()
    assert stored.pop("due_shard")["S"].startswith("busy/")
    assert stored == {
        "pk": {"S": pk},
        "sk": {"S": "a"},
        "status": {"S": "running"},
        "epoch": {"N": "3"},
        "due": {"S": "busy/2026"},
        "chain": {"B": b"\x00"},
        "span": {"NULL": True},
    }


def test_every_read_but_due_is_consistent(url, table, pk):
    """The emulator always is, so only the requests can tell."""
    sent = []
    client = connect(url)
    client.meta.events.register(
        "provide-client-params.dynamodb",
        lambda params, model, **_: sent.append((model.name, params)),
    )
    records = DynamoRecords(client, table)
    records.get([Key(pk, "a"), Key(pk, "b")])
    records.query(pk, prefix="a")
    records.due(f"{pk}/")
    client.close()
    for name, params in sent:
        given = params["RequestItems"][table] if name == "BatchGetItem" else params
        assert given.get("ConsistentRead") is (None if "IndexName" in params else True), name
    assert {name for name, _ in sent} == {"BatchGetItem", "Query"}


def test_due_merges_its_shards_in_order(url, table, pk):
    keys = [Key(f"{pk}/{n}", "head") for n in range(40)]
    order = sorted(keys, key=hash)
    with opened(url, table) as records:
        records.write([Write(k, put={"due": f"{pk}/{n:02d}"}) for n, k in enumerate(order)])
        assert records.due(f"{pk}/") == tuple(order)
        assert records.due(pk, limit=7) == tuple(order[:7])
        assert records.due(f"{pk}/3") == tuple(order[30:])
        with pytest.raises(ValueError, match="empty"):
            records.due("")


def test_a_page_has_its_limit_between_two_bounds(url, table, pk):
    """The table answers the bounds as well, and they count to its limit."""
    with opened(url, table) as records:
        records.write([Write(Key(pk, sk), put={}) for sk in "abcdefg"])
        for limit in (1, 2, 3, 5):
            for reverse in (False, True):
                page = records.query(pk, after="a", before="g", limit=limit, reverse=reverse)
                expected = "fedcb" if reverse else "bcdef"
                assert [key.sk for key, _ in page.items] == list(expected[:limit])


def test_a_sum_is_of_numbers(url, table, pk):
    """The same errors as on a laptop; a condition that fails beside it says more."""
    add, other = Write(Key(pk, "a"), add={"t": 1}), Write(Key(pk, "b"), put={})
    stale = Write(Key(pk, "c"), conditions=(Condition("", "exists", reason="c is there"),))
    with opened(url, table) as records:
        records.write([Write(Key(pk, "a"), put={"t": "x"})])
        with pytest.raises(TypeError):
            records.write([add, other])
        with pytest.raises(StaleRead, match="c is there"):
            records.write([add, other, stale])
        assert records.get([Key(pk, "a"), Key(pk, "b")]) == [{"t": "x"}, None]
