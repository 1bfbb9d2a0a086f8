"""`Idempotency-Key` under races and crashes: whatever happens to a request, its repeats make one
thing between them, and say the same.
"""

from __future__ import annotations

import json
import secrets
import threading
from dataclasses import replace

import httpx2
import pytest

from freehold.event_log import EventLog
from freehold.testing.faulty_records import Fault, FaultyRecords, Killed
from freehold.testing.lambda_transport import LambdaTransport
from functions.api.handler import make_handler
from tests.contract.fuzz_target import open_target

OPERATIONS = {
    "agent": "POST /v1/agents",
    "environment": "POST /v1/environments",
    "session": "POST /v1/sessions",
    "running session": "POST /v1/sessions",
    "send": "POST /v1/sessions/{session_id}/events",
    "interrupt": "POST /v1/sessions/{session_id}/events",
    "large send": "POST /v1/sessions/{session_id}/events",
}


def message(text="once"):
    return {"type": "user.message", "content": [{"type": "text", "text": text}]}


def body_of(target, what):
    session = {
        "agent": target.ids["agent_id"],
        "environment_id": target.ids["environment_id"],
    }
    return {
        "agent": {"name": secrets.token_hex(8), "model": "m"},
        "environment": {"name": secrets.token_hex(8)},
        "session": session,
        "running session": {**session, "initial_events": [message()]},
        "send": {"events": [message()]},
        "interrupt": {"events": [message(), {"type": "user.interrupt"}, message()]},
        "large send": {"events": [message("x" * 400_000)]},
    }[what]


def made(target):
    """Everything there is: what a second one would add to."""
    session = target.ids["session_id"]
    lists = ("/v1/agents", "/v1/environments", "/v1/sessions", f"/v1/sessions/{session}/events")
    found = [
        item["id"]
        for path in lists
        for item in target.server.request("GET", path, params={"limit": 100}).json()["data"]
    ]
    return set(found)


def sender(target, what, key, body=None):
    content = json.dumps(body or body_of(target, what)).encode()

    def send(http=None):
        headers = {"idempotency-key": key}
        served = replace(target, server=replace(target.server, http=http or target.server.http))
        return served.send(OPERATIONS[what], content, headers=headers)

    return send


def together(sends):
    """The answers of requests that are made at once."""
    found, gate = [None] * len(sends), threading.Barrier(len(sends))

    def run(n):
        gate.wait()
        found[n] = sends[n]()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(sends))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.fixture
def target(tmp_path):
    with open_target(tmp_path) as target:
        yield target


# ---------------------------------------------------------------- at once
@pytest.mark.parametrize("what", OPERATIONS)
def test_repeats_at_once_make_one(target, what):
    send = sender(target, what, "k")
    answers = together([send] * 6)
    assert {answer.status_code for answer in answers} == {200}, answers[0].text
    assert len({answer.content for answer in answers}) == 1
    after = made(target)
    assert send().content == answers[0].content
    assert made(target) == after


@pytest.mark.parametrize("what", ["agent", "environment", "session", "send"])
def test_of_different_requests_at_once_under_one_key_one_is_made(target, what):
    before = made(target)
    extra = {"metadata": {"n": "0"}} if what != "send" else {}
    bodies = [{**body_of(target, what), **extra} for _ in range(6)]
    for n, body in enumerate(bodies):
        if what == "send":
            body["events"] = [message(str(n))]
        else:
            body["metadata"] = {"n": str(n)}
    answers = together([sender(target, what, "k", body) for body in bodies])
    served = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 400]
    assert (len(served), len(refused)) == (1, 5)
    assert all("another request" in a.json()["error"]["message"] for a in refused)
    found = served[0].json()
    (new, *_) = [found["id"]] if what != "send" else [event["id"] for event in found["data"]]
    assert {i for i in made(target) - before if not i.startswith("sevt")} <= {new}
    if what == "send":
        texts = [e["content"][0]["text"] for e in sent_messages(target)]
        assert texts == [found["data"][0]["content"][0]["text"]]


def sent_messages(target):
    session = target.ids["session_id"]
    page = target.server.request("GET", f"/v1/sessions/{session}/events").json()
    return [event for event in page["data"] if event["type"] == "user.message"]


class Meanwhile:
    """A store before whose call `number` of `get` something happens."""

    def __init__(self, records, number, act):
        self._records = records
        self._left = number
        self._act = act

    def __getattr__(self, name):
        return getattr(self._records, name)

    def get(self, places):
        self._left -= 1
        if self._left == 0:
            self._act()
        return self._records.get(places)


@pytest.mark.parametrize("what", ["agent", "environment", "session"])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_what_was_made_meanwhile_does_not_refuse_its_own_repeat(target, what, number):
    """Its name is taken by itself, or what it was made of has been archived since."""
    send, before, first = sender(target, what, "k"), made(target), []
    app = target.server.app

    def act():
        first.append(send())
        target.send("POST /v1/agents/{agent_id}/archive", b"")

    handler = make_handler(replace(app, records=Meanwhile(app.records, number, act)))
    with httpx2.Client(transport=LambdaTransport(handler)) as http:
        second = send(http)
    if first:
        assert (second.status_code, second.content) == (200, first[0].content)
    new = made(target) - before
    assert new == {second.json()["id"]}


# ---------------------------------------------------------------- crashes
FAULTS = [
    *((name, fault) for name in ("get", "write") for fault in (Fault.KILLED_BEFORE, Fault.REFUSED)),
    *(("write", fault) for fault in (Fault.KILLED_AFTER, Fault.UNANSWERED, Fault.LOST, Fault.HELD)),
]


@pytest.mark.parametrize("what", OPERATIONS)
@pytest.mark.parametrize(("name", "fault"), FAULTS, ids=lambda value: getattr(value, "name", value))
def test_whatever_happens_to_a_request_its_repeats_make_one(target, what, name, fault):
    """At each call of the store in turn, until the request makes no further one."""
    for number in range(1, 20):
        send = sender(target, what, secrets.token_hex(8))
        before = made(target)
        records = FaultyRecords(target.server.app.records, {(name, number): fault})
        log = EventLog(records, target.server.app.blobs, target.server.app.secrets)
        handler = make_handler(replace(target.server.app, records=records, log=log))
        with httpx2.Client(transport=LambdaTransport(handler)) as http:
            first = attempt(send, http)
        while records.held:
            records.land()
        answers = [send(), send()]
        assert {answer.status_code for answer in answers} == {200}, answers[0].text
        assert answers[0].content == answers[1].content
        if first is not None and first.status_code == 200:
            assert first.content == answers[0].content
        check_one(target, answers[0].json(), made(target) - before)
        if records.calls[name] < number:
            assert number > 1
            return
    raise AssertionError("it never came to an end")


def attempt(send, http):
    """The answer, or None where the process died."""
    try:
        return send(http)
    except Killed:
        return None


def check_one(target, answer, new):
    """Of everything that is new, only what was answered is a client's."""
    own = {answer["id"]} if "id" in answer else {event["id"] for event in answer["data"]}
    made_by_clients = {i for i in new if not i.startswith("sevt")}
    assert made_by_clients == {i for i in own if not i.startswith("sevt")}
    if "data" in answer:
        listed = {event["id"] for event in sent_messages(target)}
        assert {e["id"] for e in answer["data"] if e["type"] == "user.message"} <= listed
        assert {event["id"] for event in sent_messages(target)} & new <= own
