"""An `App` on the real store, for services that need no more than the store, blobs and a clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from freehold.adapters.blobs import DirectoryBlobs
from freehold.adapters.sqlite import SqliteRecords
from freehold.errors import AmbiguousWrite
from freehold.ports import App
from freehold.services.keys import Caller
from freehold.settings import Settings

CALLER = Caller("wrkspc_a", "apikey_a", "api")
STRANGER = Caller("wrkspc_b", "apikey_b", "api")


class Clock:
    """Each reading is a second later than the one before."""

    def __init__(self):
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        self.now += timedelta(seconds=1)
        return self.now


class UnsureRecords:
    """The real store, whose next transactions lose their answer: `fates` says what became of each.

    `landed`: applied. `never`: not applied. `late`: applied right before the transaction after it.
    """

    def __init__(self, records):
        self._records = records
        self.fates = []
        self._late = None

    def __getattr__(self, name):
        return getattr(self._records, name)

    def write(self, writes):
        if self._late is not None:
            late, self._late = self._late, None
            self._records.write(late)
        fate = self.fates.pop(0) if self.fates else "known"
        if fate == "late":
            self._late = writes
        elif fate != "never":
            self._records.write(writes)
        if fate != "known":
            raise AmbiguousWrite


class Interloper:
    """The real store, where `act` happens right before the next transaction."""

    def __init__(self, records):
        self._records = records
        self.act = None

    def __getattr__(self, name):
        return getattr(self._records, name)

    def write(self, writes):
        if self.act is not None:
            act, self.act = self.act, None
            act()
        self._records.write(writes)


def app_on(records, tmp_path, **settings):
    """An `App` whose other ports are not there."""
    return App(
        settings=Settings(write_backoff_seconds=0, **settings),
        records=records,
        blobs=DirectoryBlobs(tmp_path / "blobs"),
        secrets=None,
        log=None,
        model=None,
        sandboxes=None,
        runs=None,
        feed=None,
        clock=Clock(),
        web=None,
    )


def memory_records():
    return SqliteRecords(":memory:")
