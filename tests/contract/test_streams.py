"""Live streams on the wire: SSE and the WebSocket (BEHAVIOUR 8, DESIGN 8)."""

from __future__ import annotations

import json
import selectors
import socket
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from freehold.adapters.process_feed import ProcessFeed
from tests.servers import HEADERS, server_in_thread, wait_for
from tests.streams import open_stream

PLAIN_TURN = [
    "user.message",
    "session.status_running",
    "session.thread_status_running",
    "user.message",
    "span.model_request_start",
    "agent.message",
    "span.model_request_end",
    "session.thread_status_idle",
    "session.usage",
    "session.status_idle",
]
NOBODY = "sesn_00000000000000000000000000"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with server_in_thread(tmp_path_factory.mktemp("live"), settings={"ping_seconds": 0.3}) as live:
        yield live


@pytest.fixture
def session(server):
    return server.new_session()


def script(*rounds):
    return "script: " + json.dumps(list(rounds))


def types_of(frames):
    return [frame.type for frame in frames]


def is_quiet(server):
    """Whether nothing is followed: what a reader that left must leave behind."""
    return not server.web.hub._topics


# ---------------------------------------------------------------- SSE: the frames
def test_status_and_headers_come_before_any_event(server, session):
    with open_stream(server, session) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["request-id"].startswith("req_")
        assert stream.headers["anthropic-workspace-id"].startswith("wrkspc_")


def test_a_turn_frame_by_frame(server, session):
    with open_stream(server, session) as stream:
        server.say(session, script({"say": "Hi\nthere \u2028 ü"}))
        frames = stream.frames(until="session.status_idle")
    assert types_of(frames) == PLAIN_TURN
    assert [frame.id for frame in frames] == list(range(1, 11))
    for frame in frames:
        assert [line.split(": ")[0] for line in frame.lines] == ["event", "id", "data"]
        assert frame.data["type"] == frame.type
    listed = {event["id"]: event for event in server.events(session)}
    assert all(listed[f.data["id"]] == f.data for f in frames[1:])


def test_nothing_is_replayed(server, session):
    server.say(session, "first")
    server.until_idle(session)
    with open_stream(server, session) as stream:
        second = server.say(session, "second")
        frames = stream.frames(until="session.status_idle")
    assert frames[0].data["id"] == second["id"]


def test_pings_keep_it_open_and_have_no_number(server, session):
    with open_stream(server, session) as stream:
        first, second = stream.frame(), stream.frame()
    assert first.lines == ("event: ping", 'data: {"type":"ping"}')
    assert second == first


def test_a_thread_has_a_stream_of_its_own(server, session):
    path = f"/v1/sessions/{session}/threads"
    (thread,) = server.request("GET", path).json()["data"]
    with open_stream(server, session, thread_id=thread["id"]) as stream:
        server.say(session, "hello")
        assert types_of(stream.frames(until="session.status_idle")) == PLAIN_TURN


# ---------------------------------------------------------------- SSE: resuming
def test_resuming_after_any_event_leaves_no_gap(server, session):
    server.say(session, "one")
    server.until_idle(session)
    for seen in range(11):
        with open_stream(server, session, headers={"last-event-id": str(seen)}) as stream:
            if seen < 10:
                frames = stream.frames(until="session.status_idle")
                assert [frame.id for frame in frames] == list(range(seen + 1, 11))
            else:
                assert stream.frame().type == "ping"


def test_a_stream_that_is_cut_again_and_again_misses_nothing(server, session):
    numbers, last, kind = [], 0, ""
    server.say(session, script(*[{"tool": "none_such", "input": {}}] * 5, {"say": "end"}))
    while kind != "session.status_idle":
        with open_stream(server, session, headers={"last-event-id": str(last)}) as stream:
            frame = stream.frame()
        if frame.type != "ping":
            last, kind = frame.id, frame.type
            numbers.append(last)
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("value", ["-1", "x", "1.5", "999", "٣"])
def test_a_last_event_id_that_is_not_of_this_stream_is_refused(server, session, value):
    headers = {"last-event-id": value}
    with open_stream(server, session, headers=headers) as stream:
        assert stream.status == 400
        assert "Last-Event-ID" in stream.body()["error"]["message"]


# ---------------------------------------------------------------- SSE: previews
def test_previews_where_asked_for(server, session):
    text = "one two three four five six seven eight nine ten"
    with (
        open_stream(server, session, query="?event_deltas%5B%5D=agent.message") as with_previews,
        open_stream(server, session) as without,
    ):
        server.say(session, script({"say": text}))
        frames = with_previews.frames(until="session.status_idle")
        assert types_of(without.frames(until="session.status_idle")) == PLAIN_TURN
    final = next(f for f in frames if f.type == "agent.message")
    previews = [f for f in frames if f.type in ("event_start", "event_delta")]
    assert previews
    assert types_of(previews)[0] == "event_start"
    assert types_of(previews).count("event_start") == 1
    assert all(frame.id is None for frame in previews)
    positions = [frames.index(frame) for frame in previews]
    assert frames.index(final) > max(positions)
    assert min(positions) > types_of(frames).index("span.model_request_start")
    shown = "".join(f.data["delta"]["content"]["text"] for f in previews[1:])
    assert final.data["content"][0]["text"].startswith(shown)
    assert shown
    assert types_of([f for f in frames if f not in previews]) == PLAIN_TURN


@pytest.mark.parametrize("query", ["?event_deltas[]=agent.tool_use", "?event_deltas[]=x", "?a=b"])
def test_a_query_that_is_not_understood_is_refused(server, session, query):
    with open_stream(server, session, query=query) as stream:
        assert stream.status == 400


# ---------------------------------------------------------------- SSE: the end
@pytest.mark.parametrize(
    ("method", "path", "last"),
    [
        ("POST", "/archive", "session.status_terminated"),
        ("DELETE", "", "session.deleted"),
    ],
)
def test_the_last_event_closes_every_stream(server, session, method, path, last):
    with ExitStack() as stack:
        streams = [stack.enter_context(open_stream(server, session)) for _ in range(3)]
        assert server.request(method, f"/v1/sessions/{session}{path}").status_code == 200
        for stream in streams:
            assert types_of(stream.frames())[-1] == last


def test_the_stream_of_an_ended_session_replays_and_ends(server, session):
    server.say(session, "one")
    server.until_idle(session)
    server.request("POST", f"/v1/sessions/{session}/archive")
    with open_stream(server, session) as stream:
        assert stream.frame() is None
    with open_stream(server, session, headers={"last-event-id": "9"}) as stream:
        assert types_of(stream.frames())[0] == "session.status_idle"


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"x-api-key": None}, 401, "authentication_error"),
        ({"x-api-key": "wrong"}, 401, "authentication_error"),
        ({"anthropic-beta": None}, 404, "not_found_error"),
        ({"anthropic-beta": "nonsense-2020-01-01"}, 400, "invalid_request_error"),
    ],
)
def test_a_stream_is_refused_in_the_envelope(server, session, headers, status, kind):
    with open_stream(server, session, headers=headers) as stream:
        assert stream.status == status
        body = stream.body()
    assert body["error"]["type"] == kind
    assert body["request_id"] == stream.headers["request-id"]


@pytest.mark.parametrize("session_id", [NOBODY, "x", "..%2f.."])
def test_a_stream_of_nothing_is_not_found(server, session_id):
    with open_stream(server, session_id) as stream:
        assert stream.status == 404


# ---------------------------------------------------------------- SSE: many, slow and gone readers
def test_a_client_that_leaves_is_forgotten_at_once(server, session):
    with open_stream(server, session, query="?event_deltas[]=agent.message"):
        wait_for(lambda: not is_quiet(server))
        (topic,) = server.web.hub._topics
        assert server.app.feed.previewed(topic)
    wait_for(lambda: is_quiet(server), seconds=2)
    assert not server.app.feed.previewed(topic)


def test_a_reader_that_does_not_read_holds_up_nobody_and_misses_nothing(server, session):
    big = "x" * 200_000
    with open_stream(server, session, timeout=60) as slow:
        for _ in range(40):
            server.say(session, f"{script({'say': 'ok'})}\n{big}")
        server.until_idle(session)
        with open_stream(server, session, headers={"last-event-id": "0"}, timeout=60) as quick:
            end = len(quick.frames(until="session.status_idle"))
            assert end
        numbers = []
        while len(numbers) < 80:
            frame = slow.frame()
            if frame.type != "ping":
                numbers.append(frame.id)
    assert numbers == list(range(1, 81))


def test_400_readers_on_one_session_all_get_everything(server, session):
    address = urlsplit(server.url)
    sent = "".join(f"{n}: {v}\r\n" for n, v in {"x-api-key": server.key, **HEADERS}.items())
    request = f"GET /v1/sessions/{session}/events/stream HTTP/1.1\r\nhost: x\r\n{sent}\r\n"
    received = {}
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(400):
            reader = socket.create_connection((address.hostname, address.port))
            stack.callback(reader.close)
            reader.sendall(request.encode())
            reader.setblocking(False)
            selector.register(reader, selectors.EVENT_READ)
            received[reader] = b""

        def read_until(mark):
            deadline = time.monotonic() + 60
            waiting = {r for r in received if mark not in received[r]}
            while waiting:
                assert time.monotonic() < deadline, f"{len(waiting)} readers still wait"
                for key, _ in selector.select(1):
                    received[key.fileobj] += key.fileobj.recv(65_536)
                    if mark in received[key.fileobj]:
                        waiting.discard(key.fileobj)

        read_until(b"event: ping")
        server.say(session, script({"say": "to everybody"}))
        read_until(b"event: session.status_idle")
    for raw in received.values():
        numbers = [int(line[4:]) for line in raw.split(b"\n") if line.startswith(b"id: ")]
        assert numbers == list(range(1, 11))
    wait_for(lambda: is_quiet(server), seconds=10)


def test_a_lost_doorbell_costs_a_pings_time(tmp_path):
    class Deaf(ProcessFeed):
        def ring(self, keys):
            """Nobody hears it."""

    with server_in_thread(tmp_path, settings={"ping_seconds": 0.1}) as deaf:
        session = deaf.new_session()
        with open_stream(deaf, session) as stream:
            topic = next(iter(wait_for(lambda: list(deaf.web.hub._topics.values()))))
            topic._doorbell.close()
            deaf.say(session, "hello")
            assert types_of(stream.frames(until="session.status_idle")) == PLAIN_TURN


# ---------------------------------------------------------------- WebSocket
@pytest.fixture
def ws(server):
    with connect(
        server.url.replace("http", "ws") + "/ws", additional_headers={"x-api-key": server.key}
    ) as socket_:
        yield socket_


def ask(ws, **action):
    ws.send(json.dumps(action))


def frames_until(ws, type_):
    """Event frames up to the one whose event has this type."""
    found = []
    while True:
        frame = json.loads(ws.recv(timeout=20))
        assert frame["type"] in ("event", "preview"), frame
        found.append(frame)
        if frame["type"] == "event" and frame["event"]["type"] == type_:
            return found


def pong(ws):
    """Everything asked before has been done."""
    ask(ws, action="ping")
    assert json.loads(ws.recv(timeout=20)) == {"type": "pong"}


def error(ws):
    frame = json.loads(ws.recv(timeout=20))
    assert frame["type"] == "error", frame
    return frame


def test_ws_subscribing_follows_from_now_on(server, session, ws):
    server.say(session, "before")
    server.until_idle(session)
    ask(ws, action="subscribe", session_id=session)
    pong(ws)
    server.say(session, "after")
    frames = frames_until(ws, "session.status_idle")
    assert [f["seq"] for f in frames] == list(range(11, 21))
    assert [f["event"]["type"] for f in frames] == PLAIN_TURN
    assert {f["session_id"] for f in frames} == {session}
    assert {f["thread_id"][:5] for f in frames} == {"sthr_"}


def test_ws_after_seq_replays_and_follows_without_a_gap(server, session, ws):
    server.say(session, "one")
    server.until_idle(session)
    ask(ws, action="subscribe", session_id=session, after_seq=3)
    first = frames_until(ws, "session.status_idle")
    server.say(session, "two")
    second = frames_until(ws, "session.status_idle")
    assert [f["seq"] for f in first + second] == list(range(4, 21))


def test_ws_previews(server, session, ws):
    ask(ws, action="subscribe", session_id=session, event_deltas=["agent.message"])
    pong(ws)
    server.say(session, script({"say": "one two three four five six"}))
    frames = frames_until(ws, "session.status_idle")
    kinds = [f["preview"]["type"] for f in frames if f["type"] == "preview"]
    assert kinds[0] == "event_start"
    assert set(kinds[1:]) == {"event_delta"}


def test_ws_several_sessions_and_unsubscribing(server, ws):
    first, second = server.new_session(), server.new_session()
    for session in (first, second):
        ask(ws, action="subscribe", session_id=session)
    ask(ws, action="unsubscribe", session_id=first)
    pong(ws)
    server.say(first, "unheard")
    server.until_idle(first)
    server.say(second, "heard")
    assert {f["session_id"] for f in frames_until(ws, "session.status_idle")} == {second}


def test_ws_a_deleted_session_ends_its_subscription_and_nothing_else(server, session, ws):
    other = server.new_session()
    for id_ in (session, other):
        ask(ws, action="subscribe", session_id=id_)
    pong(ws)
    server.request("DELETE", f"/v1/sessions/{session}")
    assert frames_until(ws, "session.deleted")[-1]["session_id"] == session
    ask(ws, action="unsubscribe", session_id=session)
    assert "no such subscription" in error(ws)["error"]["message"]
    server.say(other, "still here")
    frames_until(ws, "session.status_idle")


REFUSED = {
    "junk": ("{", None, "not JSON"),
    "deep junk": ("[" * 100_000, None, "not JSON"),
    "not an object": ("[]", None, "action"),
    "no action": ("{}", None, "action"),
    "action is no text": ('{"action": 1}', None, "action"),
    "unknown action": ('{"action": "dance"}', None, "dance"),
    "unknown field": ('{"action": "ping", "colour": 1}', "ping", "colour"),
    "missing field": ('{"action": "subscribe"}', "subscribe", "session_id"),
    "wrong type": ('{"action": "subscribe", "session_id": 1}', "subscribe", "session_id"),
    "unknown session": (
        f'{{"action": "subscribe", "session_id": "{NOBODY}"}}',
        "subscribe",
        NOBODY,
    ),
    "malformed session": ('{"action": "subscribe", "session_id": "a/b"}', "subscribe", "not found"),
    "negative": (
        f'{{"action": "subscribe", "session_id": "{NOBODY}", "after_seq": -1}}',
        "subscribe",
        "after_seq",
    ),
    "unknown preview": (
        f'{{"action": "subscribe", "session_id": "{NOBODY}", "event_deltas": ["x"]}}',
        "subscribe",
        "event_deltas",
    ),
    "send": ('{"action": "send", "session_id": "x", "events": []}', "send", "events"),
    "nothing subscribed": (
        '{"action": "unsubscribe", "session_id": "x"}',
        "unsubscribe",
        "no such",
    ),
    "binary": (b"{}", None, "Binary"),
    "oversize": ('{"action": "' + "x" * 200_000 + '"}', None, "131072"),
    "oversize says where to": ('{"action": "send' + "x" * 200_000 + '"}', None, "HTTP"),
}


@pytest.mark.parametrize(("sent", "action", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_ws_a_refusal_is_a_frame_and_the_connection_stays(ws, sent, action, text):
    ws.send(sent)
    frame = error(ws)
    assert frame["action"] == action
    assert set(frame["error"]) == {"type", "message"}
    assert text in frame["error"]["message"]
    pong(ws)


def test_ws_beyond_the_end_and_twice_are_refused(server, session, ws):
    ask(ws, action="subscribe", session_id=session, after_seq=5)
    assert "after_seq" in error(ws)["error"]["message"]
    ask(ws, action="subscribe", session_id=session)
    ask(ws, action="subscribe", session_id=session)
    assert "Already" in error(ws)["error"]["message"]


def test_ws_subscriptions_are_bounded(server, ws, monkeypatch):
    monkeypatch.setattr("freehold.local.websocket.MAX_SUBSCRIPTIONS", 2)
    sessions = [server.new_session() for _ in range(3)]
    for session in sessions:
        ask(ws, action="subscribe", session_id=session)
    assert "At most 2" in error(ws)["error"]["message"]


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "wrong"}, {"authorization": "Bearer no"}])
def test_ws_strangers_are_refused_at_the_handshake(server, headers):
    with pytest.raises(InvalidStatus) as refused:
        connect(server.url.replace("http", "ws") + "/ws", additional_headers=headers)
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body)["error"]["type"] == "authentication_error"


def test_ws_a_bearer_token_is_a_key_too(server):
    headers = {"authorization": f"Bearer {server.key}"}
    with connect(server.url.replace("http", "ws") + "/ws", additional_headers=headers) as socket_:
        pong(socket_)


def test_ws_a_client_that_leaves_is_forgotten_at_once(server, session):
    address = server.url.replace("http", "ws") + "/ws"
    with connect(address, additional_headers={"x-api-key": server.key}) as socket_:
        ask(socket_, action="subscribe", session_id=session)
        pong(socket_)
        assert not is_quiet(server)
    wait_for(lambda: is_quiet(server), seconds=2)


def test_ws_closes_when_the_server_stops(tmp_path):
    with ExitStack() as client, server_in_thread(tmp_path) as stopping:
        address = stopping.url.replace("http", "ws") + "/ws"
        connection = connect(address, additional_headers={"x-api-key": stopping.key})
        socket_ = client.enter_context(connection)
        pong(socket_)
        stopping.stop()
        with pytest.raises(ConnectionClosed):
            socket_.recv(timeout=10)
