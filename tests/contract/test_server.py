"""The server as a process: how it starts, what it refuses, how it ends (DESIGN 3, 5, 9)."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from freehold.adapters.subprocess_sandbox import Probe
from freehold.local.readiness import Readiness
from freehold.testing.scripted_model import ScriptedModel
from functions.service.proxy_event import proxy_event
from tests.servers import HEADERS, server_in_process, server_process, wait_for
from tests.streams import open_stream


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("process")


@pytest.fixture(scope="module")
def server(data_dir):
    with server_process(data_dir) as process:
        yield process


def serve(data_dir, *options, **environment):
    """`freehold serve` until it ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "freehold.cli", "serve", "--data-dir", str(data_dir), *options],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def slow(seconds):
    return "script: " + json.dumps([{"delay_ms": seconds * 1000, "say": "at last"}])


# ---------------------------------------------------------------- the start
def test_the_start_lines_say_what_is_served_and_what_is_not(server, data_dir):
    said = "\n".join(server.process.lines)
    for expected in (
        str(data_dir),
        "scripted",
        "not Claude",
        "what each environment grants, by a proxy",
        "web_fetch; there is no web_search, for FREEHOLD_SEARCH_URL is not set",
        server.url,
    ):
        assert expected in said
    assert server.key not in said


def test_the_data_directory_is_its_owners_alone(server, data_dir, tmp_path):
    fresh = tmp_path / "new" / "dir"
    with server_process(fresh, sandbox="none"):
        assert stat.S_IMODE(fresh.stat().st_mode) == 0o700


def test_a_second_server_on_one_directory_is_one_line_and_exit_1(server, data_dir):
    second = serve(data_dir, "--port", "0")
    assert second.returncode == 1
    assert second.stdout == ""
    (line,) = second.stderr.strip().splitlines()
    assert "in use by another server" in line
    assert server.request("GET", "/healthz").status_code == 200


def test_a_busy_port_is_one_line_and_exit_1(server, tmp_path):
    busy = serve(tmp_path, "--port", str(urlsplit(server.url).port))
    assert busy.returncode == 1
    (line,) = busy.stderr.strip().splitlines()
    assert str(urlsplit(server.url).port) in line


def test_a_directory_that_cannot_be_used_is_one_line_and_exit_1(tmp_path):
    (tmp_path / "file").write_text("in the way")
    refused = serve(tmp_path / "file" / "data", "--port", "0")
    assert refused.returncode == 1
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_key_is_made_once_printed_once_and_kept_hashed(tmp_path):
    found = []
    for _ in range(2):
        with server_process(tmp_path, sandbox="none", environment={"FREEHOLD_API_KEY": ""}) as one:
            said = "\n".join(one.process.lines)
            found += re.findall(r"API key\s+(\S+)", said)
            answer = one.request("GET", "/v1/agents", key=found[0])
            assert answer.status_code == 200
            assert "\n".join(one.process.lines).count(found[0]) == said.count(found[0])
    assert len(found) == 1
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert found[0].encode() not in stored


def test_the_module_serves_too(tmp_path):
    started = subprocess.Popen(
        [sys.executable, "-u", "-m", "freehold.local"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), "FREEHOLD_API_KEY": "no spaces allowed"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said, _ = started.communicate(timeout=30)
    assert started.returncode == 1
    assert said.startswith("FREEHOLD_API_KEY")
    assert "no spaces allowed" not in said


# ---------------------------------------------------------------- health
def test_health_readiness_and_version(server):
    assert server.request("GET", "/healthz").json() == {"status": "ok"}
    ready = server.request("GET", "/readyz")
    assert set(ready.json()) == {"store", "sandbox", "model"}
    assert ready.status_code == (200 if set(ready.json().values()) == {"ok"} else 503)
    assert server.request("GET", "/version").json()["name"] == "freehold"


def test_not_ready_says_which_part(tmp_path):
    with server_in_process(tmp_path, settings={"model": "anthropic"}) as unready:
        parts = Readiness(unready.app, Probe(None)).look().parts
        assert parts["store"] == "ok"
        assert "doctor" in parts["sandbox"]
        assert "ANTHROPIC_API_KEY" in parts["model"]
        broken = replace(unready.app, records=None)
        assert Readiness(broken, Probe("bubblewrap")).look().parts["store"] != "ok"


@pytest.mark.parametrize(
    "settings",
    [
        {"model": "scripted"},
        {"model": "anthropic", "anthropic_api_key": "sk"},
        {"model": "anthropic", "anthropic_base_url": "http://127.0.0.1:9"},
    ],
)
def test_ready_with_any_model_that_can_be_asked(tmp_path, settings):
    with server_in_process(tmp_path, settings=settings) as ready:
        assert Readiness(ready.app, Probe("bubblewrap")).look().is_ready


# ---------------------------------------------------------------- requests
def test_a_refusal_has_the_envelope_and_a_request_id(server):
    answer = server.request("GET", "/v1/nowhere")
    assert answer.status_code == 404
    assert answer.json()["request_id"] == answer.headers["request-id"]


def test_a_query_string_that_does_not_parse_is_refused(server):
    for query in ("limit", "a=%ff", "a=1&&b=2", "limit=%zz"):
        answer = server.request("GET", f"/v1/agents?{query}")
        assert answer.status_code == 400, query
        assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_body_over_the_limit_is_refused_while_it_is_read(server):
    limit = 32 * 1024 * 1024
    answer = server.request("POST", "/v1/agents", content=b" " * (limit + 1))
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "request_too_large"
    assert str(limit) in answer.json()["error"]["message"]
    assert server.request("GET", "/healthz").status_code == 200


def test_a_body_of_unknown_length_is_bounded_too(server):
    def endless():
        for _ in range(33):
            yield b" " * 1024 * 1024

    answer = server.request("POST", "/v1/agents", content=endless())
    assert answer.status_code == 413


def test_forwarded_headers_are_not_believed():
    scope = {
        "method": "GET",
        "path": "/v1/agents",
        "query_string": b"a=1&a=2&b=%C3%A4",
        "headers": [(b"X-Forwarded-For", b"6.6.6.6"), (b"a", b"1"), (b"a", b"2")],
        "http_version": "1.1",
        "client": ("127.0.0.1", 5),
    }
    event = proxy_event(scope, b"\xff")
    assert event["requestContext"]["identity"]["sourceIp"] == "127.0.0.1"
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "b": ["ä"]}
    assert event["headers"]["a"] == "1, 2"
    assert (event["body"], event["isBase64Encoded"]) == ("/w==", True)


def test_a_client_that_leaves_in_the_middle_of_a_body_harms_nobody(server):
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as half:
        half.sendall(b"POST /v1/agents HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc")
    assert server.request("GET", "/v1/agents").status_code == 200
    assert not [line for line in server.process.lines if "Traceback" in line]


def test_keys_are_in_no_log(server):
    session = server.new_session()
    server.say(session, "hello")
    server.until_idle(session)
    server.request("GET", "/v1/agents", key="sk-a-wrong-key")
    said = "\n".join(server.process.lines)
    assert server.key not in said
    assert "sk-a-wrong-key" not in said


def test_a_key_revoked_by_another_process_is_refused_at_once(server, data_dir):
    def freehold(*arguments):
        command = [sys.executable, "-m", "freehold.cli", *arguments, "--data-dir", str(data_dir)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        return json.loads(done.stdout)

    made = freehold("keys", "create", "--workspace", "guests", "--json")["key"]
    assert server.request("GET", "/v1/agents", key=made).status_code == 200
    (key,) = [k for k in freehold("keys", "list", "--json") if k["workspace"] == "guests"]
    freehold("keys", "revoke", key["id"], "--json")
    assert server.request("GET", "/v1/agents", key=made).status_code == 401
    assert server.request("GET", "/v1/agents").status_code == 200


# ---------------------------------------------------------------- runs that fail
class FailingOnce(ScriptedModel):
    """A defect, not a refusal of the model: the function raises."""

    def __init__(self):
        super().__init__()
        self.requests = 0

    def open(self, request):
        self.requests += 1
        if self.requests == 1:
            raise RuntimeError("a defect")
        return super().open(request)


def test_a_run_whose_function_raises_is_released_and_goes_on(tmp_path, caplog):
    model = FailingOnce()
    with server_in_process(tmp_path, model=model) as server:
        session = server.new_session()
        server.say(session, 'script: [{"say": "in the end"}]')
        events = server.until_idle(session)
    (message,) = [e for e in events if e["type"] == "agent.message"]
    assert message["content"][0]["text"] == "in the end"
    spans = [e for e in events if e["type"] == "span.model_request_end"]
    assert [span["is_error"] for span in spans] == [True, False]
    (record,) = [r for r in caplog.records if r.message == "function_failed"]
    assert (record.function, record.error) == ("run_turn", "RuntimeError")


# ---------------------------------------------------------------- the end
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_streams_and_server_in_order(tmp_path, number):
    with server_process(tmp_path, sandbox="none") as ending:
        session = ending.new_session()
        with open_stream(ending, session) as stream:
            ending.process.process.send_signal(number)
            started = time.monotonic()
            assert stream.frames() == [], "the stream ends as streams do, it is not cut"
        assert ending.process.process.wait(10) == 0
        assert time.monotonic() - started < 3
        ending.process._reader.join()
        assert not [line for line in ending.process.lines if "Traceback" in line]


def test_a_stop_does_not_wait_for_a_long_model_request(tmp_path):
    with server_process(tmp_path, sandbox="none") as ending:
        session = ending.new_session()
        ending.say(session, slow(60))
        wait_for(lambda: "span.model_request_start" in types_of(ending, session))
        started = time.monotonic()
        assert ending.process.stop() == 0
        assert time.monotonic() - started < 9


def types_of(server, session):
    return [event["type"] for event in server.events(session)]


def test_what_a_stop_interrupted_goes_on_at_the_next_start(tmp_path):
    key = {"FREEHOLD_API_KEY": "the-same-key"}
    with server_process(tmp_path, sandbox="none", environment=key) as first:
        session = first.new_session()
        sent = first.say(session, slow(2))
        wait_for(lambda: "span.model_request_start" in types_of(first, session))
        before = first.events(session)
        os.kill(first.process.process.pid, signal.SIGKILL)
        first.process.process.wait(10)
    with server_process(tmp_path, sandbox="none", environment=key) as second:
        after = second.until_idle(session)
    assert after[: len(before)] == before
    assert [e["id"] for e in after if e["type"] == "user.message"] == [sent["id"]]
    messages = [e for e in after if e["type"] == "agent.message"]
    assert [m["content"][0]["text"] for m in messages] == ["at last"]


def test_after_kill_9_work_goes_on_at_once(tmp_path):
    """Health answers only once the dead runs were released, so the next commit is near."""
    key = {"FREEHOLD_API_KEY": "the-same-key"}
    with server_process(tmp_path, sandbox="none", environment=key) as first:
        session = first.new_session()
        first.say(session, slow(60))
        wait_for(lambda: "span.model_request_start" in types_of(first, session))
        known = len(first.events(session))
        os.kill(first.process.process.pid, signal.SIGKILL)
        first.process.process.wait(10)
    with server_process(tmp_path, sandbox="none", environment=key) as second:
        wait_for(lambda: second.request("GET", "/healthz").status_code == 200)
        wait_for(lambda: len(second.events(session)) > known, seconds=5)
        second.post(f"/v1/sessions/{session}/events", {"events": [{"type": "user.interrupt"}]})
        assert second.until_idle(session)[-1]["stop_reason"] == {"type": "end_turn"}


def test_many_requests_at_once(server):
    """More than there are handler threads; each gets its own answer."""
    answers, failures = {}, []

    def create(n):
        try:
            with httpx2.Client(trust_env=False, timeout=30) as http:
                body = {"name": f"agent-{n}", "model": "claude-sonnet-5-5"}
                headers = {"x-api-key": server.key, **HEADERS}
                answer = http.post(server.url + "/v1/agents", json=body, headers=headers)
                answers[n] = (answer.json()["name"], answer.headers["request-id"])
        except Exception as error:  # noqa: BLE001 - reported by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=create, args=(n,)) for n in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {n: name for n, (name, _) in answers.items()} == {n: f"agent-{n}" for n in range(100)}
    assert len({request_id for _, request_id in answers.values()}) == 100
