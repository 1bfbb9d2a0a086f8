"""The fan-out, one case at a time: what each connection is sent, and what becomes of it."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from dataclasses import replace
from datetime import timedelta

import pytest

from freehold import keys, listeners
from freehold.aws_cost.session_hour import Reader
from freehold.engine import recovery
from freehold.engine.purge import purge_session
from freehold.engine.turn import run_turn
from freehold.errors import ConnectionBusy
from freehold.ids import new_id
from freehold.ports import Write
from freehold.services.followers import MAX_ATTEMPTS
from freehold.services.sessions import delete_session
from freehold.testing.faulty_records import Fault, FaultyRecords, Killed
from freehold.testing.table_stream import StreamedRecords
from functions.fan_out.handler import make_handler
from functions.websocket.handler import make_handler as make_socket_handler
from tests.clocks import Clock
from tests.protocol.sessions import asking_agent
from tests.sockets import Gateway, Inline, connect, disconnect, say
from tests.unit.sessions import Bench

KEY = "a key of the workspace of the session"
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()


class Choosy(Gateway):
    """Refuses as often as `refusals` says of a connection. `posts` are all that were tried."""

    def __init__(self):
        super().__init__()
        self.refusals = {}
        self.posts = []
        self.kills = False

    def post(self, connection_id, text):
        self.posts.append(connection_id)
        if self.kills:
            self.kills = False
            raise Killed
        if self.refusals.get(connection_id, 0) > 0:
            self.refusals[connection_id] -= 1
            raise ConnectionBusy(connection_id)
        super().post(connection_id, text)


class World:
    """One session on a table with a stream, and the two functions."""

    def __init__(self, directory):
        self.pending = []
        self.clock = Clock()
        agent = asking_agent().model_copy(update={"tools": []})
        self.bench = Bench(directory, agent=agent)
        store = StreamedRecords(self.bench.records, self.pending.append)
        log = type(self.bench.app.log)(store, self.bench.app.blobs, self.bench.app.secrets)
        self.app = replace(self.bench.app, records=store, log=log, clock=self.clock)
        self.bench.app = self.app
        self.gateway = Choosy()
        self.socket = make_socket_handler(self.app, self.gateway)
        self.handler = make_handler(self.app, self.gateway, Inline())
        key = {"workspace_id": self.bench.key.workspace_id, "key_id": "apikey_1", "kind": "api"}
        store.write([Write(keys.api_key(DIGEST), put=key)])
        self.session_id = self.bench.key.session_id
        self.topic = self.bench.key.feed(self.bench.thread_id)

    def follow(self, name, **fields):
        client = self.gateway.open(name, fields.get("after_seq", self.end))
        assert connect(self.socket, name, headers={"x-api-key": KEY})["statusCode"] == 200
        say(self.socket, name, action="subscribe", session_id=self.session_id, **fields)
        return client

    @property
    def end(self):
        return self.bench.head.next_seq - 1

    def invoke(self, records=None, handler=None):
        """What was pending, or these; answers what failed. What that rings is pending then."""
        batch = list(self.pending) if records is None else records
        del self.pending[:]
        answer = (handler or self.handler)({"Records": batch}, None)
        return [found["itemIdentifier"] for found in answer["batchItemFailures"]]

    def settle(self):
        while self.pending:
            assert self.invoke() == []

    def preview(self, *frames):
        self.app.records.put(*listeners.preview_row(self.topic, frames, self.app.clock()))

    def row(self, name):
        return self.app.records.get([keys.socket_listener(self.topic, name)])[0]

    def rows(self):
        return [key.sk for key, _ in self.app.records.query(keys.listeners(self.topic)).items]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def kinds(client):
    return [event["type"] for event in client.events]


# ---------------------------------------------------------------- events
def test_a_follower_is_sent_what_follows_its_number(world):
    world.bench.say("one")
    world.pending.clear()
    after = world.end
    early, late = world.follow("early", after_seq=2), world.follow("late")
    world.bench.say("two")
    world.settle()
    stored = [event["type"] for event in world.bench.events]
    assert kinds(early) == stored[2:]
    assert kinds(late) == stored[after:]
    assert world.row("early")["cursor"] == world.row("late")["cursor"] == world.end


def test_to_subscribe_is_the_first_doorbell(world):
    world.bench.say("before")
    world.pending.clear()
    client = world.follow("a", after_seq=0)
    world.settle()
    assert client.last == world.end


def test_a_feed_that_nobody_follows_costs_one_query(world):
    world.bench.say("hello")
    faulty = FaultyRecords(world.app.records)
    handler = make_handler(replace(world.app, records=faulty), world.gateway, Inline())
    world.invoke(handler=handler)
    assert dict(faulty.calls) == {"query": 1}


def test_all_who_stand_at_one_place_are_served_by_one_reading(world):
    clients = [world.follow(f"c{n}") for n in range(20)]
    world.settle()
    world.bench.say("hello")
    reads = []
    scan = world.app.log.scan

    class Counted(type(world.app.log)):
        def scan(self, *given, **bounds):
            reads.append(bounds)
            return scan(*given, **bounds)

    app = world.app
    log = Counted(app.records, app.blobs, app.secrets)
    world.invoke(handler=make_handler(replace(app, log=log), world.gateway, Inline()))
    assert {client.last for client in clients} == {world.end}
    assert len(reads) == 2  # what follows, and that nothing follows then


def test_a_batch_has_a_few_pages_of_a_feed_in_memory_however_far_apart_its_followers_are(world):
    for _ in range(30):
        world.bench.say("z" * 120_000, drain=False)
    world.pending.clear()
    clients = [world.follow(f"c{n}", after_seq=n) for n in range(20)]
    tracemalloc.start()
    try:
        world.settle()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert {client.last for client in clients} == {world.end}
    assert most < 20_000_000  # each has two pages to read, of a megabyte each


def test_an_event_over_the_size_of_a_message_is_a_stub(world):
    client = world.follow("a")
    (sent,) = world.bench.send(
        {"type": "user.message", "content": [{"type": "text", "text": "z" * 120_000}]}
    )
    world.settle()
    stubs = [frame for frame in client.heard if frame["type"] == "event_stub"]
    assert {frame["event"]["id"] for frame in stubs} == {sent["id"]}
    assert all(len(json.dumps(frame)) < 1000 for frame in stubs)
    assert client.last == world.end


def test_a_session_that_is_deleted_ends_its_subscriptions(world):
    told, late = world.follow("told"), world.follow("late")
    world.settle()
    delete_session(world.app, world.bench.caller, world.session_id)
    record = list(world.pending)
    world.gateway.refusals["late"] = 1
    world.invoke(record)
    assert kinds(told)[-1] == "session.deleted"
    purge_session(world.app, world.bench.key)
    world.settle()
    assert late.heard[-1]["event"]["type"] == "session.deleted"
    assert world.rows() == []


# ---------------------------------------------------------------- connections that do not take it
def test_a_connection_that_is_gone_is_forgotten(world):
    world.follow("a").is_open = False
    world.settle()
    world.bench.say("hello")
    world.settle()
    assert world.rows() == []
    assert world.app.records.get([keys.connection("a")]) == [None]
    tried = len(world.gateway.posts)
    world.bench.say("again")
    world.settle()
    assert len(world.gateway.posts) == tried


def test_one_that_is_busy_holds_up_nobody_and_goes_on_by_itself(world):
    slow, quick = world.follow("slow"), world.follow("quick")
    world.settle()
    world.gateway.refusals["slow"] = 2
    world.bench.say("hello")
    assert world.invoke() == []
    assert (quick.last, slow.last) == (world.end, 0)
    assert world.row("slow")["attempts"] == 1
    world.settle()
    assert slow.last == world.end
    assert world.row("slow")["attempts"] == 0


def test_while_it_is_busy_the_feed_leaves_it_to_its_own_doorbell(world):
    world.follow("slow")
    world.settle()
    world.gateway.refusals["slow"] = 1
    world.bench.say("one")
    world.invoke()
    own = list(world.pending)
    world.pending.clear()
    tried = len(world.gateway.posts)
    world.bench.say("two")
    world.invoke()
    assert len(world.gateway.posts) == tried
    world.invoke(own)
    assert world.gateway.clients["slow"].last == world.end


def test_where_its_own_doorbell_is_lost_the_feed_serves_it_later(world):
    world.follow("slow")
    world.settle()
    world.gateway.refusals["slow"] = 1
    world.bench.say("one")
    world.invoke()
    world.pending.clear()
    world.clock.ahead = timedelta(seconds=31)
    world.bench.say("two")
    world.settle()
    assert world.gateway.clients["slow"].last == world.end


def test_one_that_takes_nothing_ten_times_is_closed(world):
    client = world.follow("stuck")
    world.settle()
    world.gateway.refusals["stuck"] = 1000
    world.bench.say("hello")
    world.settle()
    assert not client.is_open
    assert world.gateway.posts.count("stuck") == MAX_ATTEMPTS
    assert world.rows() == []


def test_one_that_takes_a_little_each_time_is_not_closed(world):
    class Sluggish(Choosy):
        def post(self, connection_id, text):
            super().post(connection_id, text)
            self.refusals[connection_id] = 1

    world.gateway = Sluggish()
    world.socket = make_socket_handler(world.app, world.gateway)
    world.handler = make_handler(world.app, world.gateway, Inline())
    client = world.follow("sluggish")
    for _ in range(3):
        world.bench.say("hello")
    world.settle()
    assert client.last == world.end > MAX_ATTEMPTS
    assert client.is_open


def test_a_connection_that_expired_is_sent_nothing(world):
    client = world.follow("old")
    world.settle()
    world.clock.ahead = timedelta(hours=2, seconds=1)
    world.bench.say("hello")
    world.settle()
    assert client.heard == []


def test_a_revoked_key_is_sent_a_refusal_and_no_event(world):
    client = world.follow("a")
    world.settle()
    world.app.records.write([Write(keys.api_key(DIGEST), delete=True)])
    world.bench.say("secret")
    world.settle()
    assert [frame["type"] for frame in client.heard] == ["error"]
    assert client.heard[0]["error"]["type"] == "authentication_error"
    assert not client.is_open
    assert world.rows() == []


# ---------------------------------------------------------------- batches
def test_a_feed_that_cannot_be_read_fails_its_records_alone(world, tmp_path):
    world.follow("a")
    world.settle()
    world.bench.say("hello")
    other = json.loads(json.dumps(world.pending[0], default=repr))
    other["dynamodb"]["Keys"]["pk"]["S"] = "wrkspc_z/feed/sthr_z"
    other["dynamodb"]["SequenceNumber"] = "other"
    batch = [*world.pending, other]
    faulty = FaultyRecords(world.app.records, {("query", 2): Fault.REFUSED})
    handler = make_handler(replace(world.app, records=faulty), world.gateway, Inline())
    assert world.invoke(batch, handler) == ["other"]
    assert world.gateway.clients["a"].last == world.end


def test_a_record_of_something_else_says_nothing(world):
    record = {
        "eventName": "INSERT",
        "dynamodb": {
            "Keys": {"pk": {"S": "wrkspc_a/session/sesn_1"}, "sk": {"S": "state"}},
            "NewImage": {},
            "SequenceNumber": "1",
        },
    }
    assert world.invoke([record]) == []
    assert world.gateway.posts == []


def test_what_was_sent_for_an_earlier_subscription_does_not_move_this_one(world):
    """An invocation that is late writes where it stands: not into what began anew meanwhile."""
    world.bench.say("one")
    world.pending.clear()

    class Turning(Choosy):
        def post(self, connection_id, text):
            super().post(connection_id, text)
            if len(self.posts) == 3:
                say(world.socket, "a", action="unsubscribe", session_id=world.session_id)
                self.clients["a"].last = 0
                fields = {"session_id": world.session_id, "after_seq": 0}
                say(world.socket, "a", action="subscribe", **fields)
                raise ConnectionBusy(connection_id)

    world.gateway = Turning()
    world.socket = make_socket_handler(world.app, world.gateway)
    world.handler = make_handler(world.app, world.gateway, Inline())
    client = world.follow("a", after_seq=0)
    world.settle()
    assert client.last == world.end


# ---------------------------------------------------------------- previews
def start(event_id, kind="agent.message"):
    return {"type": "event_start", "event": {"type": kind, "id": event_id}}


def delta(event_id, text):
    content = {"type": "text", "text": text}
    delta_ = {"type": "content_delta", "index": 0, "content": content}
    return {"type": "event_delta", "event_id": event_id, "delta": delta_}


@pytest.fixture
def asking(world):
    """A model request that has begun: its span has a start and no end yet."""
    wanting = world.follow("wanting", event_deltas=["agent.message"])
    plain = world.follow("plain")
    world.settle()

    class Fatal:
        def open(self, request):
            raise Killed

    world.bench.say("hello", drain=False)
    run = world.bench.runs.waiting[0]
    with pytest.raises(Killed):
        run_turn(replace(world.app, model=Fatal()), run)
    assert world.bench.head.span

    def finish():
        recovery.release(world.app, run, failed=True)
        world.bench.runs.drain(world.app)

    return wanting, plain, finish


def texts(client):
    return "".join(
        frame["delta"]["content"]["text"] for frame in client.previews if "delta" in frame
    )


def test_previews_go_to_who_asked_behind_the_events_before_them(world, asking):
    wanting, plain, _ = asking
    event_id = new_id("sevt")
    world.preview(start(event_id), delta(event_id, "Hel"))
    world.preview(delta(event_id, "lo"))
    world.settle()
    assert texts(wanting) == "Hello"
    assert wanting.last == world.end
    assert "span.model_request_start" in kinds(wanting)
    first = next(n for n, f in enumerate(wanting.heard) if f["type"] == "preview")
    assert all(frame["type"] == "preview" for frame in wanting.heard[first:])
    assert plain.previews == []


def test_what_a_ring_asks_of_the_table_is_what_its_cost_is_computed_from(world, asking):
    _, _, finish = asking
    disconnect(world.socket, "plain")
    world.settle()
    faulty = FaultyRecords(world.app.records)
    log = type(world.app.log)(faulty, world.app.blobs, world.app.secrets)
    app = replace(world.app, records=faulty, log=log)
    handler = make_handler(app, world.gateway, Inline())

    def counted(records=None):
        faulty.calls.clear()
        world.invoke(records, handler)
        return faulty.calls["query"] + faulty.calls["get"], faulty.calls["write"]

    event_id = new_id("sevt")
    world.preview(start(event_id), delta(event_id, "one"))
    assert counted() == (Reader().reads_of_a_preview, 1)
    finish()
    assert counted(world.pending[:1]) == (Reader().reads_of_a_commit, 1)


def test_a_record_that_is_repeated_repeats_no_preview(world, asking):
    wanting, _, _ = asking
    event_id = new_id("sevt")
    world.preview(start(event_id), delta(event_id, "one "))
    first = list(world.pending)
    world.settle()
    world.preview(delta(event_id, "two "))
    second = list(world.pending)
    world.settle()
    world.invoke(first)
    assert texts(wanting) == "one two "
    # The last one may have been sent or not: from here on nothing would be sure to be next.
    world.invoke(second)
    world.preview(delta(event_id, "three"))
    world.settle()
    assert "one two three".startswith(texts(wanting))


def test_what_a_crash_may_have_kept_back_ends_the_preview(world, asking):
    wanting, _, _ = asking
    event_id = new_id("sevt")
    world.preview(start(event_id), delta(event_id, "one "))
    world.settle()
    world.preview(delta(event_id, "two "))
    second = list(world.pending)
    world.gateway.kills = True
    with pytest.raises(Killed):
        world.invoke()
    assert world.invoke(second) == []
    world.preview(delta(event_id, "three"))
    world.settle()
    assert texts(wanting) == "one "


def test_no_preview_comes_after_its_event(world, asking):
    wanting, _, finish = asking
    event_id = new_id("sevt")
    world.preview(start(event_id), delta(event_id, "late"))
    record = list(world.pending)
    world.pending.clear()
    finish()
    world.settle()
    assert "span.model_request_end" in kinds(wanting)
    world.invoke(record)
    assert wanting.previews == []


def test_of_a_request_that_began_before_it_came_nobody_is_shown_a_part(world, asking):
    late = world.follow("late", event_deltas=["agent.message"])
    event_id = new_id("sevt")
    world.preview(start(event_id), delta(event_id, "Hello"))
    world.settle()
    assert late.previews == []


def test_previews_of_what_was_not_asked_for_are_left_out(world, asking):
    wanting, _, _ = asking
    thought, said = new_id("sevt"), new_id("sevt")
    world.preview(start(thought, "agent.thinking"), start(said), delta(said, "Hi"))
    world.settle()
    assert {frame.get("event_id") or frame["event"]["id"] for frame in wanting.previews} == {said}


def test_a_preview_without_its_start_is_not_shown(world, asking):
    wanting, _, _ = asking
    world.preview(delta(new_id("sevt"), "Hello"))
    world.settle()
    assert wanting.previews == []


def test_where_one_is_not_taken_the_rest_is_left_out_and_events_go_on(world, asking):
    wanting, _, finish = asking
    event_id = new_id("sevt")
    world.preview(start(event_id), delta(event_id, "one "))
    world.settle()
    world.gateway.refusals["wanting"] = 1
    world.preview(delta(event_id, "two "))
    world.settle()
    world.preview(delta(event_id, "three"))
    world.settle()
    assert texts(wanting) == "one "
    finish()
    world.settle()
    assert wanting.last == world.end


def test_a_disconnect_deletes_all_that_the_connection_had(world):
    world.follow("a")
    disconnect(world.socket, "a")
    disconnect(world.socket, "a")
    assert world.rows() == []
    assert world.app.records.query(keys.connection("a").pk).items == ()
