"""`Idempotency-Key`: a repeat is answered, byte for byte, and makes nothing (DESIGN 9)."""

from __future__ import annotations

import json
import secrets
import threading
from dataclasses import replace
from datetime import timedelta

import httpx2
import pytest

from freehold import keys
from freehold.engine import recovery
from freehold.event_log import EventLog
from freehold.services.keys import create_key
from freehold.testing.faulty_records import Fault, FaultyRecords, Killed
from freehold.testing.lambda_transport import LambdaTransport
from functions.api.handler import make_handler
from tests.clocks import Clock
from tests.servers import server_in_process, server_process

AGENT = {"name": "A", "model": "claude-sonnet-5-5"}


@pytest.fixture(scope="module")
def clock():
    return Clock()


@pytest.fixture(scope="module")
def server(tmp_path_factory, clock):
    with server_in_process(tmp_path_factory.mktemp("idempotency"), clock=clock) as local:
        yield local


def post(server, path, body, idempotency_key, **options):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"idempotency-key": idempotency_key}
    return server.request("POST", path, content=content, headers=headers, **options)


def some_key():
    return secrets.token_hex(8)


def message(text):
    return {"events": [{"type": "user.message", "content": [{"type": "text", "text": text}]}]}


def sends(server, session_id, text):
    events = server.events(session_id)
    sent = [e for e in events if e["type"] == "user.message" and e["content"][0]["text"] == text]
    return {event["id"] for event in sent}


def count(server, path):
    return len(server.request("GET", path, params={"limit": 100}).json()["data"])


# ---------------------------------------------------------------- repeats
def creates(server):
    agent = server.post("/v1/agents", AGENT)["id"]
    environment = server.post("/v1/environments", {"name": some_key()})["id"]
    return {
        "/v1/agents": AGENT,
        "/v1/environments": {"name": some_key()},
        "/v1/sessions": {"agent": agent, "environment_id": environment, "title": "T"},
    }


@pytest.mark.parametrize("path", ["/v1/agents", "/v1/environments", "/v1/sessions"])
def test_a_repeated_create_makes_nothing_and_is_answered_the_same(server, path):
    body, key = creates(server)[path], some_key()
    first = post(server, path, body, key)
    assert first.status_code == 200
    before = count(server, path)
    for _ in range(3):
        again = post(server, path, body, key)
        assert (again.status_code, again.content) == (200, first.content)
        assert again.headers["request-id"] != first.headers["request-id"]
    assert count(server, path) == before
    other = post(server, path, {**body, "name": some_key()} if "name" in body else body, some_key())
    assert other.json()["id"] != first.json()["id"]


def test_a_create_is_answered_as_it_was_though_it_has_changed_since(server):
    body = {**creates(server)["/v1/sessions"], "initial_events": message("go")["events"]}
    key = some_key()
    first = post(server, "/v1/sessions", body, key)
    assert first.json()["status"] == "running"
    server.until_idle(first.json()["id"])
    server.post(f"/v1/sessions/{first.json()['id']}", {"title": "another"})
    assert post(server, "/v1/sessions", body, key).content == first.content


def test_a_repeated_send_is_one_message(server):
    session, key = server.new_session(), some_key()
    path = f"/v1/sessions/{session}/events"
    first = post(server, path, message("once"), key)
    server.until_idle(session)
    again = post(server, path, message("once"), key)
    assert (again.status_code, again.content) == (200, first.content)
    assert sends(server, session, "once") == {first.json()["data"][0]["id"]}
    interrupt = {"events": [{"type": "user.interrupt"}]}
    key = some_key()
    assert post(server, path, interrupt, key).content == post(server, path, interrupt, key).content


def test_a_large_answer_is_repeated_too(server):
    session, key, text = server.new_session(), some_key(), "ä" * 400_000
    path = f"/v1/sessions/{session}/events"
    first = post(server, path, message(text), key)
    assert post(server, path, message(text), key).content == first.content
    assert len(sends(server, session, text)) == 1


def test_many_at_once_make_one(server):
    session, key = server.new_session(), some_key()
    path, found = f"/v1/sessions/{session}/events", []

    def send():
        found.append(post(server, path, message("together"), key))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in found} == {200}
    assert len({answer.content for answer in found}) == 1
    assert len(sends(server, session, "together")) == 1


def test_two_environments_of_one_name_under_one_key_are_one(server):
    """The loser of the race must be told what the winner made, not that the name is taken."""
    body, key, found = {"name": some_key()}, some_key(), []

    def create():
        found.append(post(server, "/v1/environments", body, key))

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(a.status_code, a.content) for a in found] == [(200, found[0].content)] * 6


# ---------------------------------------------------------------- what is not a repeat
def test_another_request_under_the_key_is_refused_and_makes_nothing(server):
    key = some_key()
    session = server.new_session()
    path = f"/v1/sessions/{session}/events"
    assert post(server, path, message("one"), key).status_code == 200
    for place, body in (
        (path, message("two")),
        (path, json.dumps(message("one"), indent=1).encode()),
        (f"/v1/sessions/{server.new_session()}/events", message("one")),
        ("/v1/agents", AGENT),
    ):
        answer = post(server, place, body, key)
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"
        assert "another request" in answer.json()["error"]["message"]
    assert sends(server, session, "two") == set()


def test_a_key_belongs_to_its_workspace(server):
    key, stranger = some_key(), create_key(server.app.records, "stranger")
    mine = post(server, "/v1/agents", AGENT, key)
    theirs = post(server, "/v1/agents", AGENT, key, key=stranger)
    assert theirs.status_code == 200
    assert theirs.json()["id"] != mine.json()["id"]


def test_a_refusal_is_not_kept(server):
    key = some_key()
    assert post(server, "/v1/agents", {"name": ""}, key).status_code == 400
    assert post(server, "/v1/agents", AGENT, key).status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "schlüssel"])
def test_what_is_no_key_is_refused(server, key):
    headers = {"idempotency-key": key.encode("utf-8")}
    answer = server.request("POST", "/v1/agents", json=AGENT, headers=headers)
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "tail"), [("GET", ""), ("POST", ""), ("POST", "/archive"), ("DELETE", "")]
)
def test_where_it_would_not_be_heeded_it_is_refused(server, method, tail):
    path = f"/v1/sessions/{server.new_session()}{tail}"
    answer = server.request(method, path, content=b"", headers={"idempotency-key": "k"})
    assert answer.status_code == 400
    assert "creates and sends" in answer.json()["error"]["message"]


# ---------------------------------------------------------------- the end of it
def test_after_24_hours_the_key_is_new(server, clock):
    key = some_key()
    first = post(server, "/v1/agents", AGENT, key)
    try:
        clock.ahead += timedelta(hours=23, minutes=59)
        assert post(server, "/v1/agents", AGENT, key).content == first.content
        clock.ahead += timedelta(minutes=2)
        second = post(server, "/v1/agents", {**AGENT, "name": "B"}, key)
        assert second.status_code == 200
        assert second.json()["id"] != first.json()["id"]
        again = post(server, "/v1/agents", {**AGENT, "name": "B"}, key)
        assert again.content == second.content
    finally:
        clock.ahead = timedelta()


def test_what_has_expired_is_dropped_by_the_sweep_and_nothing_else(tmp_path):
    clock = Clock()
    with server_in_process(tmp_path, clock=clock) as server:
        session = server.new_session()
        path, text = f"/v1/sessions/{session}/events", "x" * 400_000
        post(server, path, message(text), "old")
        made = post(server, "/v1/agents", AGENT, "old-agent").json()
        clock.ahead = timedelta(hours=12)
        post(server, "/v1/agents", AGENT, "new")
        server.until_idle(session)
        before = server.events(session)
        assert recovery.sweep(server.app).visited == 0
        clock.ahead = timedelta(hours=24, seconds=1)
        assert recovery.sweep(server.app).visited == 4
        records = server.app.records
        assert len(records.query("wrkspc_default/idempotency").items) == 1
        assert server.events(session) == before
        assert server.request("GET", f"/v1/agents/{made['id']}").json() == made
        blobs = [p for p in (tmp_path / "blobs").rglob("*") if p.is_file() and "answer" in str(p)]
        assert blobs == []


def test_a_deleted_session_s_answers_go_with_it(tmp_path):
    marker = f"marker-{secrets.token_hex(16)}"
    with server_in_process(tmp_path) as server:
        session = server.new_session()
        path = f"/v1/sessions/{session}/events"
        for n in range(3):
            post(server, path, message(f"{marker} {n}" + "y" * 200_000 * n), f"{marker[-6:]}{n}")
        server.until_idle(session)
        assert server.request("DELETE", f"/v1/sessions/{session}").status_code == 200
        assert post(server, path, message(f"{marker} 0"), f"{marker[-6:]}0").status_code == 404
        recovery.sweep(server.app)
        partition = keys.SessionKey("wrkspc_default", session).partition
        assert server.app.records.query(partition).items == ()
    left = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert marker.encode() not in left


def test_what_a_key_made_and_is_gone_is_not_made_again(server):
    body, key = creates(server)["/v1/sessions"], some_key()
    made = post(server, "/v1/sessions", body, key).json()["id"]
    server.request("DELETE", f"/v1/sessions/{made}")
    recovery.sweep(server.app)
    answer = post(server, "/v1/sessions", body, key)
    assert answer.status_code == 404
    assert "deleted" in answer.json()["error"]["message"]


# ---------------------------------------------------------------- a store that fails
@pytest.mark.parametrize("fault", [Fault.UNANSWERED, Fault.LOST, Fault.KILLED_AFTER])
@pytest.mark.parametrize("what", ["send", "session", "agent", "environment"])
def test_record_and_write_land_together(server, fault, what):
    """Killed after the write, the repeat finds the answer; with the answer lost, so does the first
    request itself.
    """
    session, bodies = server.new_session(), creates(server)
    path, body = {
        "send": (f"/v1/sessions/{session}/events", message(fault.name)),
        "session": ("/v1/sessions", bodies["/v1/sessions"]),
        "agent": ("/v1/agents", AGENT),
        "environment": ("/v1/environments", bodies["/v1/environments"]),
    }[what]
    records = FaultyRecords(server.app.records, {("write", 1): fault})
    log = EventLog(records, server.app.blobs, server.app.secrets)
    handler = make_handler(replace(server.app, records=records, log=log))
    key, before = some_key(), count(server, "/v1/agents")
    with httpx2.Client(transport=LambdaTransport(handler)) as http:
        failing = replace(server, http=http)
        if fault is Fault.KILLED_AFTER:
            with pytest.raises(Killed):
                post(failing, path, body, key)
            first = post(server, path, body, key)
        else:
            first = post(failing, path, body, key)
    assert first.status_code == 200, first.text
    assert post(server, path, body, key).content == first.content
    if what == "send":
        assert len(sends(server, session, fault.name)) == 1
    if what == "agent":
        assert count(server, "/v1/agents") == min(100, before + 1)


def test_a_repeat_after_kill_9_is_answered_by_the_next_process(tmp_path):
    environment = {"FREEHOLD_API_KEY": "the-same-key"}
    with server_process(tmp_path, sandbox="none", environment=environment) as first:
        session = first.new_session()
        path = f"/v1/sessions/{session}/events"
        sent = post(first, path, message("once"), "k")
        first.process.process.kill()
        first.process.process.wait(10)
    with server_process(tmp_path, sandbox="none", environment=environment) as second:
        assert post(second, path, message("once"), "k").content == sent.content
        second.until_idle(session)
        assert len(sends(second, session, "once")) == 1
