"""Thousands of random histories of the fan-out: records of the table's stream come late, twice and
in any order, posts fail or are not answered, invocations die between any two calls of the store and
overlap, clients leave and come back. Nothing may be skipped, and no cursor moves back.

The log, its rows and the filters are the real ones; what is random is drawn from the seed alone.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace

import pytest

from freehold import keys
from freehold.errors import ConnectionBusy, ConnectionGone
from freehold.ports import Write
from freehold.testing.faulty_records import Fault, FaultyRecords, Killed
from freehold.testing.table_stream import StreamedRecords
from functions.fan_out.handler import make_handler
from functions.websocket.handler import make_handler as make_socket_handler
from tests.protocol.sessions import asking_agent
from tests.sockets import Gateway, Inline, connect, disconnect, say
from tests.unit.sessions import Bench

SEEDS = 20
HISTORIES = 100
"""Of each seed: two thousand in all."""


class Log:
    """The real log, of which the first `end` events have happened."""

    def __init__(self, log):
        self._log = log
        self.end = 0

    def scan(self, key, thread_id, *, beyond):
        for found in self._log.scan(key, thread_id, beyond=beyond):
            if found.seq > self.end:
                return
            yield found

    def read(self, key, thread_id=""):
        snapshot = self._log.read(key, thread_id)
        heads = {t: replace(h, next_seq=self.end + 1) for t, h in snapshot.heads.items()}
        return replace(snapshot, heads=heads)

    def entries(self, *given, **bounds):
        found, more = self._log.entries(*given, **bounds)
        known = [entry for entry in found if entry.first_seq <= self.end]
        return known, more and known == found


class Unreliable(Gateway):
    """Messages are refused, arrive without an answer, or meet another invocation."""

    def __init__(self, history):
        super().__init__()
        self._history = history
        self.is_calm = False

    def post(self, connection_id, text):
        dice = self._history.dice
        fate = "arrives" if self.is_calm else dice.choice(FATES)
        if fate == "busy":
            raise ConnectionBusy(connection_id)
        if fate == "overlap":
            self._history.invoke(depth=1)
            self._history.check_cursors()
        if fate == "leaves" and connection_id in self.clients:
            self.clients[connection_id].is_open = False
            raise ConnectionGone(connection_id)
        super().post(connection_id, text)
        if fate == "unanswered":
            raise ConnectionBusy(connection_id)


FATES = ["arrives"] * 12 + ["busy"] * 3 + ["overlap"] * 3 + ["unanswered", "leaves"]


class History:
    """One table, one feed, a few clients, and what happens to them."""

    def __init__(self, bench, seed):
        self.dice = random.Random(seed)
        self._seed = seed.replace("/", "-")  # a connection id is never used twice
        self._bench = bench
        self.topic = bench.key.feed(bench.thread_id)
        self.pending = []
        self.log = Log(bench.app.log)
        self.gateway = Unreliable(self)
        self._store = StreamedRecords(bench.records, self.pending.append)
        self._depth = 0
        self._names = 0
        self._cursors = {}
        self.socket = make_socket_handler(self._app(), self.gateway)
        self._fan_outs = [make_handler(self._app(), self.gateway, Inline()) for _ in range(3)]

    def _app(self, plan=None):
        records = FaultyRecords(self._store, plan) if plan else self._store
        return replace(self._bench.app, records=records, log=self.log)

    # ------------------------------------------------------------ what happens
    def append(self):
        """A few more events have happened."""
        self.log.end = min(self.log.end + self.dice.randint(1, 4), END)
        key = {"pk": {"S": self.topic}, "sk": {"S": keys.entry(self.log.end, 1)}}
        change = {"Keys": key, "NewImage": {}, "SequenceNumber": f"a{self.log.end}"}
        self.pending.append({"eventName": "INSERT", "dynamodb": change})

    def come(self):
        """A client comes, or comes back with the last number that it has."""
        left = [c for c in self.gateway.clients.values() if not c.is_open]
        after = self.dice.choice(left).last if left else self.dice.randint(0, self.log.end)
        self._names += 1
        name = f"{self._seed}-c{self._names}"
        if left:
            self._drop(next(c for c in left if c.last == after))
        self.gateway.open(name, after)
        answer = connect(self.socket, name, headers={"x-api-key": KEY})
        assert answer["statusCode"] == 200
        self._subscribe(name, after)

    def again(self):
        """A client begins anew on the same connection, from an earlier place."""
        name = self._one()
        if name is None:
            return
        client = self.gateway.clients[name]
        say(self.socket, name, action="unsubscribe", session_id=self._bench.key.session_id)
        if client.is_open:
            client.last = self.dice.randint(0, client.last)
            self._subscribe(name, client.last)

    def leave(self):
        name = self._one()
        if name is not None:
            self.gateway.clients[name].is_open = False
            if self.dice.random() < 0.5:
                disconnect(self.socket, name)

    def invoke(self, depth=0):
        """Some of the records, in any order; those that it was not done with stay, and some of the
        others too.
        """
        if not self.pending or depth > 1 or self._depth > 1:
            return
        batch = self.dice.sample(self.pending, self.dice.randint(1, min(4, len(self.pending))))
        handler = self.dice.choice(self._fan_outs)
        if not self.gateway.is_calm and self.dice.random() < 0.25:
            handler = make_handler(self._app(self._fault()), self.gateway, Inline())
        if self._depth:
            handler = make_handler(self._app(), self.gateway, Inline())
        self._depth += 1
        try:
            answer = handler({"Records": batch}, None)
        except Killed:
            return
        finally:
            self._depth -= 1
        failed = {found["itemIdentifier"] for found in answer["batchItemFailures"]}
        for record in batch:
            is_done = record["dynamodb"]["SequenceNumber"] not in failed
            comes_again = not self.gateway.is_calm and self.dice.random() < 0.2
            if is_done and not comes_again and record in self.pending:
                self.pending.remove(record)

    def _fault(self):
        name, most = self.dice.choice([("query", 4), ("get", 4), ("write", 3)])
        faults = [Fault.REFUSED, Fault.KILLED_BEFORE, Fault.KILLED_AFTER]
        if name == "write":
            faults += [Fault.LOST, Fault.UNANSWERED]
        return {(name, self.dice.randint(1, most)): self.dice.choice(faults)}

    # ------------------------------------------------------------ how it goes
    def run(self):
        steps = [self.append] * 5 + [self.invoke] * 8 + [self.come] * 2 + [self.leave, self.again]
        self.append()
        self.come()
        for _ in range(22):
            self.dice.choice(steps)()
            self.check_cursors()
        self.gateway.is_calm = True
        while self.pending:
            self.invoke()
            self.check_cursors()
        for name, client in self.gateway.clients.items():
            if client.is_open:
                assert client.last == self.log.end, name
        for name in list(self.gateway.clients):
            disconnect(self.socket, name)
        left = self._bench.records.query(keys.listeners(self.topic)).items
        assert not {key.sk.removeprefix(keys.SOCKETS) for key, _ in left} & set(
            self.gateway.clients
        )
        self._bench.records.write([Write(key, delete=True) for key, _ in left])

    def check_cursors(self):
        """Of one subscription they only rise, and never beyond what its client has."""
        for key, row in self._bench.records.query(keys.listeners(self.topic)).items:
            before = self._cursors.get(row["subscription"], 0)
            assert before <= row["cursor"]
            self._cursors[row["subscription"]] = row["cursor"]
            client = self.gateway.clients.get(key.sk.removeprefix(keys.SOCKETS))
            if client is not None:
                assert row["cursor"] <= client.last

    def _one(self):
        names = [name for name, client in self.gateway.clients.items() if client.is_open]
        return self.dice.choice(names) if names else None

    def _drop(self, client):
        name = next(n for n, known in self.gateway.clients.items() if known is client)
        del self.gateway.clients[name]

    def _subscribe(self, name, after):
        place = {"session_id": self._bench.key.session_id, "after_seq": after}
        say(self.socket, name, action="subscribe", **place)


END = 30
KEY = "a key of the workspace of the session"


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    agent = asking_agent().model_copy(update={"tools": []})
    made = Bench(tmp_path_factory.mktemp("fan-out"), agent=agent)
    while len(made.events) < END:
        made.say("hello")
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    item = {"workspace_id": made.key.workspace_id, "key_id": "apikey_1", "kind": "api"}
    made.records.write([Write(keys.api_key(digest), put=item)])
    return made


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_skipped_and_no_cursor_moves_back(bench, seed):
    for number in range(HISTORIES):
        History(bench, f"{seed}/{number}").run()
