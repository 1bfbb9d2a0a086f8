"""The WebSocket's `send`, its tickets, and keys that are revoked under it (DESIGN 8, 9)."""

from __future__ import annotations

import json
import re
import secrets
import threading
from datetime import UTC, datetime, timedelta

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from freehold.engine import recovery
from freehold.services import keys
from tests.clocks import Clock
from tests.contract.test_errors import check
from tests.servers import server_in_thread, wait_for
from tests.streams import open_stream


@pytest.fixture(scope="module")
def clock():
    return Clock()


@pytest.fixture(scope="module")
def server(tmp_path_factory, clock):
    directory = tmp_path_factory.mktemp("socket")
    with server_in_thread(directory, clock=clock, settings={"ping_seconds": 0.2}) as live:
        yield live


@pytest.fixture
def session(server):
    return server.new_session()


def dial(server, query="", *, key=None):
    address = server.url.replace("http", "ws") + "/ws" + query
    headers = {} if key is None else {"x-api-key": key}
    return connect(address, additional_headers=headers)


@pytest.fixture
def ws(server):
    with dial(server, key=server.key) as socket:
        yield socket


def ask(ws, **action):
    """What one action is answered."""
    ws.send(json.dumps(action))
    return json.loads(ws.recv(timeout=20))


def message(text):
    return {"type": "user.message", "content": [{"type": "text", "text": text}]}


def post(server, session, body):
    return server.request("POST", f"/v1/sessions/{session}/events", json=body)


# ---------------------------------------------------------------- send
def test_a_send_is_answered_with_the_events_as_stored(server, session, ws):
    sent = ask(ws, action="send", session_id=session, events=[message("one"), message("two")])
    assert set(sent) == {"type", "session_id", "data"}
    assert (sent["type"], sent["session_id"]) == ("sent", session)
    history = server.until_idle(session)
    seen = {event["id"]: event for event in history}
    for event, text in zip(sent["data"], ("one", "two"), strict=True):
        assert event["content"][0]["text"] == text
        assert set(event) == set(seen[event["id"]])
    shown = post(server, session, {"events": [message("three")]}).json()["data"][0]
    assert set(shown) == set(sent["data"][0])


def test_one_socket_sends_and_follows(server, session, ws):
    ws.send(json.dumps({"action": "subscribe", "session_id": session}))
    sent = ask(ws, action="send", session_id=session, events=[message("hello")])
    frames = [sent]
    while frames[-1].get("event", {}).get("type") != "session.status_idle":
        frames.append(json.loads(ws.recv(timeout=20)))
    (answer,) = [frame for frame in frames if frame["type"] == "sent"]
    events = [frame["event"] for frame in frames if frame["type"] == "event"]
    assert answer["data"][0]["id"] in {event["id"] for event in events}
    assert [frame["seq"] for frame in frames if frame["type"] == "event"] == list(range(1, 11))


REFUSED = {
    "nothing": {},
    "no events": {"events": []},
    "an unknown field": {"events": [{"type": "user.interrupt"}], "colour": 1},
    "an unknown field of an event": {"events": [{"type": "user.interrupt", "colour": 1}]},
    "an unknown type": {"events": [{"type": "user.dance"}]},
    "a missing field": {"events": [{"type": "user.message"}]},
    "an empty text": {"events": [message(" ")]},
    "nobody waits for it": {
        "events": [{"type": "user.tool_confirmation", "tool_use_id": "sevt_x", "result": "allow"}]
    },
    "not yet": {"events": [{"type": "user.define_outcome", "description": "d"}]},
    "half a pair": {"events": [message("\ud800")]},
    "no list": {"events": {"type": "user.interrupt"}},
}


def words(error):
    """A refusal, without where in its own text the sender erred: a message has more around it."""
    return {**error, "message": re.sub(r"column \d+", "column", error["message"])}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED.keys())
def test_a_send_is_refused_in_the_words_of_the_post(server, session, ws, body):
    over_http = server.request(
        "POST", f"/v1/sessions/{session}/events", content=json.dumps(body).encode()
    )
    assert over_http.status_code == 400
    refused = ask(ws, action="send", session_id=session, **body)
    assert (refused["type"], refused["action"]) == ("error", "send")
    assert words(refused["error"]) == words(over_http.json()["error"])
    assert ask(ws, action="ping") == {"type": "pong"}
    assert server.events(session) == []


def test_what_the_post_answers_404_and_archived_sessions_answer_400(server, session, ws):
    nobody = "sesn_" + "0" * 26
    server.request("POST", f"/v1/sessions/{session}/archive")
    for place in (nobody, "../x", session):
        body = {"events": [message("hello")]}
        refused = ask(ws, action="send", session_id=place, **body)
        if place != "../x":
            assert refused["error"] == post(server, place, body).json()["error"]
        assert refused["type"] == "error"


@pytest.mark.parametrize(
    ("action", "named"),
    [
        ({"session_id": 1, "events": []}, "session_id"),
        ({"events": []}, "session_id"),
        ({"session_id": "x", "idempotency_key": 1, "events": []}, "idempotency_key"),
    ],
)
def test_what_the_action_lacks_is_named(ws, action, named):
    assert named in ask(ws, action="send", **action)["error"]["message"]


def test_a_send_beyond_the_size_of_a_message_is_sent_over_http(server, session, ws):
    events = [message("x" * 140_000)]
    refused = ask(ws, action="send", session_id=session, events=events)
    assert refused["error"]["type"] == "request_too_large"
    assert "131072" in refused["error"]["message"]
    assert "HTTP" in refused["error"]["message"]
    assert post(server, session, {"events": events}).status_code == 200
    assert ask(ws, action="send", session_id=session, events=[message("x" * 130_000)])["data"]


def test_a_message_nested_deeply_is_refused(server, session, ws):
    deep = "[" * 900 + "]" * 900
    ws.send(f'{{"action": "send", "session_id": "{session}", "events": {deep}}}')
    assert json.loads(ws.recv(timeout=20))["error"]["type"] == "invalid_request_error"


def test_a_send_may_be_repeated_under_a_key(server, session, ws):
    key = secrets.token_hex(4)
    action = {"action": "send", "session_id": session, "idempotency_key": key}
    first = ask(ws, **action, events=[message("once")])
    with dial(server, key=server.key) as again:
        assert ask(again, **action, events=[message("once")]) == first
        other = ask(again, **action, events=[message("twice")])
        assert "another request" in other["error"]["message"]
    said = [e for e in server.until_idle(session) if e["type"] == "user.message"]
    assert {event["id"] for event in said} == {first["data"][0]["id"]}


def test_a_stranger_cannot_send_to_my_session(server, session):
    with dial(server, key=keys.create_key(server.app.records, "stranger")) as theirs:
        refused = ask(theirs, action="send", session_id=session, events=[message("hello")])
    assert refused["error"]["type"] == "not_found_error"
    assert server.events(session) == []


# ---------------------------------------------------------------- tickets
def ticket_of(server, **options):
    answer = server.request("POST", "/v1/ws-tickets", **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refusal(server, query, *, key=None, status=401):
    with pytest.raises(InvalidStatus) as refused:
        dial(server, query, key=key)
    assert refused.value.response.status_code == status
    return json.loads(refused.value.response.body)["error"]


def test_a_ticket_opens_one_socket_as_its_caller(server, session):
    made = ticket_of(server)
    assert set(made) == {"type", "ticket", "expires_at"}
    assert made["type"] == "ws_ticket"
    left = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=55) < left <= timedelta(seconds=60)
    with dial(server, f"?ticket={made['ticket']}") as socket:
        assert ask(socket, action="send", session_id=session, events=[message("hi")])["data"]
        assert refusal(server, f"?ticket={made['ticket']}")["message"] == "invalid ticket"
        assert ask(socket, action="ping") == {"type": "pong"}


def test_of_many_who_use_a_ticket_at_once_one_comes_in(server):
    made, outcomes = ticket_of(server)["ticket"], []

    def use():
        try:
            with dial(server, f"?ticket={made}") as socket:
                outcomes.append(ask(socket, action="ping")["type"])
        except InvalidStatus as refused:
            outcomes.append(refused.response.status_code)

    threads = [threading.Thread(target=use) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == ["401"] * 11 + ["pong"]


def test_a_ticket_lasts_a_minute(server, clock):
    early, late = ticket_of(server)["ticket"], ticket_of(server)["ticket"]
    try:
        clock.ahead += timedelta(seconds=58)
        with dial(server, f"?ticket={early}") as socket:
            assert ask(socket, action="ping") == {"type": "pong"}
        clock.ahead += timedelta(seconds=3)
        assert refusal(server, f"?ticket={late}")["type"] == "authentication_error"
    finally:
        clock.ahead = timedelta()
    assert refusal(server, f"?ticket={late}"), "it was used, though it had expired"


def test_a_ticket_nobody_used_is_dropped_by_the_sweep(server, clock):
    before = len(server.app.records.due("expire/"))
    ticket_of(server)
    assert len(server.app.records.due("expire/")) == before + 1
    try:
        clock.ahead = timedelta(seconds=61)
        recovery.sweep(server.app)
    finally:
        clock.ahead = timedelta()
    items = server.app.records.get(server.app.records.due("expire/"))
    assert not [item for item in items if "key_digest" in item]


def test_a_ticket_of_a_revoked_key_opens_nothing(server):
    secret = keys.create_key(server.app.records, "tickets")
    made = ticket_of(server, key=secret)["ticket"]
    (key,) = [k for k in keys.list_keys(server.app.records) if k.workspace == "tickets"]
    keys.revoke_key(server.app.records, key.id)
    assert refusal(server, f"?ticket={made}")["message"] == "invalid ticket"


@pytest.mark.parametrize(
    "query", ["?ticket=", "?ticket=wrong", "?ticket=%ED%A0%80x", "?ticket=a%00"]
)
def test_what_is_no_ticket_is_refused(server, query):
    with pytest.raises(InvalidStatus) as refused:
        dial(server, query)
    assert refused.value.response.status_code in (400, 401)


@pytest.mark.parametrize("query", ["?colour=red", "?ticket=a&ticket=b", "?ticket"])
def test_a_query_that_is_not_understood_is_refused(server, query):
    assert refusal(server, query, key=server.key, status=400)["type"] == "invalid_request_error"


def test_a_key_and_a_ticket_are_one_too_many(server):
    made = ticket_of(server)["ticket"]
    text = refusal(server, f"?ticket={made}", key=server.key, status=400)["message"]
    assert "not both" in text
    with dial(server, f"?ticket={made}") as socket:
        assert ask(socket, action="ping") == {"type": "pong"}


def test_a_key_among_the_subprotocols_is_accepted_and_not_sent_back(server):
    address = server.url.replace("http", "ws") + "/ws"
    with connect(address, subprotocols=["freehold", server.key]) as socket:
        assert socket.subprotocol == "freehold"
        assert ask(socket, action="ping") == {"type": "pong"}
    for offered in (["freehold", "wrong"], ["chat"], ["chat", server.key]):
        with pytest.raises(InvalidStatus) as refused:
            connect(address, subprotocols=offered)
        assert refused.value.response.status_code == (401 if "freehold" in offered else 400)


def test_tickets_are_for_callers_with_a_key(server):
    check(server.request("POST", "/v1/ws-tickets", key="wrong"), 401, "authentication_error")


def test_a_ticket_is_stored_hashed(server):
    made = ticket_of(server)["ticket"]
    items = server.app.records.get(server.app.records.due("expire/"))
    assert made not in repr(items)


# ---------------------------------------------------------------- a key that is revoked
@pytest.fixture
def guest(server):
    """A key of a workspace of its own, and how to revoke it."""
    workspace = secrets.token_hex(4)
    secret = keys.create_key(server.app.records, workspace)
    (key,) = [k for k in keys.list_keys(server.app.records) if k.workspace == workspace]
    return secret, lambda: keys.revoke_key(server.app.records, key.id)


def guests_session(server, secret):
    agent = {"name": "A", "model": "claude-sonnet-5-5"}

    def made(path, body):
        return server.request("POST", path, json=body, key=secret).json()["id"]

    environment = made("/v1/environments", {"name": "e"})
    body = {"agent": made("/v1/agents", agent), "environment_id": environment}
    return made("/v1/sessions", body)


def test_a_revoked_key_sends_nothing_more_on_an_open_socket(server, guest):
    secret, revoke = guest
    session = guests_session(server, secret)
    with dial(server, key=secret) as socket:
        assert ask(socket, action="send", session_id=session, events=[message("one")])["data"]
        revoke()
        refused = ask(socket, action="send", session_id=session, events=[message("two")])
        assert refused["error"]["type"] == "authentication_error"
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=20)
    assert closed.value.rcvd.code == 1008


def test_what_a_revoked_key_follows_ends(server, guest):
    secret, revoke = guest
    session = guests_session(server, secret)
    headers = {"x-api-key": secret}
    with (
        dial(server, key=secret) as socket,
        open_stream(server, session, headers=headers) as stream,
    ):
        ask(socket, action="subscribe", session_id="x")
        socket.send(json.dumps({"action": "subscribe", "session_id": session}))
        assert ask(socket, action="ping") == {"type": "pong"}
        revoke()
        frame = json.loads(socket.recv(timeout=20))
        assert frame["error"]["type"] == "authentication_error"
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=20)
        last = stream.frames()[-1]
    assert last.type == "error"
    assert last.data["error"]["type"] == "authentication_error"
    wait_for(lambda: not server.web.hub._topics)


def test_a_configured_key_goes_on(server, session):
    with open_stream(server, session) as stream:
        for _ in range(2):  # after each the key is looked up
            assert stream.frame().type == "ping"
        server.say(session, "hello")
        assert stream.frames(until="session.status_idle")
