"""Every store faces the same contract."""

from __future__ import annotations

from contextlib import closing
from functools import partial

import pytest

from freehold.adapters.sqlite import SqliteRecords
from freehold.testing.faulty_records import FaultyRecords
from freehold.testing.store_contract import CONTRACT, new_partition, racing_processes_lose_nothing


def _open(path):
    return closing(SqliteRecords(path))


@pytest.fixture(scope="module", params=["file", "memory", "faulty"])
def records(request, tmp_path_factory):
    path = ":memory:" if request.param == "memory" else tmp_path_factory.mktemp("store") / "db"
    with _open(path) as store:
        yield FaultyRecords(store) if request.param == "faulty" else store


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_contract(check, records):
    check(records, new_partition())


def test_racing_processes_lose_nothing(tmp_path):
    racing_processes_lose_nothing(partial(_open, tmp_path / "db"), new_partition())
