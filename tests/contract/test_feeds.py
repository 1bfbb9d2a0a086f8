"""Every feed faces the same contract: within a process, and through a table between two."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count

import pytest

from freehold.adapters.process_feed import ProcessFeed
from freehold.adapters.sqlite import SqliteRecords
from freehold.adapters.table_feed import TableFeed, announcements
from freehold.ids import now
from freehold.keys import Key, entry
from freehold.ports import Feed, Records, Write
from freehold.testing.feed_contract import CONTRACT
from tests.contract.dynamodb_table import create_table, opened
from tests.ministack import ministack


class OneProcess:
    """The store of the laptop rings."""

    def __init__(self):
        self.writer = self.reader = ProcessFeed()

    def commit(self, topic):
        self.reader.ring([Key(topic, entry(1, 0))])


@dataclass
class TwoProcesses:
    """Feeds that share a table and nothing else."""

    records: Records
    writer: Feed
    reader: Feed
    _numbers: count = field(default_factory=lambda: count(1))

    def commit(self, topic):
        self.records.write([Write(Key(topic, entry(next(self._numbers), 0)), put={})])


@contextmanager
def _sqlite(_):
    with closing(SqliteRecords(":memory:")) as records:
        yield TwoProcesses(records, TableFeed(records, now), TableFeed(records, now))


@contextmanager
def _ringing(_):
    """As where turns run: the pace rings, not the news."""
    with closing(SqliteRecords(":memory:")) as records:
        reader = TableFeed(records, now, ring_seconds=0.05)
        yield TwoProcesses(records, TableFeed(records, now), reader)


@contextmanager
def _dynamodb(url):
    table = create_table(url)
    with opened(url, table) as here, opened(url, table) as there:
        yield TwoProcesses(here, TableFeed(here, now), TableFeed(there, now))


@contextmanager
def _process(_):
    yield OneProcess()


@pytest.fixture(scope="module")
def url():
    with ministack() as endpoint:
        yield endpoint.url


@pytest.fixture(
    scope="module", params=[_process, _sqlite, _ringing, _dynamodb], ids=lambda p: p.__name__[1:]
)
def stage(request):
    url = request.getfixturevalue("url") if request.param is _dynamodb else None
    with pytest.MonkeyPatch.context() as patch, request.param(url) as made:
        patch.setattr(announcements, "LOOK_SECONDS", 0.1)
        yield made


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_contract(check, stage):
    check(stage)
