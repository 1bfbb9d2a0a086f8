"""What `SqliteRecords` promises beyond the contract of every store."""

from __future__ import annotations

import gc
import logging
import sqlite3
import threading
from contextlib import closing
from itertools import chain

import pytest

from freehold.adapters.sqlite import SqliteRecords
from freehold.adapters.sqlite.records import _DUE, _GET, _QUERIES
from freehold.errors import AmbiguousWrite, ItemTooLarge, StaleRead, Unavailable
from freehold.keys import Key
from freehold.ports import Condition, Write
from tests.servers import wait_for

A, B = Key("p", "a"), Key("p", "b")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "db"


@pytest.fixture
def records(path):
    with closing(SqliteRecords(path)) as store:
        yield store


class Gate:
    """A stream that notes what it hears and holds the writer until it is opened."""

    def __init__(self):
        self.heard = []
        self.open = threading.Event()

    def __call__(self, keys):
        self.heard.append([key.sk for key in keys])
        assert self.open.wait(20)


class Callers:
    """Threads that write at once; `errors` holds what each of them got."""

    def __init__(self, records):
        self.records = records
        self.threads = []
        self.errors = {}

    def write(self, name, *writes):
        thread = threading.Thread(target=self._run, args=(name, writes))
        thread.start()
        self.threads.append(thread)

    def _run(self, name, writes):
        try:
            self.records.write(writes)
            self.errors[name] = None
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.errors[name] = error

    def join(self):
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture
def queue_behind_a_commit(path):
    """Runs what `fill` submits as one group, and answers the callers' errors and what was heard."""

    def run(fill, n, setup=()):
        gate = Gate()
        with closing(SqliteRecords(path, stream=gate)) as store:
            callers = Callers(store)
            callers.write("first", *setup, Write(Key("p", "first"), put={}))
            wait_for(lambda: gate.heard)
            fill(callers)
            wait_for(lambda: store._writer._queue.qsize() == n)
            gate.open.set()
            callers.join()
            return callers.errors, gate.heard[1:], store.query("p").items

    return run


# ---------------------------------------------------------------- durability and life cycle
def test_a_store_is_read_again_after_it_was_closed(path):
    for n in range(3):
        with closing(SqliteRecords(path)) as records:
            records.write([Write(A, add={"n": 1})])
            assert records.get([A]) == [{"n": n + 1}]


def test_a_closed_store_takes_and_gives_nothing(path):
    records = SqliteRecords(path)
    records.write([Write(A, put={})])
    records.close()
    records.close()
    for call in (
        lambda: records.write([Write(A, put={})]),
        lambda: records.get([A]),
        lambda: records.query("p"),
        lambda: records.due(""),
    ):
        with pytest.raises(Unavailable):
            call()


def test_close_waits_for_what_was_submitted(path):
    gate = Gate()
    records = SqliteRecords(path, stream=gate)
    callers = Callers(records)
    callers.write("a", Write(A, put={}))
    wait_for(lambda: gate.heard)
    callers.write("b", Write(B, put={}))
    wait_for(lambda: records._writer._queue.qsize() == 1)
    closer = threading.Thread(target=records.close)
    closer.start()
    gate.open.set()
    closer.join(20)
    callers.join()
    assert callers.errors == {"a": None, "b": None}
    with closing(SqliteRecords(path)) as again:
        assert again.get([A, B]) == [{}, {}]


def test_a_forgotten_store_ends_its_thread(path):
    records = SqliteRecords(path)
    records.write([Write(A, put={})])
    thread = records._writer._thread
    del records
    gc.collect()
    thread.join(20)
    assert not thread.is_alive()


def test_instances_on_one_file_see_each_other_at_once(path, records):
    with closing(SqliteRecords(path)) as other:
        for n in range(20):
            records.write([Write(A, put={"n": n})])
            assert other.get([A]) == [{"n": n}]
            other.write([Write(A, put={"n": -n}, conditions=(Condition("n", "==", n),))])
            assert records.get([A]) == [{"n": -n}]


def test_the_files_belong_to_their_owner_alone(path, records):
    records.write([Write(A, put={})])
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["db", "db-shm", "db-wal"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_what_was_deleted_leaves_the_files_when_writing_pauses(path, records):
    marker = b"the-marker-of-this-test" * 500
    records.write([Write(A, put={"text": marker})])
    records.write([Write(A, delete=True)])
    files = [path, path.with_name("db-wal")]
    wait_for(lambda: not any(marker[:23] in file.read_bytes() for file in files))


# ---------------------------------------------------------------- readers
def test_the_keys_of_a_get_are_one_snapshot(records):
    records.write([Write(A, put={"n": 0}), Write(B, put={"n": 0})])
    stop = threading.Event()

    def work():
        while not stop.is_set():
            records.write([Write(A, add={"n": 1}), Write(B, add={"n": -1})])

    writer = threading.Thread(target=work)
    writer.start()
    try:
        for _ in range(1000):
            one, other = records.get([A, B])
            assert one["n"] + other["n"] == 0
            assert sum(item["n"] for _, item in records.query("p").items) == 0
    finally:
        stop.set()
        writer.join()
    assert one["n"] > 0


def test_a_reader_does_not_wait_for_the_writer(path):
    gate = Gate()
    with closing(SqliteRecords(path, stream=gate)) as records:
        callers = Callers(records)
        callers.write("a", Write(A, put={"n": 1}))
        wait_for(lambda: gate.heard)
        assert records.get([A]) == [{"n": 1}]
        gate.open.set()
        callers.join()


def test_more_exactly_says_whether_anything_follows(records):
    records.write([Write(Key("p", sk), put={}) for sk in "abc"])
    assert not records.query("p", limit=3).more
    assert records.query("p", limit=2).more
    assert not records.query("p", limit=2, after="a").more


def test_what_a_transaction_deletes_or_checks_counts_towards_its_4_mb(records):
    keys = [Key("p", f"{n:02d}") for n in range(12)]
    for key in keys:
        records.write([Write(key, put={"body": bytes(380_000)})])
    for write in (Write(keys[0], delete=True), Write(keys[0], set={"body": b""}), Write(keys[0])):
        with pytest.raises(ItemTooLarge):
            records.write([write, *(Write(key, delete=True) for key in keys[1:])])
    assert len(records.query("p", limit=3).items) == 3
    records.write([Write(key, delete=True) for key in keys[:11]])
    assert [key for key, _ in records.query("p").items] == keys[11:]


def test_every_read_is_a_search_in_an_index(path, records):
    bounds = {"pk": "p", "low": "", "high": None, "limit": 1}
    with closing(sqlite3.connect(path)) as connection:
        for statement in _QUERIES.values():
            steps = connection.execute(f"EXPLAIN QUERY PLAN {statement}", bounds).fetchall()
            assert [step[3] for step in steps if "PRIMARY KEY (pk=? AND sk>?" not in step[3]] == []
        (step,) = connection.execute(f"EXPLAIN QUERY PLAN {_DUE}", bounds).fetchall()
        assert "INDEX items_due (due>?" in step[3]
        (step,) = connection.execute(f"EXPLAIN QUERY PLAN {_GET}", ("p", "a")).fetchall()
        assert "PRIMARY KEY (pk=? AND sk=?" in step[3]


# ---------------------------------------------------------------- groups
def test_callers_that_wait_share_a_commit(queue_behind_a_commit):
    def fill(callers):
        for n in range(8):
            callers.write(n, Write(Key("p", str(n)), put={}))

    errors, heard, items = queue_behind_a_commit(fill, 8)
    assert set(errors.values()) == {None}
    assert [len(keys) for keys in heard] == [8]
    assert len(items) == 9


def test_a_refused_transaction_does_not_disturb_its_group(queue_behind_a_commit):
    def fill(callers):
        callers.write("one", Write(A, put={"n": 1}))
        callers.write("stale", Write(B, put={}), Write(A, conditions=(Condition("n", "==", 9),)))
        callers.write("wrong", Write(B, put={}), Write(Key("p", "t"), add={"text": 1}))
        callers.write("two", Write(Key("p", "c"), put={}))

    setup = [Write(Key("p", "t"), put={"text": "x"})]
    errors, heard, items = queue_behind_a_commit(fill, 4, setup)
    assert errors["one"] is errors["two"] is None
    assert isinstance(errors["stale"], StaleRead)
    assert isinstance(errors["wrong"], TypeError)
    assert [key.sk for key, _ in items] == ["a", "c", "first", "t"]
    assert sorted(chain(*heard)) == ["a", "c"]


def test_of_two_that_decided_on_the_same_read_one_wins_within_a_group(queue_behind_a_commit):
    def fill(callers):
        for n in range(4):
            unchanged = (Condition("n", "==", 0),)
            callers.write(n, Write(A, set={"n": 1, "by": n}, conditions=unchanged))

    errors, _, items = queue_behind_a_commit(fill, 4, [Write(A, put={"n": 0})])
    winners = [n for n in range(4) if errors[n] is None]
    assert len(winners) == 1
    assert items[0] == (A, {"n": 1, "by": winners[0]})


def test_adding_to_a_text_is_a_defect_of_the_writer(records):
    records.write([Write(A, put={"t": "x", "yes": True})])
    for name in ("t", "yes"):
        with pytest.raises(TypeError, match=name):
            records.write([Write(B, put={}), Write(A, add={name: 1})])
    assert records.get([B]) == [None]


# ---------------------------------------------------------------- the stream
@pytest.mark.parametrize("where", ["file", "memory"])
def test_the_stream_hears_each_commit_once_in_order_before_its_writer_goes_on(path, where):
    heard, threads = [], set()

    def stream(keys):
        threads.add(threading.current_thread())
        if where == "file":
            assert None not in records.get(list(keys))
        heard.extend(keys)

    where = ":memory:" if where == "memory" else path
    with closing(SqliteRecords(where, stream=stream)) as records:
        for n in range(30):
            key = Key("p", f"{n:02d}")
            records.write([Write(key, put={})])
            assert heard[-1] == key
        records.write([Write(A, conditions=(Condition("", "absent"),))])
        with pytest.raises(StaleRead):
            records.write([Write(A, put={}, conditions=(Condition("", "exists"),))])
        records.write([Write(Key("p", "00"), delete=False, add={"n": 1})])
    assert heard == [Key("p", f"{n:02d}") for n in [*range(30), 0]]
    assert len(threads) == 1


def test_a_failing_stream_loses_no_commit(path, caplog):
    def stream(keys):
        raise LookupError(keys[0].sk)

    with caplog.at_level(logging.ERROR), closing(SqliteRecords(path, stream=stream)) as records:
        records.write([Write(A, put={})])
        records.write([Write(B, put={})])
        assert records.get([A, B]) == [{}, {}]
    assert [record.message for record in caplog.records] == ["stream_failed"] * 2


def test_a_stream_that_writes_is_told_so_and_hangs_nobody(path):
    told = []

    def stream(keys):
        try:
            records.write([Write(B, put={})])
        except RuntimeError as error:
            told.append(str(error))

    with closing(SqliteRecords(path, stream=stream)) as records:
        records.write([Write(A, put={})])
        assert records.get([A, B]) == [{}, None]
    assert told == ["the store's stream must not write to the store"]


# ---------------------------------------------------------------- failures of SQLite
def _limit_pages(records, pages):
    with records._connections.writing() as connection:
        (used,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages if pages > used else used + pages}")


def test_a_full_database_refuses_what_does_not_fit_and_goes_on(path, records):
    records.write([Write(A, put={"n": 1})])
    _limit_pages(records, 4)
    for _ in range(2):
        with pytest.raises(Unavailable) as refused:
            records.write([Write(A, add={"n": 1}), Write(B, put={"body": bytes(100_000)})])
        assert isinstance(refused.value.__cause__, sqlite3.OperationalError)
    assert records.get([A, B]) == [{"n": 1}, None]
    records.write([Write(A, add={"n": 1})])
    _limit_pages(records, 10**6)
    records.write([Write(B, put={"body": bytes(100_000)})])
    with closing(SqliteRecords(path)) as again:
        assert again.get([A]) == [{"n": 2}]


def test_one_that_does_not_fit_does_not_fail_its_group(path):
    gate = Gate()
    with closing(SqliteRecords(path, stream=gate)) as records:
        callers = Callers(records)
        callers.write("first", Write(Key("p", "first"), put={}))
        wait_for(lambda: gate.heard)
        _limit_pages(records, 4)
        callers.write("large", Write(Key("p", "large"), put={"body": bytes(100_000)}))
        callers.write("small", Write(Key("p", "small"), put={}))
        callers.write("also", Write(Key("p", "also"), put={}))
        wait_for(lambda: records._writer._queue.qsize() == 3)
        gate.open.set()
        callers.join()
        assert isinstance(callers.errors.pop("large"), Unavailable)
        assert set(callers.errors.values()) == {None}
        assert [key.sk for key, _ in records.query("p").items] == ["also", "first", "small"]
        assert sorted(chain(*gate.heard)) == ["also", "first", "small"]


def test_a_writer_that_breaks_answers_no_success_and_hangs_nobody(records, caplog):
    records.write([Write(A, put={"n": 1})])
    with records._connections.writing() as connection:
        connection.close()
    for _ in range(2):
        with pytest.raises(AmbiguousWrite):
            records.write([Write(A, put={"n": 2})])
    assert records.get([A]) == [{"n": 1}]
    assert [record.message for record in caplog.records] == ["writer_failed"] * 2


@pytest.mark.parametrize("where", ["file", "memory"])
def test_a_read_that_fails_leaves_the_store_usable(path, where):
    with closing(SqliteRecords(":memory:" if where == "memory" else path)) as records:
        records.write([Write(A, put={})])
        _execute(records, "ALTER TABLE items RENAME COLUMN value TO gone")
        for _ in range(2):
            with pytest.raises(Unavailable):
                records.get([A, B])
        _execute(records, "ALTER TABLE items RENAME COLUMN gone TO value")
        assert records.get([A, B]) == [{}, None]


def _execute(records, statement):
    with records._connections.writing() as connection:
        connection.execute(statement)


def test_a_file_that_another_process_keeps_locked_is_unavailable(path, records):
    with records._connections.writing() as connection:
        connection.execute("PRAGMA busy_timeout = 20")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            records.write([Write(A, put={})])
        other.execute("ROLLBACK")
    records.write([Write(A, put={})])
    assert records.get([A]) == [{}]
