"""Who the supervisor listens to: requests over a real connection, signed well and badly."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from contextlib import closing

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from freehold.toolset.signed_request import SignedRequest, digest, parse
from sandbox_task.calls import Calls
from sandbox_task.gate import Gate
from sandbox_task.http_server import MAX_BODY_BYTES, serve
from sandbox_task.journal import Journal
from sandbox_task.output import LongResults
from sandbox_task.routes import Routes
from sandbox_task.session_files import SessionFiles

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
SESSION, BOOT = "sesn_1", "boot_1"


class CountingTools:
    """Answers each call with how many came before it."""

    def __init__(self):
        self.count = 0

    def run(self, running, thread_id, name, given):
        self.count += 1
        return {"content": [{"type": "text", "text": f"{name} {self.count}"}], "is_error": False}


class Way:
    """What the relay was told."""

    def __init__(self):
        self.is_there = True
        self.led = []

    def lead(self, *way):
        self.led.append(way)


class Supervisor:
    """The real server, gate and routes on a loopback port; only the tools are others."""

    def __init__(self, directory):
        self.tools = CountingTools()
        self.now = time.time()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        results = directory / "results"
        results.mkdir()
        calls = Calls(Journal(str(directory / "journal")), self.tools, LongResults(str(results)))
        files = SessionFiles((str(directory),), (str(directory),))
        gate = Gate(PUBLIC, SESSION, BOOT, lambda: self.now)
        self.way = Way()
        routes = Routes(gate, calls, files, self.way, {"session_id": SESSION, "boot_id": BOOT})
        self.thread = threading.Thread(
            target=serve, args=(self.listener, routes.admit, routes.handle)
        )
        self.thread.start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()

    def send(self, method, path, body=b"", headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read()

    def ask(self, method, path, body=b"", **changed):
        """A request that is signed as it must be, but for what is `changed`."""
        request = sign(self.now, method, path, body, **changed)
        status, answer = self.send(method, path, body, request.headers(KEY.sign(request.message())))
        return status, json.loads(answer)


def sign(now, method, path, body, **changed):
    parts = {
        "method": method,
        "path": path,
        "body_digest": digest(body),
        "session_id": SESSION,
        "boot_id": BOOT,
        "timestamp": int(now),
        "nonce": f"nonce-{time.monotonic_ns()}",
    }
    return SignedRequest(**{**parts, **changed})


@pytest.fixture
def supervisor(tmp_path):
    with closing(Supervisor(tmp_path)) as made:
        yield made


def execute(event_id="sevt_1", **changed):
    given = {
        "thread_id": "sthr_1",
        "event_id": event_id,
        "digest": "d",
        "name": "bash",
        "input": {},
        "wait": 5,
    }
    return json.dumps({**given, **changed}).encode()


def test_a_signed_call_is_carried_out(supervisor):
    status, answer = supervisor.ask("POST", "/execute", execute())
    assert (status, answer["status"], answer["content"][0]["text"]) == (200, "done", "bash 1")
    status, answer = supervisor.ask("GET", "/result?thread_id=sthr_1&event_id=sevt_1")
    assert (status, answer["content"][0]["text"]) == (200, "bash 1")


def test_health_is_public_and_nothing_else_is(supervisor):
    status, body = supervisor.send("GET", "/healthz")
    assert (status, json.loads(body)) == (200, {"session_id": SESSION, "boot_id": BOOT})
    for method, path in (
        ("POST", "/execute"),
        ("GET", "/result"),
        ("GET", "/x"),
        ("PUT", "/files"),
    ):
        assert supervisor.send(method, path)[0] == 401
    assert supervisor.tools.count == 0


@pytest.mark.parametrize("seconds", [-61, 61, 3600])
def test_an_old_or_early_request_is_refused(supervisor, seconds):
    stamp = int(supervisor.now) + seconds
    assert supervisor.ask("POST", "/execute", execute(), timestamp=stamp)[0] == 401
    assert supervisor.tools.count == 0


def test_clocks_may_be_a_minute_apart(supervisor):
    stamp = int(supervisor.now) - 59
    assert supervisor.ask("POST", "/execute", execute(), timestamp=stamp)[0] == 200


def test_a_request_is_taken_once(supervisor):
    body = execute()
    request = sign(supervisor.now, "POST", "/execute", body)
    headers = request.headers(KEY.sign(request.message()))
    assert supervisor.send("POST", "/execute", body, headers)[0] == 200
    assert supervisor.send("POST", "/execute", body, headers)[0] == 401


def test_a_nonce_is_remembered_as_long_as_its_timestamp_passes(supervisor):
    body = execute()
    request = sign(supervisor.now, "POST", "/execute", body, timestamp=int(supervisor.now) + 60)
    headers = request.headers(KEY.sign(request.message()))
    assert supervisor.send("POST", "/execute", body, headers)[0] == 200
    supervisor.now += 119
    assert supervisor.send("POST", "/execute", body, headers)[0] == 401
    supervisor.now += 2
    assert supervisor.send("POST", "/execute", body, headers) == (401, b'{"error": "timestamp"}')


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"session_id": "sesn_2"}, 401, "session"),
        ({"boot_id": "boot_2"}, 409, "boot"),
        ({"nonce": ""}, 401, "nonce"),
        ({"nonce": "x" * 65}, 401, "nonce"),
        ({"body_digest": digest(b"another body")}, 401, "digest"),
    ],
)
def test_a_request_for_something_else_is_refused(supervisor, changed, status, error):
    assert supervisor.ask("POST", "/execute", execute(), **changed) == (status, {"error": error})
    assert supervisor.tools.count == 0


@pytest.mark.parametrize(
    "part", ["digest", "session", "boot", "time", "nonce", "signature", "method", "path"]
)
def test_whatever_is_changed_after_signing_breaks_the_signature(supervisor, part):
    body = execute()
    request = sign(supervisor.now, "POST", "/execute", body)
    headers = request.headers(KEY.sign(request.message()))
    method, path = "POST", "/execute"
    if part == "method":
        method = "PUT"
    elif part == "path":
        path = "/cancel"
    else:
        name = f"x-freehold-{part}"
        headers[name] = ("1" if headers[name][0] != "1" else "2") + headers[name][1:]
    assert supervisor.send(method, path, body, headers) == (401, b'{"error": "signature"}')


def test_another_key_signs_nothing(supervisor):
    body = execute()
    request = sign(supervisor.now, "POST", "/execute", body)
    headers = request.headers(Ed25519PrivateKey.generate().sign(request.message()))
    assert supervisor.send("POST", "/execute", body, headers)[0] == 401


def test_the_parts_of_a_signature_cannot_run_into_each_other():
    with pytest.raises(ValueError, match="line feed"):
        sign(0, "POST", "/x\nPOST", b"").message()
    request = sign(0, "POST", "/x", b"body")
    assert parse("POST", "/x", request.headers(b"\1\2")) == (request, b"\1\2")


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /execute HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % MAX_BODY_BYTES,
        b"POST /execute HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1),
        b"POST /execute HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST /execute HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nx: 1\r\nX: 2\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"x" * 9000 + b": 1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"".join(b"h%d: 1\r\n" % i for i in range(40)) + b"\r\n",
        b"nonsense\r\n\r\n",
    ],
    ids=["huge", "too huge", "chunked", "negative", "twice", "long line", "many", "nonsense"],
)
def test_what_cannot_be_a_request_ends_the_connection(supervisor, sent):
    """Before a body is read: nobody without a signature makes the supervisor hold one."""
    with socket.create_connection(("127.0.0.1", supervisor.port), timeout=10) as connection:
        connection.sendall(sent)
        assert connection.recv(1000) == b""
    assert supervisor.send("GET", "/healthz")[0] == 200


def test_a_connection_serves_many_requests_and_survives_a_refusal(supervisor):
    with closing(
        http.client.HTTPConnection("127.0.0.1", supervisor.port, timeout=10)
    ) as connection:
        for status in (200, 401, 200):
            connection.request("GET", "/healthz" if status == 200 else "/result")
            response = connection.getresponse()
            assert response.status == status
            response.read()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        execute(name="launch"),
        execute(input=[]),
        execute(event_id="../x"),
        execute(thread_id=3),
        execute(digest=None),
        execute(wait=1e9),
        execute(wait="5"),
    ],
)
def test_a_signed_request_is_still_looked_at(supervisor, body):
    assert supervisor.ask("POST", "/execute", body)[0] == 400
    assert supervisor.tools.count == 0


def test_an_id_with_another_digest_is_refused(supervisor):
    assert supervisor.ask("POST", "/execute", execute())[0] == 200
    assert supervisor.ask("POST", "/execute", execute(digest="e")) == (409, {"error": "digest"})
    cancel = {"calls": [{"thread_id": "sthr_1", "event_id": "sevt_1", "digest": "e"}]}
    assert supervisor.ask("POST", "/cancel", json.dumps(cancel).encode())[0] == 409
    assert supervisor.tools.count == 1


def test_an_unknown_call_has_no_result(supervisor):
    assert supervisor.ask("GET", "/result?thread_id=sthr_1&event_id=sevt_9")[0] == 404
    assert supervisor.ask("GET", "/result?thread_id=sthr_1")[0] == 400
    assert supervisor.ask("GET", "/other")[0] == 404


def test_files_over_the_wire(supervisor, tmp_path):
    path = f"{tmp_path}/folder/file"
    assert supervisor.ask("PUT", f"/files?path={path}", b"\0content")[0] == 200
    request = sign(supervisor.now, "GET", f"/files?path={path}", b"")
    headers = request.headers(KEY.sign(request.message()))
    assert supervisor.send("GET", f"/files?path={path}", b"", headers) == (200, b"\0content")
    status, answer = supervisor.ask("GET", f"/directory?path={tmp_path}/folder")
    assert (status, answer) == (200, {"entries": [{"name": "file", "type": "file", "size": 8}]})


# ---------------------------------------------------------------- the way out
WAY = {"proxy": "10.65.0.9:3128", "token": "t", "variables": {"GOPROXY": "https://g.example"}}


def test_the_relay_is_led_to_the_proxy_that_the_server_names(supervisor):
    status, _ = supervisor.ask("PUT", "/egress", json.dumps(WAY).encode())
    assert (status, supervisor.way.led) == (200, [tuple(WAY.values())])


@pytest.mark.parametrize(
    "changed",
    [
        {"proxy": "proxy.example:3128"},
        {"proxy": "/run/other"},
        {"proxy": None},
        {"token": 1},
        {"variables": []},
        {"variables": {"A": 1}},
    ],
)
def test_what_is_no_way_leads_nowhere(supervisor, changed):
    status, _ = supervisor.ask("PUT", "/egress", json.dumps({**WAY, **changed}).encode())
    assert (status, supervisor.way.led) == (400, [])


def test_a_sandbox_without_a_relay_is_led_nowhere(supervisor):
    supervisor.way.is_there = False
    status, _ = supervisor.ask("PUT", "/egress", json.dumps(WAY).encode())
    assert (status, supervisor.way.led) == (404, [])


def test_nobody_is_led_anywhere_by_a_request_that_is_not_signed(supervisor):
    status, _ = supervisor.send("PUT", "/egress", json.dumps(WAY).encode())
    assert (status, supervisor.way.led) == (401, [])
