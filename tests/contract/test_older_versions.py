"""What version 1 left in the store is listed, answered and carried on.

`golden/store_v1.json` was taken out of a server's store once and is never written again: one
session waits for an answer, one has a model request open and a message queued, its process gone.
"""

from __future__ import annotations

import pytest

from freehold.engine import recovery
from freehold.keys import Key
from tests.contract.test_sdk import known, message, types_of
from tests.e2e.test_session import said, until_idle
from tests.golden import put_items, read_golden
from tests.servers import server_in_process

GOLDEN = read_golden("store_v1.json")


@pytest.fixture
def server(tmp_path):
    with server_in_process(tmp_path) as found:
        put_items(found.app.records, GOLDEN)
        yield found


def test_every_object_is_read_and_listed(server):
    client = server.client()
    agent = known(client.beta.agents.retrieve(GOLDEN["agent"]))
    assert (agent.name, agent.version, agent.metadata) == ("Second", 2, {"team": "blue"})
    assert [known(a).name for a in client.beta.agents.versions.list(agent.id)] == [
        "Second",
        "First",
    ]
    environment = known(client.beta.environments.retrieve(GOLDEN["environment"]))
    assert environment.description == "Where it runs."
    assert [e.id for e in client.beta.environments.list()] == [environment.id]
    sessions = [known(s) for s in client.beta.sessions.list(agent_id=agent.id)]
    assert {s.id: (s.title, s.status) for s in sessions} == {
        GOLDEN["parked"]: ("Parked", "idle"),
        GOLDEN["running"]: ("Running", "running"),
    }
    events = [known(e) for e in client.beta.sessions.events.list(GOLDEN["parked"])]
    assert types_of(events) == GOLDEN["types"]


def test_objects_are_changed_and_deleted(server):
    client = server.client()
    assert client.beta.agents.update(GOLDEN["agent"], version=2, name="Third").version == 3
    assert client.beta.sessions.update(GOLDEN["parked"], title="Renamed").title == "Renamed"
    client.beta.sessions.delete(GOLDEN["parked"])
    recovery.sweep(server.app)
    assert [s.id for s in client.beta.sessions.list()] == [GOLDEN["running"]]
    left = [place for place, _ in GOLDEN["items"] if GOLDEN["parked"] in "".join(place)]
    assert server.app.records.get([Key(*place) for place in left]) == [None] * len(left)


def test_a_session_that_waited_takes_its_answer(server):
    assert_takes_its_answer(server.client())


def assert_takes_its_answer(client):
    """The session that waits for one, and goes on after it."""
    session = known(client.beta.sessions.retrieve(GOLDEN["parked"]))
    (call,) = [
        e for e in client.beta.sessions.events.list(session.id) if e.type == "agent.tool_use"
    ]
    allow = {"type": "user.tool_confirmation", "tool_use_id": call.id, "result": "allow"}
    client.beta.sessions.events.send(session.id, events=[allow])
    assert said(until_idle(client, session)) == ["Answered."]
    client.beta.sessions.events.send(session.id, events=[message("And on.")])
    assert len(said(until_idle(client, session))) == 2


def test_a_session_whose_process_is_gone_goes_on(server):
    """Its request is closed and made once more, and what waited is answered."""
    client = server.client()
    session = client.beta.sessions.retrieve(GOLDEN["running"])
    assert recovery.sweep(server.app, claims_are_dead=True).released == 1
    events = until_idle(client, session)
    assert said(events)
    first, *others = [bool(e.is_error) for e in events if e.type == "span.model_request_end"]
    assert first
    assert others
    assert not any(others)
    assert all(e.processed_at for e in events if e.type == "user.message")
