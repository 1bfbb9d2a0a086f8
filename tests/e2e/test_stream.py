"""Streams of sessions that the deployed engine runs, with the official SDK, strict.

What ran where: API, state machine and its functions in the emulator, as deployed; `stream` as a
child process with the deployed code, environment and table (tests/e2e/program.py).
"""

from __future__ import annotations

import json
import threading
import time

import anthropic
import pytest

from freehold import keys
from freehold.adapters.dynamodb import DynamoRecords
from freehold.ids import parse_timestamp
from tests.contract.test_sdk import follow, known, message, script
from tests.e2e.conftest import create_key, run_freehold
from tests.e2e.program import stream_program
from tests.e2e.test_session import begin, history, until_idle
from tests.servers import wait_for
from tests.streams import open_stream

SLOW = {"say": "one two three four five six seven eight nine ten " * 4, "pace_ms": 30}
PREVIEWED = "?event_deltas[]=agent.message"


@pytest.fixture(scope="module")
def streams(account):
    # With a limit, for the permission to count; it is far from being reached.
    with stream_program(account, read_requests_per_minute=1000) as served:
        yield served


def send(client, session, *rounds):
    client.beta.sessions.events.send(session.id, events=[script(*rounds)])


def listeners_of(account, session):
    """Rows of who listens to a session's primary thread."""
    table = account.deployment.output("Data", "TableName")
    records = DynamoRecords(account.deployment.clients("dynamodb"), table)
    (thread,) = account.client().beta.sessions.threads.list(session.id)
    return records.query(keys.listeners(keys.feed("wrkspc_default", thread.id))).items


def test_a_session_is_streamed_with_previews(client, streams, capsys):
    session = begin(client)
    events, deltas, late = [], {}, []
    with streams.client().beta.sessions.events.stream(
        session.id, event_deltas=["agent.message"]
    ) as stream:
        send(client, session, {**SLOW, "delay_ms": 300}, {"say": "Done."})
        for event in map(known, stream):
            if event.type == "event_start":
                deltas[event.event.id] = ""
            elif event.type == "event_delta":
                deltas[event.event_id] += event.delta.content.text
            else:
                assert event.id not in {e.id for e in events if e.processed_at}
                events.append(event)
                made = parse_timestamp(event.processed_at.isoformat()) if event.processed_at else 0
                late.append(time.time() - made.timestamp() if made else 0)
            if event.type == "session.status_idle":
                break
    listed = history(client, session)
    assert [e.id for e in events if e.processed_at] == [e.id for e in listed]
    first = next(e for e in events if e.type == "agent.message")
    said = first.content[0].text
    assert len(deltas[first.id]) > len(said) / 2
    assert said.startswith(deltas[first.id])
    with capsys.disabled():
        print(f"\n  commit to frame: {[round(1000 * s) for s in sorted(late)]} ms")


def test_a_client_that_reconnects_with_the_last_id_misses_nothing(client, streams):
    session = begin(client)
    big = "x" * 700_000  # in the bucket, as what is too large for an item
    client.beta.sessions.events.send(session.id, events=[message(big), script({"say": "One."})])
    until_idle(client, session)
    with streams.client().beta.sessions.events.stream(
        session.id, extra_headers={"last-event-id": "0"}
    ) as stream:
        replayed = follow(stream)
    assert [e.id for e in replayed if e.processed_at] == [e.id for e in history(client, session)]
    assert big in [e.content[0].text for e in replayed if e.type == "user.message"]


def test_a_stream_that_ends_in_time_is_whole_and_the_next_one_goes_on(account, client):
    """Cut each second and a half while a turn is running: frames are whole and none is missing."""
    session = begin(client)
    found, cuts = [], 0
    with stream_program(account, stream_seconds=1.5) as streams:
        send(client, session, {**SLOW, "delay_ms": 1000}, {**SLOW, "say": "Two. " * 40})
        deadline = time.monotonic() + 40
        while not found or found[-1].type != "session.status_idle":
            assert time.monotonic() < deadline
            last = {"last-event-id": str(found[-1].id if found else 0)}
            with open_stream(streams, session.id, headers=last) as stream:
                assert stream.status == 200
                found += stream.frames()  # to an orderly end: no half frame, no broken chunk
            cuts += 1
    assert cuts > 1
    numbers = [frame.id for frame in found]
    assert numbers == list(range(1, len(numbers) + 1)) == account.log_numbers(session.id)


def test_a_client_that_leaves_is_not_previewed_to_any_more(account, client, streams):
    session = begin(client)
    with open_stream(streams, session.id, query=PREVIEWED) as stream:
        assert stream.status == 200
        (row,) = listeners_of(account, session)  # before the headers came
        assert row[0].sk.startswith("stream/")
    wait_for(lambda: not listeners_of(account, session), seconds=20)


def test_a_key_that_is_revoked_ends_its_streams(account, client, streams):
    session = begin(client)
    url = account.deployment.url
    key = create_key(url)
    listed = run_freehold(url, "keys", "list", "--json", "--stack", "Freehold-Data")
    key_id = json.loads(listed.stdout)[-1]["id"]
    with streams.client(api_key=key).beta.sessions.events.stream(session.id) as stream:
        done = run_freehold(url, "keys", "revoke", key_id, "--stack", "Freehold-Data")
        assert done.returncode == 0, done.stderr
        with pytest.raises(anthropic.APIError, match="revoked"):
            next(iter(stream))


def test_a_stream_that_cannot_be_opened_is_refused_in_the_envelope(client, streams):
    session = begin(client)
    place = f"/v1/sessions/{session.id}/events/stream"
    for answer, status, kind in (
        (streams.request("GET", place, key="sk-freehold-wrong"), 401, "authentication_error"),
        (streams.request("GET", "/v1/sessions/sesn_x/events/stream"), 404, "not_found_error"),
        (streams.request("POST", place), 405, "invalid_request_error"),
        (streams.request("GET", place + "?after=1"), 400, "invalid_request_error"),
    ):
        assert answer.status_code == status
        assert answer.json()["error"]["type"] == kind
        assert answer.headers["request-id"] == answer.json()["request_id"]


def test_deleting_a_session_ends_its_stream(client, streams):
    session = begin(client)
    with open_stream(streams, session.id) as stream:
        timer = threading.Timer(0.5, client.beta.sessions.delete, [session.id])
        timer.start()
        frames = stream.frames()
        timer.join()
    assert [frame.type for frame in frames] == ["session.deleted"]
