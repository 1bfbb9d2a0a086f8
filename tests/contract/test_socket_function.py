"""The WebSocket's function on AWS: it says what the laptop's `/ws` says."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace

import pytest

from freehold import keys
from freehold.errors import AmbiguousWrite, ConnectionBusy, StaleRead
from freehold.services import keys as api_keys
from functions.socket.actions import MAX_SUBSCRIPTIONS
from functions.websocket.handler import make_handler
from tests.contract.test_websocket import REFUSED, message, words
from tests.servers import server_in_process
from tests.sockets import Gateway, connect, disconnect, event, say
from tests.unit.apps import Interloper


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with server_in_process(tmp_path_factory.mktemp("socket-function")) as local:
        yield local


@pytest.fixture(scope="module")
def gateway():
    return Gateway()


@pytest.fixture(scope="module")
def handler(server, gateway):
    return make_handler(server.app, gateway)


@pytest.fixture
def session(server):
    return server.new_session()


class Socket:
    """An open connection."""

    def __init__(self, server, handler, gateway, **handshake):
        self.name = secrets.token_hex(6)
        self.client = gateway.open(self.name)
        self._handler = handler
        handshake = handshake or {"headers": {"x-api-key": server.key}}
        self.answer = connect(handler, self.name, **handshake)

    def ask(self, **action):
        """The answer, None where there is none."""
        before = len(self.client.heard)
        assert say(self._handler, self.name, **action) == {"statusCode": 200}
        found = self.client.heard[before:]
        assert len(found) <= 1
        return found[0] if found else None

    def ask_raw(self, **fields):
        self._handler(event("MESSAGE", self.name, **fields), None)
        return self.client.heard[-1]


@pytest.fixture
def socket(server, handler, gateway):
    opened = Socket(server, handler, gateway)
    assert opened.answer["statusCode"] == 200
    return opened


# ---------------------------------------------------------------- handshakes
def refusal(server, handler, gateway, **handshake):
    answer = Socket(server, handler, gateway, **handshake).answer
    body = json.loads(answer["body"])
    assert answer["headers"]["request-id"] == body["request_id"]
    return answer["statusCode"], body["error"]["type"]


@pytest.mark.parametrize(
    ("handshake", "expected"),
    [
        ({"headers": {}, "query": {"x": "y"}}, (400, "invalid_request_error")),
        ({"headers": {"accept": "*"}}, (401, "authentication_error")),
        ({"headers": {"x-api-key": "wrong"}}, (401, "authentication_error")),
        ({"query": {"ticket": "wrong"}}, (401, "authentication_error")),
        ({"query": {"ticket": ["a", "b"]}}, (400, "invalid_request_error")),
        ({"headers": {"Sec-WebSocket-Protocol": "chat"}}, (400, "invalid_request_error")),
        ({"headers": {"Sec-WebSocket-Protocol": "freehold, "}}, (400, "invalid_request_error")),
        ({"headers": {"Sec-WebSocket-Protocol": "freehold, a, b"}}, (400, "invalid_request_error")),
        ({"headers": {"Sec-WebSocket-Protocol": "freehold, a"}}, (401, "authentication_error")),
        (
            {"headers": {"x-api-key": "a", "Sec-WebSocket-Protocol": "freehold, a"}},
            (400, "invalid_request_error"),
        ),
    ],
)
def test_a_handshake_is_refused_with_a_status_and_the_envelope(
    server, handler, gateway, handshake, expected
):
    assert refusal(server, handler, gateway, **handshake) == expected


def test_another_workspace_is_refused(server, handler, gateway):
    headers = {"x-api-key": server.key, "anthropic-workspace-id": "wrkspc_other"}
    assert refusal(server, handler, gateway, headers=headers)[0] == 403


def test_a_key_comes_in_a_header_or_among_the_subprotocols(server, handler, gateway):
    bearer = Socket(
        server, handler, gateway, headers={"Authorization": f"Bearer {server.key}"}
    ).answer
    assert bearer["statusCode"] == 200
    assert "Sec-WebSocket-Protocol" not in bearer["headers"]
    offered = {"Sec-WebSocket-Protocol": f"freehold, {server.key}"}
    browser = Socket(server, handler, gateway, headers=offered)
    assert browser.answer["headers"]["Sec-WebSocket-Protocol"] == "freehold"
    assert server.key not in json.dumps(browser.answer)
    assert browser.ask(action="ping") == {"type": "pong"}


def test_a_ticket_opens_one_connection(server, handler, gateway):
    made = server.request("POST", "/v1/ws-tickets").json()["ticket"]
    first = Socket(server, handler, gateway, query={"ticket": made})
    assert first.ask(action="ping") == {"type": "pong"}
    assert refusal(server, handler, gateway, query={"ticket": made})[0] == 401


# ---------------------------------------------------------------- actions
@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED.keys())
def test_a_send_is_refused_in_the_words_of_the_post(server, session, socket, body):
    place = f"/v1/sessions/{session}/events"
    over_http = server.request("POST", place, content=json.dumps(body).encode())
    assert over_http.status_code == 400
    refused = socket.ask(action="send", session_id=session, **body)
    assert (refused["type"], refused["action"]) == ("error", "send")
    assert words(refused["error"]) == words(over_http.json()["error"])
    assert server.events(session) == []


def test_a_send_is_answered_as_the_post_is_and_may_be_repeated(server, session, socket):
    action = {"action": "send", "session_id": session, "events": [message("hello")]}
    sent = socket.ask(**action, idempotency_key="once")
    assert set(sent) == {"type", "session_id", "data"}
    again = socket.ask(**action, idempotency_key="once")
    assert again == sent
    assert sent["data"][0]["id"] in {e["id"] for e in server.until_idle(session)}


def test_one_that_leaves_while_it_subscribes_leaves_nothing(server, handler, gateway, session):
    records = Interloper(server.app.records)
    racing = make_handler(replace(server.app, records=records), gateway)
    socket = Socket(server, racing, gateway)
    records.act = lambda: disconnect(handler, socket.name)
    assert socket.ask(action="subscribe", session_id=session)["error"]["type"] == (
        "authentication_error"
    )
    assert server.app.records.query(keys.connection(socket.name).pk).items == ()


class Contested:
    """The store where a transaction ends as `outcome` says, as many as `spared` after the next: it
    met another one of the same rows, or its answer was lost, whether it `lands` or not.
    """

    def __init__(self, records, outcome, *, lands=False):
        self._records = records
        self._outcome = outcome
        self._lands = lands
        self.spared = -1

    def __getattr__(self, name):
        return getattr(self._records, name)

    def write(self, writes):
        self.spared -= 1
        if self.spared != -1 or self._lands:
            self._records.write(writes)
        if self.spared == -1:
            raise self._outcome


OUTCOMES = [(StaleRead(), False), (AmbiguousWrite(), False), (AmbiguousWrite(), True)]


@pytest.mark.parametrize("spared", [0, 1])
@pytest.mark.parametrize(("outcome", "lands"), OUTCOMES, ids=["met", "lost", "landed"])
def test_one_that_leaves_while_its_cursor_is_moved_leaves_nothing(
    server, handler, gateway, session, outcome, lands, spared
):
    """Rows that a fan-out writes at the same moment are deleted all the same."""
    socket = Socket(server, handler, gateway)
    socket.ask(action="subscribe", session_id=session)
    records = Contested(server.app.records, outcome, lands=lands)
    records.spared = spared
    disconnect(make_handler(replace(server.app, records=records), gateway), socket.name)
    assert records.spared < -1
    assert server.app.records.query(keys.connection(socket.name).pk).items == ()


@pytest.mark.parametrize(("outcome", "lands"), OUTCOMES, ids=["met", "lost", "landed"])
def test_subscriptions_that_are_made_at_the_same_moment_are_each_made(
    server, gateway, session, outcome, lands
):
    """Each touches the row of the connection, and one that met another is no refusal."""
    records = Contested(server.app.records, outcome, lands=lands)
    socket = Socket(server, make_handler(replace(server.app, records=records), gateway), gateway)
    records.spared = 0
    assert socket.ask(action="subscribe", session_id=session) is None
    assert socket.ask(action="subscribe", session_id=session)["type"] == "error"
    socket.ask(action="unsubscribe", session_id=session)


def test_an_answer_over_the_size_of_a_message_names_its_events(server, session, socket):
    many = [message("e" * 200) for _ in range(350)]
    answer = socket.ask(action="send", session_id=session, events=many)
    assert answer["type"] == "sent_stub"
    assert len(answer["data"]) == 350
    assert len(json.dumps(answer)) <= 100_000
    assert {e["id"] for e in answer["data"]} <= {e["id"] for e in server.events(session)}
    server.until_idle(session)


@pytest.mark.parametrize(
    ("fields", "type_"),
    [
        ({"body": "no json"}, "invalid_request_error"),
        ({"body": "[]"}, "invalid_request_error"),
        ({"body": '{"action":"dance"}'}, "invalid_request_error"),
        ({"body": '{"action":"ping","colour":1}'}, "invalid_request_error"),
        ({"body": "AAAA", "isBase64Encoded": True}, "invalid_request_error"),
        ({"body": " " * 131_073}, "request_too_large"),
    ],
)
def test_what_is_not_understood_is_refused_and_the_connection_goes_on(socket, fields, type_):
    assert socket.ask_raw(**fields)["error"]["type"] == type_
    assert socket.ask(action="ping") == {"type": "pong"}


def test_a_defect_is_an_error_frame_that_says_nothing_of_it(server, gateway, session, monkeypatch):
    handler = make_handler(server.app, gateway)
    socket = Socket(server, handler, gateway)
    monkeypatch.setattr("functions.websocket.actions.post_events", lambda *_: 1 / 0)
    refused = socket.ask(action="send", session_id=session, events=[message("x")])
    assert refused["error"]["type"] == "api_error"
    assert "division" not in json.dumps(refused)


def test_subscriptions_are_counted_refused_twice_and_ended(server, session, socket):
    subscribe = {"action": "subscribe", "session_id": session}
    assert socket.ask(**subscribe) is None
    assert "Already subscribed" in socket.ask(**subscribe)["error"]["message"]
    assert "beyond the end" in socket.ask(**subscribe, after_seq=5)["error"]["message"]
    assert socket.ask(action="unsubscribe", session_id=session) is None
    assert "no such" in socket.ask(action="unsubscribe", session_id=session)["error"]["message"]
    unknown = socket.ask(action="subscribe", session_id="sesn_" + "0" * 26)
    assert unknown["error"]["type"] == "not_found_error"


def test_a_connection_follows_so_many_feeds_and_no_more(server, handler, gateway, monkeypatch):
    monkeypatch.setattr("functions.websocket.actions.MAX_SUBSCRIPTIONS", 2)
    assert MAX_SUBSCRIPTIONS > 2
    socket = Socket(server, handler, gateway)
    answers = [socket.ask(action="subscribe", session_id=server.new_session()) for _ in range(3)]
    assert answers[:2] == [None, None]
    assert "At most 2" in answers[2]["error"]["message"]


def test_a_stranger_follows_nothing_of_mine(server, handler, gateway, session):
    secret = api_keys.create_key(server.app.records, "strangers")
    socket = Socket(server, handler, gateway, headers={"x-api-key": secret})
    for action in ("subscribe", "unsubscribe"):
        assert socket.ask(action=action, session_id=session)["type"] == "error"
    sent = socket.ask(action="send", session_id=session, events=[message("x")])
    assert sent["error"]["type"] == "not_found_error"


def test_a_revoked_key_ends_its_connection_even_where_it_only_pings(server, handler, gateway):
    secret = api_keys.create_key(server.app.records, "guests")
    socket = Socket(server, handler, gateway, headers={"x-api-key": secret})
    assert socket.ask(action="ping") == {"type": "pong"}
    (key,) = [k for k in api_keys.list_keys(server.app.records) if k.workspace == "guests"]
    api_keys.revoke_key(server.app.records, key.id)
    refused = socket.ask(action="ping")
    assert (refused["action"], refused["error"]["type"]) == (None, "authentication_error")
    assert not socket.client.is_open
    assert server.app.records.get([keys.connection(socket.name)]) == [None]


def test_after_a_disconnect_nothing_is_added(server, handler, gateway, session):
    socket = Socket(server, handler, gateway)
    disconnect(handler, socket.name)
    socket.ask(action="subscribe", session_id=session)
    assert server.app.records.query(keys.connection(socket.name).pk).items == ()


@pytest.mark.parametrize(("refusals", "stays"), [(2, True), (3, False)])
def test_who_does_not_take_an_answer_is_let_go(server, refusals, stays):
    class Busy(Gateway):
        def post(self, connection_id, text):
            left.append(text)
            if len(left) <= refusals:
                raise ConnectionBusy(connection_id)
            super().post(connection_id, text)

    left, busy = [], Busy()
    socket = Socket(server, make_handler(server.app, busy), busy)
    assert socket.ask(action="ping") == ({"type": "pong"} if stays else None)
    assert socket.client.is_open is stays
    assert (server.app.records.get([keys.connection(socket.name)]) != [None]) is stays


def test_a_connection_is_stored_without_its_key(server, socket):
    item = server.app.records.get([keys.connection(socket.name)])[0]
    assert server.key not in repr(item)
    assert item["expires_at"] > 0
