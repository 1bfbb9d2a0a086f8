"""The stored format: what version 1 wrote is read for ever, and what is not ours is not touched."""

from __future__ import annotations

import multiprocessing
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from freehold.adapters.sqlite import SqliteRecords, StoreUnusable, migrate
from freehold.adapters.sqlite.encoding import decode, encode
from freehold.keys import Key
from freehold.ports import Write

GOLDEN = Path(__file__).with_name("golden")
ITEM = {
    "v": 1,
    "at": "2030-01-01T00:00:00.000000Z",
    "events": b'[{"type":"user.message"}]',
    "private": b"\x00\n\xff",
    "empty": b"",
    "flags": [True, False, None],
    "number": -(10**38) + 1,
    "nested": {"map": {"list": [b"a", {"$b": "b\n"}]}, "ünicode": "😀\x00\u2028"},
    "due": "busy/1",
}


def test_an_item_has_the_bytes_of_version_1():
    stored = (GOLDEN / "sqlite_item_v1.bin").read_bytes()
    assert encode(ITEM) == stored
    assert decode(stored) == ITEM


def test_the_bytes_do_not_depend_on_the_order_of_attributes():
    assert encode(dict(reversed(ITEM.items()))) == encode(ITEM)


def test_a_file_of_version_1_is_read_and_written(tmp_path):
    path = tmp_path / "db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((GOLDEN / "sqlite_store_v1.sql").read_text())
    migrate(path)
    with closing(SqliteRecords(path)) as records:
        assert records.get([Key("w/session/s", "a")]) == [ITEM]
        assert records.due("busy/") == (Key("w/session/s", "a"),)
        assert [key.sk for key, _ in records.query("w/session/s").items] == ["a", "b"]
        records.write([Write(Key("w/session/s", "a"), add={"number": 1}, set={"due": None})])
        assert records.due("busy/") == ()


def test_a_new_file_has_the_schema_of_a_migrated_one(tmp_path):
    schemas = []
    for name, script in (("old", (GOLDEN / "sqlite_store_v1.sql").read_text()), ("new", "")):
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            connection.executescript(script)
        migrate(tmp_path / name)
        SqliteRecords(tmp_path / name).close()
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            tables = connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name")
            version = connection.execute("PRAGMA user_version").fetchone()
            ours = connection.execute("PRAGMA application_id").fetchone()
            schemas.append((tables.fetchall(), version, ours))
    assert schemas[0] == schemas[1]


def _change(path, statement):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def test_a_newer_file_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "db"
    SqliteRecords(path).close()
    _change(path, "PRAGMA user_version = 3")
    before = path.read_bytes()
    with pytest.raises(StoreUnusable, match=r"schema version 3, .* knows 2"):
        SqliteRecords(path)
    assert path.read_bytes() == before


def test_the_database_of_another_program_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "db"
    _change(path, "CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(StoreUnusable, match="another program"):
        SqliteRecords(path)
    assert path.read_bytes() == before


def test_what_is_no_database_is_refused_and_left_alone(tmp_path):
    path, content = tmp_path / "db", b"not a database, but long enough for a header" * 100
    path.write_bytes(content)
    with pytest.raises(StoreUnusable, match="not a database"):
        SqliteRecords(path)
    assert path.read_bytes() == content


def test_a_directory_that_is_not_there_is_one_readable_line(tmp_path):
    with pytest.raises(StoreUnusable, match="No such file or directory"):
        SqliteRecords(tmp_path / "missing" / "db")


def _create(path, barrier, n):
    barrier.wait(60)
    with closing(SqliteRecords(path)) as records:
        records.write([Write(Key("p", str(n)), put={"n": n})])


def test_processes_may_create_the_file_together(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    processes = [
        context.Process(target=_create, args=(tmp_path / "db", barrier, n)) for n in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    with closing(SqliteRecords(tmp_path / "db")) as records:
        assert len(records.query("p").items) == 3
