"""A session whose rows lie on the disk, and those rows as whoever has the file can change them."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from freehold.adapters.sqlite.encoding import decode, encode
from freehold.audit.session import verify_session
from freehold.domain import chain
from freehold.testing.script import script
from tests.unit.sessions import Bench

HEADER = ("v", "version", "first_seq", "n", "at", "actor", "commit_id")


def bench_on_disk(directory):
    """A session with a call and two turns."""
    bench = Bench(directory, path=directory / "freehold.db")
    bench.path = directory / "freehold.db"
    bench.directory = directory
    call = {"think": "Hm.", "say": "I look.", "tool": "bash", "input": {"command": "ls"}}
    bench.say(script(call, {"say": "Done."}))
    bench.say("Hello.")
    return bench


class Rows:
    """The rows of a thread's feed, as whoever has the file can change them."""

    def __init__(self, bench, thread_id=None):
        self.bench = bench
        self.thread_id = thread_id or bench.thread_id
        self.pk = bench.key.feed(self.thread_id)

    def _do(self, statement, *values):
        with closing(sqlite3.connect(self.bench.path)) as file:
            found = file.execute(statement, values).fetchall()
            file.commit()
        return found

    def all(self):
        found = self._do("SELECT sk, value FROM items WHERE pk = ? ORDER BY sk", self.pk)
        return [(sk, decode(value)) for sk, value in found]

    def write(self, sk, item, pk=None):
        self._do(
            "UPDATE items SET value = ? WHERE pk = ? AND sk = ?", encode(item), pk or self.pk, sk
        )

    def delete(self, *places):
        for sk in places:
            self._do("DELETE FROM items WHERE pk = ? AND sk = ?", self.pk, sk)

    @property
    def head(self):
        place = self.bench.key.head(self.thread_id)
        (value,) = self._do("SELECT value FROM items WHERE pk = ? AND sk = ?", place.pk, place.sk)[
            0
        ]
        return decode(value)

    def write_head(self, **changes):
        place = self.bench.key.head(self.thread_id)
        self.write(place.sk, {**self.head, **changes}, place.pk)

    def rehash(self, edited):
        """The whole chain computed anew, without the key: `edited` are bodies by version."""
        previous = chain.genesis(self.bench.key.session_id, self.thread_id)
        for sk, found in self.all():
            item = {**found, **edited.get(found["version"], {})}
            header = {name: item[name] for name in HEADER}
            item["prev_hash"] = previous
            item["hash"] = chain.commit_hash(previous, header, item["events"], item["private"])
            self.write(sk, item)
            previous = item["hash"]
        self.write_head(chain=previous)
        return previous


def audit(bench, expected=None):
    return verify_session(bench.app, bench.key, expected)


def kinds(bench, expected=None):
    return {damage.kind for damage in audit(bench, expected).all_damage}


def said(item):
    return {"events": item["events"].replace(b"Hello.", b"Goodby")}


def holding(rows, words):
    return next((sk, item) for sk, item in rows.all() if words in item["events"])
