"""The deployed WebSocket, with a client of its own: what is written to a session arrives."""

from __future__ import annotations

import json
import threading
from collections import Counter
from contextlib import contextmanager, suppress

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.contract.test_sdk import TOOLSET, message, new_agent, new_environment, script
from tests.contract.test_websocket import REFUSED, words
from tests.e2e.conftest import create_key, run_freehold
from tests.e2e.test_session import bash, begin, history, results, until
from tests.servers import wait_for

PATIENCE = 60
ASKING = {
    **TOOLSET,
    "default_config": {"enabled": True, "permission_policy": {"type": "always_ask"}},
}


class Socket:
    """A client that keeps the rules: a number it has is dropped, one too far is a hole."""

    def __init__(self, account, session, connection, *, last=0):
        self.connection = connection
        self.last = last
        self.events = []
        self.previews = []
        self._account = account
        self._session = session

    def send(self, **action):
        self.connection.send(json.dumps(action))

    def frame(self):
        """The next one, whatever it is."""
        return json.loads(self.connection.recv(timeout=PATIENCE))

    def ask(self, **action):
        """The answer to an action, with what came before it taken in."""
        self.send(**action)
        while (frame := self.frame())["type"] in ("event", "event_stub", "preview"):
            self.take(frame)
        return frame

    def follow(self, **fields):
        self.send(action="subscribe", session_id=self._session.id, **fields)
        assert self.ask(action="ping") == {"type": "pong"}

    def take(self, frame):
        if frame["type"] == "preview":
            self.previews.append(frame["preview"])
            return
        assert frame["type"] in ("event", "event_stub"), frame
        assert frame["seq"] is None or frame["seq"] <= self.last + 1, (frame, self.last)
        if frame["seq"] is None or frame["seq"] == self.last + 1:
            self.last += 1
            self.events.append(frame["event"])

    def until(self, kind, count=1):
        """Takes frames until as many events of a type have come; answers the types of all."""
        while [event["type"] for event in self.events].count(kind) < count:
            self.take(self.frame())
        return [event["type"] for event in self.events]

    @property
    def ids(self):
        """Of events, the last sighting of each."""
        return list(dict.fromkeys(event["id"] for event in self.events))


@contextmanager
def dial(account, session=None, *, query="", headers=None, last=0, **options):
    url = account.deployment.connections_url.replace("http", "ws", 1) + query
    given = {"x-api-key": account.key} if headers is None else headers
    with connect(
        url, additional_headers=given, proxy=None, open_timeout=PATIENCE, **options
    ) as connection:
        yield Socket(account, session, connection, last=last)


@pytest.fixture
def session(client):
    return begin(client)


def listed(account, session):
    """What the list shows of a session, by id."""
    return {e["id"]: e for e in account.events(session.id)}


# ---------------------------------------------------------------- a session
def test_a_session_is_followed_from_its_start_to_its_end(account, client, session):
    rounds = ({"say": "Looking.", **bash("echo found")}, {"say": "It says {result}"})
    with dial(account, session) as socket:
        socket.follow(event_deltas=["agent.message"])
        sent = socket.ask(action="send", session_id=session.id, events=[script(*rounds)])
        assert sent["type"] == "sent"
        socket.until("session.status_idle")
    events = listed(account, session)
    assert set(socket.ids) == set(events)
    assert sent["data"][0]["id"] in events
    assert [events[i] for i in socket.ids if events[i] in socket.events]
    assert results(history(client, session)) == [("found", False)]


def test_an_approval_is_asked_for_and_given_on_the_socket(account, client):
    agent = new_agent(client, tools=[ASKING])
    environment = new_environment(client)
    session = client.beta.sessions.create(agent=agent.id, environment_id=environment.id)
    with dial(account, session) as socket:
        socket.follow()
        rounds = script(bash("echo permitted"), {"say": "Done."})
        socket.ask(action="send", session_id=session.id, events=[rounds])
        socket.until("session.status_idle")
        (use,) = [e for e in socket.events if e["type"] == "agent.tool_use"]
        assert socket.events[-1]["stop_reason"]["event_ids"] == [use["id"]]
        answer = {"type": "user.tool_confirmation", "tool_use_id": use["id"], "result": "allow"}
        assert socket.ask(action="send", session_id=session.id, events=[answer])["type"] == "sent"
        socket.until("session.status_idle", 2)
    assert results(history(client, session)) == [("permitted", False)]


def test_an_interrupt_on_the_socket_ends_the_turn(account, session):
    with dial(account, session) as socket:
        socket.follow()
        rounds = script(bash("sleep 300"), {"say": "Never."})
        socket.ask(action="send", session_id=session.id, events=[rounds])
        socket.until("agent.tool_use")
        socket.ask(action="send", session_id=session.id, events=[{"type": "user.interrupt"}])
        kinds = socket.until("session.status_idle")
    assert "agent.message" not in kinds
    (result,) = [e for e in socket.events if e["type"] == "agent.tool_result"]
    assert result["is_error"] is True


def test_a_thousand_events_arrive_in_order_and_wake_nothing_twice(account, session):
    many = [message(f"message {n}") for n in range(165)]
    with dial(account, session) as socket:
        socket.follow()
        for _ in range(3):
            account.post(f"/v1/sessions/{session.id}/events", {"events": many})
        kinds = socket.until("session.status_idle")
        while len(socket.events) < len(account.log_numbers(session.id)):
            socket.take(socket.frame())
    assert len(socket.events) >= 990
    assert kinds.count("user.message") >= 495
    epochs = Counter(
        call["name"]
        for call in account.recorded()
        if call["function"] == "wake" and call.get("operation") == "StartExecution"
    )
    assert max(epochs.values()) == 1


# ---------------------------------------------------------------- connections
def test_a_client_that_comes_back_after_a_number_misses_nothing(account, client, session):
    with dial(account, session) as socket:
        socket.follow()
        socket.ask(action="send", session_id=session.id, events=[script({"say": "One."})])
        socket.until("agent.message")
        seen = socket.last
    client.beta.sessions.events.send(session.id, events=[script({"say": "Two."})])
    until(client, session, lambda e: [x.type for x in e].count("session.status_idle") == 2)
    with dial(account, session, last=seen) as again:
        again.follow(after_seq=seen)
        while again.last < len(account.log_numbers(session.id)):
            again.take(again.frame())
    assert set(socket.ids) | set(again.ids) == set(listed(account, session))


def test_a_connection_that_ends_leaves_nothing(account, session):
    before = set(account.stored("/listeners/"))
    with dial(account, session) as socket:
        socket.follow()
        wait_for(lambda: set(account.stored("/listeners/")) - before)
    wait_for(lambda: not set(account.stored("/listeners/")) - before, seconds=30)


def test_a_connection_that_went_unnoticed_is_forgotten_with_the_next_event(
    account, client, session
):
    clients = account.deployment.clients
    table = account.deployment.output("Data", "TableName")
    with dial(account, session) as socket:
        socket.follow()
        (found,) = [
            item
            for item in clients("dynamodb").scan(TableName=table)["Items"]
            if item["sk"]["S"].startswith("socket/") and item["session_id"]["S"] == session.id
        ]
        # A row of a connection that API Gateway does not know: its $disconnect was lost.
        stale = {**found, "sk": {"S": "socket/stale"}}
        clients("dynamodb").put_item(TableName=table, Item=stale)
        client.beta.sessions.events.send(session.id, events=[message("hello")])
        socket.until("session.status_idle")
        wait_for(lambda: not account.stored("socket/stale"), seconds=30)


def test_a_client_that_does_not_read_holds_nobody_up(account, client, session):
    """Its socket is full of what it does not take; the other one has everything meanwhile."""
    with dial(account, session, max_queue=1) as slow, dial(account, session) as quick:
        slow.follow()
        quick.follow()
        big = script({"say": "x" * 60_000})
        for count in (1, 2, 3):
            client.beta.sessions.events.send(session.id, events=[big])
            quick.until("session.status_idle", count)
        slow.until("session.status_idle", 3)
    assert slow.ids == quick.ids


def test_a_large_event_comes_as_a_stub_whose_url_has_it(account, client, session):
    with dial(account, session) as socket:
        socket.follow()
        client.beta.sessions.events.send(session.id, events=[script({"say": "y" * 400_000})])
        while (frame := socket.frame())["type"] != "event_stub":
            socket.take(frame)
        stub = frame
    page = account.request("GET", stub["url"]).json()
    (event,) = page["data"]
    assert (event["id"], event["type"]) == (stub["event"]["id"], stub["event"]["type"])
    assert len(json.dumps(event)) > 100_000


def test_a_deleted_session_ends_what_follows_it(account, client, session):
    with dial(account, session) as socket:
        socket.follow()
        client.beta.sessions.delete(session.id)
        socket.until("session.deleted")
        wait_for(lambda: not [k for k in account.stored("/listeners/") if "socket/" in k], 30)


# ---------------------------------------------------------------- refusals
@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED.keys())
def test_a_send_is_refused_in_the_words_of_the_post(account, refused_on, body):
    socket, session = refused_on
    over_http = account.request(
        "POST", f"/v1/sessions/{session.id}/events", content=json.dumps(body).encode()
    )
    assert over_http.status_code == 400
    refused = socket.ask(action="send", session_id=session.id, **body)
    assert (refused["type"], refused["action"]) == ("error", "send")
    assert words(refused["error"]) == words(over_http.json()["error"])


@pytest.fixture(scope="module")
def refused_on(account):
    session = begin(account.client())
    with dial(account, session) as socket:
        yield socket, session


def handshake(account, **options):
    """Why it is refused."""
    with pytest.raises(InvalidStatus) as refused, dial(account, **options):
        pass
    answer = refused.value.response
    return answer.status_code, json.loads(answer.body)["error"]["type"]


def test_a_handshake_without_a_key_that_stands_is_refused(account):
    assert handshake(account, headers={}) == (401, "authentication_error")
    wrong = handshake(account, headers={"x-api-key": "wrong"})
    assert wrong == (401, "authentication_error")
    colour = handshake(account, query="?colour=red")
    assert colour == (400, "invalid_request_error")


def test_a_key_among_the_subprotocols_is_accepted_and_not_sent_back(account):
    with dial(account, headers={}, subprotocols=["freehold", account.key]) as socket:
        assert socket.connection.subprotocol == "freehold"
        assert socket.ask(action="ping") == {"type": "pong"}


def test_a_ticket_opens_one_socket(account, session):
    ticket = account.request("POST", "/v1/ws-tickets").json()["ticket"]
    with dial(account, session, headers={}, query=f"?ticket={ticket}") as socket:
        socket.follow()
    again = handshake(account, headers={}, query=f"?ticket={ticket}")
    assert again == (401, "authentication_error")


def test_a_revoked_key_ends_its_socket_with_the_next_event(account):
    url, workspace = account.deployment.url, "leaving"
    key = create_key(url, "--workspace", workspace)
    client = account.client(api_key=key)
    session = begin(client)
    with dial(account, session, headers={"x-api-key": key}) as socket:
        socket.follow()
        listed = run_freehold(url, "keys", "list", "--stack", "Freehold-Data").stdout
        (row,) = [line for line in listed.splitlines() if workspace in line]
        key_id = next(word for word in row.split() if word.startswith("apikey_"))
        client.beta.sessions.events.send(session.id, events=[message("before")])
        socket.until("user.message")
        assert (
            run_freehold(url, "keys", "revoke", key_id, "--stack", "Freehold-Data").returncode == 0
        )
        with suppress(ConnectionClosed):  # an event may have told it first
            socket.send(action="ping")
        rest = [json.loads(text) for text in socket.connection]
    # The emulator closes what it has not sent yet, the reason among it.
    reasons = {frame["error"]["type"] for frame in rest if frame["type"] == "error"}
    assert reasons <= {"authentication_error"}


def test_actions_of_many_connections_at_once_are_each_answered(account, session):
    answers = []

    def use():
        with dial(account, session) as socket:
            answers.append(socket.ask(action="ping"))

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [{"type": "pong"}] * 6
