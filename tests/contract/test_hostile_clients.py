"""Clients that mean harm, or are merely broken, against a server in a process of its own.

Whatever they send ends in the error envelope or with the connection; the server goes on, its log
holds no traceback, and neither a key nor what was said.
"""

from __future__ import annotations

import json
import re
import secrets
import socket
import struct
import subprocess
import sys
import threading
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import httpx2
import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from freehold.local.readiness import Readiness
from freehold.local.web import Web
from functions.api.routes import OPERATIONS
from functions.http_connection import HttpConnection
from tests.servers import HEADERS, server_in_process, server_in_thread, server_process, wait_for
from tests.streams import Stream, open_stream

MARKER = f"said-{secrets.token_hex(8)}"
STREAMS = (
    ("GET", "/v1/sessions/<session_id>/events/stream"),
    ("GET", "/v1/sessions/<session_id>/threads/<thread_id>/stream"),
)
WITH_IDS = [(o.method, o.path) for o in OPERATIONS if "<" in o.path] + list(STREAMS)
INTERNALS = re.compile(
    r"Traceback|File \"|/freehold/|sqlite|pydantic|powertools|0x[0-9a-f]{6}", re.IGNORECASE
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for every attack of this module. Its whole log is read at the end."""
    data_dir = tmp_path_factory.mktemp("hostile")
    with server_process(data_dir, sandbox="none") as one:
        one.process.lines = deque(one.process.lines)
        yield one
        assert one.request("GET", "/healthz").status_code == 200
        one.process.stop()
        log = "\n".join(one.process.lines)
    assert "Traceback" not in log, log[-4000:]
    assert MARKER not in log
    assert one.key not in log
    assert "crashed" not in log


@pytest.fixture(scope="module")
def stranger(server):
    """A key of another workspace."""
    data_dir = server.process.process.args[server.process.process.args.index("--data-dir") + 1]
    command = ["keys", "create", "--workspace", "strangers", "--data-dir", data_dir]
    made = subprocess.run(
        [sys.executable, "-m", "freehold.cli", *command], capture_output=True, text=True, check=True
    )
    return made.stdout.strip()


@contextmanager
def plug(server, timeout=20):
    """A bare connection."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=timeout) as connection:
        yield connection


def head(server, method, path, *lines, body=b""):
    """The bytes of a request with key and beta header; `path` goes out as it is."""
    given = {"host": "x", "x-api-key": server.key, **HEADERS}
    rows = [f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in given.items()), *lines]
    if body:
        rows.append(f"content-length: {len(body)}")
    return "\r\n".join([*rows, "", ""]).encode() + body


def exchange(server, sent):
    """Everything that comes back until the server closes."""
    with plug(server) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before it was all sent
            connection.sendall(sent)
        found = b""
        with suppress(ConnectionResetError):
            while part := connection.recv(65_536):
                found += part
        return found


def refusal(answer):
    """The envelope of the last answer of a connection, checked."""
    last = answer[answer.rindex(b"HTTP/1.1 ") + len(b"HTTP/1.1 ") :]
    top, _, body = last.partition(b"\r\n\r\n")
    status = int(top.split()[0])
    shown = json.loads(body)
    assert f"request-id: {shown['request_id']}".encode() in top.lower().replace(
        shown["request_id"].lower().encode(), shown["request_id"].encode()
    )
    assert shown["type"] == "error"
    assert not INTERNALS.search(body.decode())
    return status, shown["error"]


def checked(answer, *statuses):
    """The error of an answer that must be one of these refusals."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:500])
    error = answer.json()["error"]
    assert answer.json()["request_id"] == answer.headers["request-id"]
    assert not INTERNALS.search(answer.text), answer.text
    return error


# ---------------------------------------------------------------- other people's things
@pytest.fixture(scope="module")
def mine(server):
    """One of everything, by the names that paths give it."""
    session = server.new_session()
    server.say(session, MARKER)
    server.until_idle(session)
    shown = server.request("GET", f"/v1/sessions/{session}").json()
    threads = server.request("GET", f"/v1/sessions/{session}/threads").json()["data"]
    return {
        "agent_id": shown["agent"]["id"],
        "environment_id": shown["environment_id"],
        "session_id": session,
        "thread_id": threads[0]["id"],
    }


def body_for(path):
    """A body that the operation would take from its owner."""
    if path.endswith("/events"):
        return {"events": [{"type": "user.interrupt"}]}
    if path == "/v1/agents/<agent_id>":
        return {"version": 1, "name": "stolen"}
    if path.endswith("_id>"):
        return {"metadata": {"stolen": "yes"}}
    return None


def filled(path, ids):
    return re.sub(r"<(\w+)>", lambda found: ids[found[1]], path)


def attempt(server, key, method, path, ids):
    body = body_for(path) if method == "POST" else None
    given = {} if body is None else {"json": body}
    return server.request(method, filled(path, ids), key=key, **given)


@pytest.mark.parametrize(("method", "path"), WITH_IDS, ids=lambda part: part)
def test_a_foreign_id_is_not_found_and_looks_like_an_unused_one(
    server, stranger, mine, method, path
):
    before = {p: server.request("GET", filled(p, mine)).text for m, p in WITH_IDS[:3] if m == "GET"}
    error = checked(attempt(server, stranger, method, path, mine), 404)
    unused = {name: id_.partition("_")[0] + "_" + "0" * 26 for name, id_ in mine.items()}
    same = checked(attempt(server, stranger, method, path, unused), 404)
    for name, id_ in mine.items():
        error["message"] = error["message"].replace(id_, unused[name])
    assert error == same
    assert {p: server.request("GET", filled(p, mine)).text for p in before} == before


def test_all_operations_with_ids_are_tried():
    """The list above is the API's own, so a new operation is tried the day it is served."""
    assert len(WITH_IDS) >= 18
    assert {method for method, _ in WITH_IDS} == {"GET", "POST", "DELETE"}


def test_a_stranger_uses_and_lists_nothing_of_mine(server, stranger, mine):
    own = server.request(
        "POST", "/v1/agents", key=stranger, json={"name": "s", "model": "claude-sonnet-5-5"}
    ).json()["id"]
    place = server.request(
        "POST", "/v1/environments", key=stranger, json={"name": "strange"}
    ).json()["id"]
    for agent, environment in ((mine["agent_id"], place), (own, mine["environment_id"])):
        body = {"agent": agent, "environment_id": environment}
        checked(server.request("POST", "/v1/sessions", key=stranger, json=body), 404)
    for collection in ("agents", "environments", "sessions"):
        listed = server.request("GET", f"/v1/{collection}?limit=100", key=stranger).text
        assert not [id_ for id_ in mine.values() if id_ in listed]
    assert server.request(
        "GET", f"/v1/sessions?agent_id={mine['agent_id']}", key=stranger
    ).json()["data"] == []  # fmt: skip


def test_a_thread_is_found_under_its_own_session_only(server, mine):
    other = {**mine, "session_id": server.new_session()}
    for method, path in WITH_IDS:
        if "thread_id" in path:
            checked(attempt(server, server.key, method, path, other), 404)


def test_ws_a_foreign_session_cannot_be_followed(server, stranger, mine):
    address = server.url.replace("http", "ws") + "/ws"
    with connect(address, additional_headers={"x-api-key": stranger}) as ws:
        for thread in ({}, {"thread_id": mine["thread_id"]}):
            asked = {"action": "subscribe", "session_id": mine["session_id"], **thread}
            ws.send(json.dumps({**asked, "after_seq": 0}))
            assert json.loads(ws.recv(timeout=20))["error"]["type"] == "not_found_error"


# ---------------------------------------------------------------- what is not HTTP
CHUNKED = "POST /v1/agents HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n"
LENGTH = "POST /v1/agents HTTP/1.1\r\nhost: x\r\ncontent-length: "
NOT_HTTP = {
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "a space in the path": b"GET /a b HTTP/1.1\r\nhost: x\r\n\r\n",
    "a NUL in a header": b"GET / HTTP/1.1\r\nhost: x\r\na: \0b\r\n\r\n",
    "a space before a colon": b"GET / HTTP/1.1\r\nhost: x\r\na : b\r\n\r\n",
    "two lengths": f"{LENGTH}5\r\ncontent-length: 6\r\n\r\nabcdef".encode(),
    "a negative length": f"{LENGTH}-5\r\n\r\n".encode(),
    "an endless length": f"{LENGTH}{'9' * 30}\r\n\r\nabc".encode(),
    "a chunk that is none": f"{CHUNKED}\r\nZZ\r\nabc\r\n".encode(),
    "an endless chunk": f"{CHUNKED}\r\n{'F' * 30}\r\nabc\r\n".encode(),
    "20,000 headers": b"GET / HTTP/1.1\r\nhost: x\r\n"
    + b"".join(b"h%d: %s\r\n" % (n, b"v" * 90) for n in range(20_000)),
    "a header of 5 MB": b"GET / HTTP/1.1\r\nhost: x\r\nh: " + b"v" * 5_000_000 + b"\r\n\r\n",
    "a path of 5 MB": b"GET /" + b"v" * 5_000_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", NOT_HTTP)
def test_what_is_not_http_is_refused_in_the_envelope_and_ends_the_connection(server, name):
    answer = exchange(server, NOT_HTTP[name])
    if answer or len(NOT_HTTP[name]) < 1_000_000:  # an answer may be lost to what was still coming
        status, error = refusal(answer)
        assert (status, error["type"]) == (400, "invalid_request_error")


def test_two_framings_of_one_request_do_not_make_two(server):
    sent = f"{CHUNKED}content-length: 5\r\n\r\n0\r\n\r\n".encode()
    answer = exchange(
        server, sent + b"GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    assert b"freehold" not in answer or answer.count(b"HTTP/1.1 ") == 2
    assert answer.split()[1] in (b"400", b"401")


def test_pipelined_requests_are_answered_in_order(server):
    paths = ["/version", "/healthz"] * 25
    sent = "".join(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n" for path in paths)
    sent += "GET /v1/agents HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = exchange(server, sent.encode())
    found = re.findall(rb'"(version|status)":|HTTP/1.1 (401)', answer)
    assert [one or other for one, other in found] == [b"version", b"status"] * 25 + [b"401"]


@pytest.mark.parametrize("path", ["*", "http://elsewhere.invalid/v2", "/healthz/", "//v1/agents"])
def test_a_target_that_is_no_path_of_ours_is_not_found_in_the_envelope(server, path):
    status, error = refusal(exchange(server, head(server, "GET", path, "connection: close")))
    assert (status, error["type"]) == (404, "not_found_error")


def test_every_answer_has_a_request_id(server):
    for path in ("/healthz", "/readyz", "/version", "/v1/agents", "/v1/nowhere", "/"):
        assert server.request("GET", path).headers["request-id"].startswith("req_"), path


@contextmanager
def impatient_server(tmp_path, seconds):
    """As `freehold serve` listens, but for how long it waits for the head of a request."""
    patience = type("Impatient", (HttpConnection,), {"head_seconds": seconds})
    with server_in_process(tmp_path, settings={"ping_seconds": 0.1}) as local, ExitStack() as stack:
        web = Web(local.app, Readiness(local.app, local.app.sandboxes.usable()))
        stack.callback(web.close)
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        server = uvicorn.Server(
            uvicorn.Config(
                web.asgi, http=patience, lifespan="off", log_config=None, ws="websockets-sansio"
            )
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        stack.callback(thread.join, 20)
        stack.callback(setattr, server, "should_exit", True)
        wait_for(lambda: server.started)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx2.Client(trust_env=False, timeout=30) as http:
            yield type(local)(url, local.key, http)


def test_a_head_that_never_ends_is_not_waited_for_and_what_is_open_is_kept(tmp_path):
    with impatient_server(tmp_path, 0.5) as server, ExitStack() as clients:
        session = server.new_session()
        stream = clients.enter_context(open_stream(server, session))
        ws = clients.enter_context(
            connect(
                server.url.replace("http", "ws") + "/ws",
                additional_headers={"x-api-key": server.key},
            )
        )
        silent, slow, second = (clients.enter_context(plug(server)) for _ in range(3))
        slow.sendall(b"GET /healthz HTTP/1.1\r\nhost:")
        second.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):  # head and body may come apart
            answer += second.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 200")
        second.sendall(b"GET /")
        for held in (silent, slow, second):
            assert held.recv(1) == b""
        assert stream.frame().type == "ping"
        ws.send('{"action": "ping"}')
        assert json.loads(ws.recv(timeout=20)) == {"type": "pong"}


def test_junk_after_the_head_of_a_stream_ends_that_stream_alone(server):
    session = server.new_session()
    with plug(server) as connection:
        connection.sendall(
            head(
                server, "GET", f"/v1/sessions/{session}/events/stream",
                "transfer-encoding: chunked",
            )
        )  # fmt: skip
        stream = Stream(connection)
        assert stream.status == 200
        connection.sendall(b"ZZ\r\njunk\r\n")
        assert connection.recv(65_536) == b""
        stream.close()


# ---------------------------------------------------------------- bodies, ids, paths
AGENT = b'{"name": "A", "model": "claude-sonnet-5-5"'
BODIES = {
    "half": b"{",
    "an array": b"[]",
    "a word": b"true",
    "NaN": AGENT + b', "metadata": NaN}',
    "a huge number": AGENT + b', "description": ' + b"9" * 100_000 + b"}",
    "a huge exponent": AGENT + b', "description": 1e999999}',
    "deep arrays": b'{"name": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "UTF-16": (AGENT + b"}").decode().encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + AGENT + b"}",
    "half a surrogate pair": AGENT + b', "description": "\\ud800"}',
    "half a pair in a name": AGENT + b', "metadata": {"\\ud800": "x"}}',
    "NULs": bytes(100),
    "something after it": AGENT + b"} {}",
    "a form": b"name=A&model=claude-sonnet-5-5",
    "100,000 names": AGENT
    + b', "metadata": {'
    + b",".join(b'"k%d": "v"' % n for n in range(100_000))
    + b"}}",
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_not_understood_is_a_400(server, name):
    answer = server.request("POST", "/v1/agents", content=BODIES[name])
    assert checked(answer, 400)["type"] == "invalid_request_error"


def test_a_field_that_is_given_twice_is_refused_rather_than_one_of_them_ignored(server):
    answer = server.request("POST", "/v1/agents", content=AGENT + b', "name": "B"}')
    assert 'field "name" is given twice' in checked(answer, 400)["message"]


def test_a_content_type_changes_nothing(server):
    """The API reads JSON, whatever it is called: some clients call it nothing."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "image/png", ""):
        answer = server.request(
            "POST", "/v1/agents", content=AGENT + b"}", headers={"content-type": kind}
        )
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "tail",
    [
        "..%2f..%2fetc%2fpasswd",
        "../agents",
        "%2e%2e",
        "%00",
        "%ff%fe",
        "sesn_%E2%80%AE" + "0" * 25,
        "sesn_%EF%BC%90" + "0" * 25,  # a full-width zero
        "sesn_" + "0" * 25 + "%27--",
        "sesn_" + "0" * 26 + "/../events",
        "x" * 10_000,
        "wrkspc_default%2fsesn_" + "0" * 26,
    ],
)
def test_an_id_that_is_none_is_not_found(server, tail):
    for method, rest in (("GET", ""), ("DELETE", ""), ("GET", "/events"), ("POST", "/archive")):
        sent = head(server, method, f"/v1/sessions/{tail}{rest}", "connection: close")
        assert refusal(exchange(server, sent))[0] in (404, 405)


@pytest.mark.parametrize("value", ["9" * 5000, "0" * 5000, "1e3", "-1", "\xb2", "0x1", " "])
def test_a_last_event_id_that_is_no_number_of_ours_is_a_400(server, value):
    session = server.new_session()
    path = f"/v1/sessions/{session}/events/stream"
    rows = f"last-event-id: {value}", "connection: close"
    answer = exchange(server, head(server, "GET", path, *rows))
    assert refusal(answer)[0] == 400


# ---------------------------------------------------------------- the WebSocket
@pytest.fixture
def ws(server):
    address = server.url.replace("http", "ws") + "/ws"
    with connect(address, additional_headers={"x-api-key": server.key}) as socket_:
        yield socket_


def is_alive(ws):
    ws.send('{"action": "ping"}')
    while (said := json.loads(ws.recv(timeout=20))) != {"type": "pong"}:
        assert said["type"] == "error"
        assert not INTERNALS.search(json.dumps(said))
    return True


@pytest.mark.parametrize(
    "said",
    [
        "",
        "not JSON",
        "[]",
        "null",
        "1e999",
        '{"action": 1}',
        '{"action": "__class__"}',
        '{"action": ["ping"]}',
        '{"action": "ping", "x": 1}',
        '{"action": "subscribe", "session_id": 1}',
        '{"action": "subscribe", "session_id": "../x"}',
        '{"action": "subscribe", "session_id": "\\ud800"}',
        '{"action": "subscribe", "session_id": "x", "after_seq": 1e400}',
        '{"action": "subscribe", "session_id": "x", "after_seq": -1}',
        '{"action": "\\ud800"}',
        "[" * 100_000,
        '{"a":' * 20_000,
        '{"action": "' + "x" * 120_000 + '"}',
        "x" * 200_000,
        b"\x00\xff",
        b"",
    ],
)
def test_ws_a_message_that_is_not_understood_is_answered_and_the_connection_stays(ws, said):
    ws.send(said)
    shown = json.loads(ws.recv(timeout=20))
    assert shown["type"] == "error", shown
    assert not INTERNALS.search(json.dumps(shown))
    assert is_alive(ws)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00" * 50,
        b"\xff" * 50,
        b"\x81\x05hello",
        b"\x81\x84\x00\x00\x00\x00\xff\xff\xff\xff",
        b"\x81\xff" + b"\x7f" + b"\xff" * 7 + bytes(4),
        b"\x89\xfe\x10\x00" + bytes(5000),
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
    ids=["zeros", "ones", "unmasked", "no UTF-8", "endless", "a large ping", "HTTP"],
)
def test_ws_what_is_no_frame_ends_that_connection_alone(server, ws, raw):
    ws.socket.sendall(raw)
    with pytest.raises(ConnectionClosed):
        ws.recv(timeout=20)
    assert server.request("GET", "/healthz").status_code == 200


def test_ws_a_message_beyond_the_limit_of_a_frame_ends_the_connection(server, ws):
    with suppress(ConnectionClosed):  # noticed while sending, or by the next read
        ws.send("x" * 17_000_000)
    with pytest.raises(ConnectionClosed):
        ws.recv(timeout=20)
    assert server.request("GET", "/healthz").status_code == 200


def test_ws_a_flood_is_taken_in_turn_and_all_of_it_answered(server, ws):
    flood = 5_000
    sender = threading.Thread(target=lambda: [ws.send('{"action": "ping"}') for _ in range(flood)])
    sender.start()
    found = Counter(ws.recv(timeout=20) for _ in range(flood))
    sender.join()
    assert found == {'{"type":"pong"}': flood}


def test_ws_elsewhere_is_refused_in_the_envelope(server, mine):
    for path in ("/nowhere", f"/v1/sessions/{mine['session_id']}/events/stream", "/"):
        with pytest.raises(InvalidStatus) as refused:
            connect(server.url.replace("http", "ws") + path)
        answer = refused.value.response
        assert answer.status_code == 404
        assert json.loads(answer.body)["error"]["type"] == "not_found_error"
        assert answer.headers["request-id"].startswith("req_")


def test_ws_half_a_handshake_harms_nobody(server):
    rows = "connection: upgrade", "upgrade: websocket"
    for more in ((), ("sec-websocket-version: 1", "sec-websocket-key: x")):
        answer = exchange(server, head(server, "GET", "/ws", *rows, *more))
        assert answer.split()[1] in (b"400", b"426")
    with plug(server) as connection:
        key = "sec-websocket-version: 13", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
        connection.sendall(head(server, "GET", "/ws", *rows, *key))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 101")
        connection.sendall(b"\x81")


# ---------------------------------------------------------------- readers and racers
def vanish(connection):
    """Closes with a reset, in the middle of whatever was going on."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_readers_that_vanish_in_the_middle_of_a_frame_leave_nothing_behind(tmp_path):
    with server_in_thread(tmp_path, settings={"ping_seconds": 0.2}) as server, ExitStack() as rest:
        session = server.new_session()
        before = threading.active_count()
        connections = [rest.enter_context(plug(server)) for _ in range(60)]
        for n, connection in enumerate(connections):
            connection.sendall(head(server, "GET", f"/v1/sessions/{session}/events/stream"))
            if n % 3:
                connection.recv(10)
        server.say(session, "x" * 200_000)
        for n, connection in enumerate(connections):
            if n % 2:
                connection.recv(1000)
            vanish(connection)
        server.until_idle(session)
        wait_for(lambda: not server.web.hub._topics)
        assert threading.active_count() <= before + 64, "reader and handler threads are pooled"


def test_a_post_whose_answer_is_lost_is_there_once_and_its_repeat_is_another(server):
    """Without an idempotency key a repeat is a message of its own; neither is half there."""
    session = server.new_session()
    message = {"type": "user.message", "content": [{"type": "text", "text": MARKER}]}
    body = json.dumps({"events": [message]}).encode()
    for _ in range(20):
        with plug(server) as connection:
            path = f"/v1/sessions/{session}/events"
            connection.sendall(head(server, "POST", path, body=body))
            vanish(connection)
    last = server.say(session, "the last one")["id"]

    def all_answered():
        events = server.events(session)
        done = [e for e in events if e["type"] == "user.message" and e["processed_at"]]
        idle = events[-1]["type"] == "session.status_idle"
        return idle and last in {e["id"] for e in done} and done

    done = wait_for(all_answered)
    assert len({event["id"] for event in done}) == len(done) <= 21
    assert all(e["content"][0]["text"] in (MARKER, "the last one") for e in done)


RACE = ("send", "send", "interrupt", "update", "archive", "list", "delete")


def race(server, session, number):
    """One client that does everything at once. Its accepted messages, and every status."""
    accepted, statuses = [], []
    with httpx2.Client(trust_env=False, timeout=30) as http:
        for turn in range(12):
            what = RACE[(turn * 3 + number) % (len(RACE) - (turn < 8))]
            place = f"{server.url}/v1/sessions/{session}"
            message = {"type": "user.message", "content": [{"type": "text", "text": MARKER}]}
            event = {"type": "user.interrupt"} if what == "interrupt" else message
            calls = {
                "send": ("POST", f"{place}/events", {"events": [event]}),
                "interrupt": ("POST", f"{place}/events", {"events": [event]}),
                "update": ("POST", place, {"metadata": {"by": str(number)}}),
                "archive": ("POST", f"{place}/archive", None),
                "list": ("GET", f"{place}/events", None),
                "delete": ("DELETE", place, None),
            }
            method, url, body = calls[what]
            given = {} if body is None else {"json": body}
            headers = {"x-api-key": server.key, **HEADERS}
            answer = http.request(method, url, headers=headers, **given)
            statuses.append((what, answer.status_code))
            if answer.status_code != 200:
                checked(answer, 400, 404, 409)
            elif what == "send":
                accepted.append(answer.json()["data"][0]["id"])
    return accepted, statuses


def test_clients_that_race_on_one_session_get_facts_and_never_a_crash(server):
    for _ in range(4):
        session = server.new_session()
        with ThreadPoolExecutor(4) as clients:
            found = list(clients.map(lambda n, s=session: race(server, s, n), range(4)))
        shown = server.request("GET", f"/v1/sessions/{session}/events?limit=1000")
        if shown.status_code == 404:
            continue
        listed = Counter(e["id"] for e in shown.json()["data"] if e["type"] == "user.message")
        for accepted, _ in found:
            assert all(listed[event_id] >= 1 for event_id in accepted)


def test_bearers_of_odd_keys_are_refused_and_the_log_stays_silent(server):
    for value in (MARKER, "schl\xfcssel", "x" * 30_000, "\x7f"):
        sent = head(server, "GET", "/v1/agents", "connection: close").decode("latin-1")
        sent = sent.replace(f"x-api-key: {server.key}", f"x-api-key: {value}")
        status, error = refusal(exchange(server, sent.encode("latin-1")))
        assert status in (400, 401)
        assert MARKER not in error["message"]
