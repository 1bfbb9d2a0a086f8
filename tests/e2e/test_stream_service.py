"""The stream service as a program: fetched as its container fetches it, with the environment of its
task, on the deployed table, while the deployed engine runs the sessions.
"""

from __future__ import annotations

import pytest

from tests.contract.test_sdk import follow, message, script
from tests.e2e.program import service_program
from tests.e2e.test_session import begin, history, until_idle


@pytest.fixture(scope="module")
def service(account, tmp_path_factory):
    with service_program(account, tmp_path_factory.mktemp("program")) as served:
        yield served


def test_a_session_is_made_sent_to_and_streamed_at_one_address(service):
    client = service.client()
    session = begin(client)
    with client.beta.sessions.events.stream(session.id, event_deltas=["agent.message"]) as stream:
        reply = {"say": "One two three. " * 20, "pace_ms": 50, "delay_ms": 300}
        client.beta.sessions.events.send(session.id, events=[script(reply)])
        events = follow(stream)
    kinds = [event.type for event in events]
    assert "event_delta" in kinds
    kept = [e for e in events if not e.type.startswith("event_") and e.processed_at]
    assert [e.id for e in kept] == [e.id for e in history(client, session)]


def test_a_body_larger_than_a_function_takes_is_accepted(account, service):
    client = service.client()
    session = begin(client)
    big = "x" * 12_000_000
    client.beta.sessions.events.send(session.id, events=[message(big), script({"say": "Read."})])
    events = until_idle(account.client(), session)
    assert next(len(e.content[0].text) for e in events if e.type == "user.message") == len(big)


def test_what_the_service_does_not_serve_is_refused_in_the_envelope(service):
    for place in ("/ws", "/v1/messages", "/nowhere"):
        answer = service.request("GET", place)
        assert answer.status_code == 404
        assert answer.json()["error"]["type"] == "not_found_error"
        assert answer.headers["request-id"] == answer.json()["request_id"]
    too_large = service.request("POST", "/v1/agents", json={"name": "x" * 34_000_000})
    assert too_large.status_code == 413
    assert "33554432 bytes" in too_large.json()["error"]["message"]
