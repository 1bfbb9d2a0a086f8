"""A store of an earlier schema version: brought up to date on a laptop and on DynamoDB, whatever
dies on the way; one of a later version is refused by name.

`golden/freehold_v1.sql` is a database as version 1 wrote it, and is never written again.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
from contextlib import closing, nullcontext
from importlib import import_module

import pytest

from freehold import __version__, keys, schema
from freehold.adapters.sqlite import SqliteRecords, StoreUnusable, migrate, stored_version
from freehold.cli import main
from freehold.cli.checks import check_store
from freehold.errors import NewerStore, Unavailable
from freehold.local.data_dir import DataDirLock
from freehold.ports import Write
from freehold.services.keys import create_key, list_keys, list_workspaces
from tests.contract.dying_migration import die_at
from tests.contract.dynamodb_table import create_table, opened
from tests.contract.test_older_versions import GOLDEN, assert_takes_its_answer
from tests.golden import FOLDER
from tests.ministack import ministack
from tests.servers import server_in_process, server_process

DUMP = (FOLDER / "freehold_v1.sql").read_text()


def _old(directory, change=""):
    """A database of version 1 in WAL mode, as a stopped server leaves it."""
    directory.mkdir(exist_ok=True)
    path = directory / "freehold.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(DUMP + change)
        connection.execute("PRAGMA journal_mode = WAL")
    path.chmod(0o600)
    return path


def _rows(path):
    with closing(sqlite3.connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        return version, connection.execute("SELECT * FROM items ORDER BY pk, sk").fetchall()


@pytest.fixture
def old(tmp_path):
    return _old(tmp_path)


def test_a_database_of_version_1_is_migrated_and_kept_beside_the_new_one(old):
    before = _rows(old)
    done = migrate(old)
    assert (done.before, done.backup) == (1, old.with_name("freehold.db.v1"))
    assert _rows(done.backup) == before
    version, rows = _rows(old)
    assert version == schema.VERSION
    added = [row[:2] for row in rows if row not in before[1]]
    workspaces = sorted({key.workspace_id for key in _keys(old)})
    assert added == [
        ("_installation/schema", "schema"),
        *(("_workspace_index", workspace_id) for workspace_id in workspaces),
    ]
    assert [row for row in rows if row in before[1]] == before[1]
    assert {p.name: oct(p.stat().st_mode & 0o777) for p in old.parent.iterdir()} == {
        "freehold.db": "0o600",
        "freehold.db.v1": "0o600",
    }
    assert migrate(old) is None


def _keys(path):
    with closing(SqliteRecords(path)) as records:
        return list_keys(records)


def test_every_workspace_is_listed_after_it_and_every_new_one_too(old):
    migrate(old)
    with closing(SqliteRecords(old)) as records:
        found = {key.workspace_id for key in list_keys(records)}
        assert len(found) == 2
        assert set(list_workspaces(records)) == found
        create_key(records, "third")
        assert set(list_workspaces(records)) == {k.workspace_id for k in list_keys(records)}


def test_a_database_that_was_not_migrated_is_refused_with_what_to_do(old):
    with pytest.raises(StoreUnusable, match="schema version 1; `freehold serve` or `freehold mig"):
        SqliteRecords(old)
    assert stored_version(old) == 1


def test_a_later_version_is_refused_with_the_release_that_reads_it(tmp_path):
    path = tmp_path / "freehold.db"
    with closing(SqliteRecords(path)) as records:
        records.write([Write(keys.SCHEMA, put={"version": 9, "release": "7.1.0", "more": [1]})])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 9")
    sentence = f"schema version 9, written by Freehold 7.1.0, and this release .{__version__}."
    for use in (SqliteRecords, migrate, stored_version):
        with pytest.raises(StoreUnusable, match=sentence):
            use(path)
    assert check_store(tmp_path).status == "missing"
    assert "7.1.0" in check_store(tmp_path).detail
    assert sorted(p.name for p in tmp_path.iterdir()) == ["freehold.db"]


def test_a_new_store_says_who_made_it(tmp_path):
    with closing(SqliteRecords(tmp_path / "db")) as records:
        found = schema.schema_of(records.get([keys.SCHEMA])[0])
        assert found == schema.Schema(schema.VERSION, __version__)
        assert schema.migrate(records) == found


# ---------------------------------------------------------------- crashes and company
_STEPS = ("backup", "upgrade", "fsync", "link", "replace")


@pytest.mark.parametrize("step", _STEPS)
def test_what_died_on_the_way_left_the_old_or_the_new_and_the_next_start_goes_on(tmp_path, step):
    old = _old(tmp_path)
    before = _rows(old)
    process = multiprocessing.get_context("spawn").Process(target=die_at, args=(step, old))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    if step == "replace":
        assert migrate(old) is None
    else:
        assert _rows(old) == before
        assert migrate(old).backup.name == "freehold.db.v1"
        assert "half" not in {key.workspace for key in _keys(old)}
    assert _rows(old.with_name("freehold.db.v1")) == before
    assert len({key.workspace for key in _keys(old)} - {"half"}) == 2
    assert {p.name for p in tmp_path.iterdir()} == {"freehold.db", "freehold.db.v1"}


def test_an_earlier_backup_is_never_overwritten(tmp_path):
    old = _old(tmp_path)
    first = migrate(old).backup
    kept = first.read_bytes()
    old.unlink()
    _old(tmp_path, "DELETE FROM items;")
    assert migrate(old).backup.name == "freehold.db.v1.2"
    assert first.read_bytes() == kept


def test_a_step_that_fails_leaves_the_database_as_it_was(old):
    before = _rows(old)

    def upgrade(_):
        raise Unavailable("The disk is full.")

    with pytest.raises(StoreUnusable, match="The disk is full"):
        migrate(old, upgrade)
    assert _rows(old) == before
    assert [p.name for p in old.parent.iterdir()] == ["freehold.db"]


def test_a_database_that_another_program_has_open_is_not_migrated(old, monkeypatch):
    monkeypatch.setattr("freehold.adapters.sqlite.migration.BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(old)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnusable, match="locked"):
            migrate(old)
        other.rollback()
        other.execute("SELECT count(*) FROM items").fetchone()
        with pytest.raises(StoreUnusable, match="locked"):
            migrate(old)
    assert migrate(old).before == 1


# ---------------------------------------------------------------- the port alone, as on DynamoDB
def _without_schema(records):
    create_key(records)
    create_key(records, "second")
    rows = [keys.workspace_row(w) for w in list_workspaces(records)]
    records.write([Write(place, delete=True) for place in (keys.SCHEMA, *rows)])


@pytest.fixture(scope="module")
def url():
    with ministack() as endpoint:
        yield endpoint.url


@pytest.fixture(params=["sqlite", "dynamodb"])
def records(request, tmp_path):
    if request.param == "sqlite":
        store = closing(SqliteRecords(tmp_path / "db"))
    else:
        at = request.getfixturevalue("url")
        store = opened(at, create_table(at))
    with store as found:
        _without_schema(found)
        yield found


def test_a_store_without_a_version_has_the_first_and_is_migrated_once(records):
    assert len(list_workspaces(records)) == 1
    assert schema.migrate(records).version == 1
    assert set(list_workspaces(records)) == {key.workspace_id for key in list_keys(records)}
    assert schema.migrate(records) == schema.Schema(schema.VERSION, __version__)


def test_a_store_of_a_later_version_is_not_touched(records):
    later = {"version": schema.VERSION + 1, "release": "7.1.0"}
    records.write([Write(keys.SCHEMA, put=later)])
    with pytest.raises(NewerStore, match=r"Freehold 7\.1\.0"):
        schema.migrate(records)
    assert records.get([keys.SCHEMA]) == [later]


class Died(BaseException):
    """As a kill: nothing catches it."""


@pytest.mark.parametrize("at", range(1, 6))
def test_a_migration_that_died_is_finished_by_the_next(tmp_path, at):
    with closing(SqliteRecords(tmp_path / "db")) as stored:
        _without_schema(stored)

        class Mortal:
            calls = 0

            def __getattr__(self, name):
                Mortal.calls += 1
                if Mortal.calls == at:
                    raise Died
                return getattr(stored, name)

        with pytest.raises(Died):
            schema.migrate(Mortal())
        assert schema.migrate(stored).version == 1
        assert len(list_workspaces(stored)) == 2


def test_of_two_that_migrate_one_moves_the_version_and_both_end_well(tmp_path):
    with closing(SqliteRecords(tmp_path / "db")) as stored:
        _without_schema(stored)
        inner = []

        def while_another(records):
            if not inner:
                inner.append(schema.migrate(stored))
            schema.STEPS[1](records)

        assert schema.migrate(stored, {1: while_another}).version == 1
        assert inner == [schema.Schema(1, "")]
        assert schema.schema_of(stored.get([keys.SCHEMA])[0]).version == schema.VERSION


# ---------------------------------------------------------------- as its operator sees it
def test_sessions_of_version_1_go_on_after_the_migration(tmp_path):
    migrate(_old(tmp_path))
    with server_in_process(tmp_path) as server:
        assert_takes_its_answer(server.client())


def test_serve_migrates_at_its_start_and_says_so(tmp_path):
    _old(tmp_path)
    with server_process(tmp_path, sandbox="none") as server:
        found = server.client().beta.sessions.retrieve(GOLDEN["running"])
        assert found.status in ("running", "idle")
        log = "\n".join(server.process.lines)
    assert 'store_migrated from_version=1 backup="' in log
    assert stored_version(tmp_path / "freehold.db") == schema.VERSION
    assert stored_version(tmp_path / "freehold.db.v1") == 1


def _run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    said_ = capsys.readouterr()
    return ended.value.code, said_.out, said_.err


def test_the_command_migrates_a_data_directory_that_nobody_serves(old, capsys):
    place = ["--data-dir", str(old.parent)]
    lock = DataDirLock(old.parent)
    code, _, err = _run(capsys, "migrate", *place)
    assert (code, "in use by another server" in err) == (1, True)
    lock.close()
    code, out, _ = _run(capsys, "migrate", *place)
    assert (code, out) == (
        0,
        f"schema version 1 became 2; as it was: {old.parent}/freehold.db.v1\n",
    )
    assert _run(capsys, "migrate", *place)[1] == "schema version 2 already\n"


def test_the_command_migrates_an_installation_on_aws_while_it_works(monkeypatch, records, capsys):
    command = import_module("freehold.cli.migrate")
    monkeypatch.setattr(command, "table_of", lambda _: nullcontext(records))
    code, out, _ = _run(capsys, "migrate", "--stack", "Freehold-Data")
    assert (code, out) == (0, "schema version 1 became 2\n")
    assert _run(capsys, "migrate", "--stack", "Freehold-Data")[1] == "schema version 2 already\n"
    later = {"version": 9, "release": "7.1.0"}
    records.write([Write(keys.SCHEMA, put=later)])
    code, _, err = _run(capsys, "migrate", "--stack", "Freehold-Data")
    assert (code, "Freehold 7.1.0" in err) == (1, True)


def test_doctor_shows_the_version(old):
    found = check_store(old.parent)
    assert (found.status, found.remedy) == ("note", "freehold migrate")
    assert found.detail.startswith("schema version 1; the next start brings it to 2")
    migrate(old)
    assert check_store(old.parent).detail == "schema version 2"
    assert check_store(old.parent / "nowhere").detail.startswith("none yet")
