"""The official SDK, strict, is the referee: in process against the functions, and over HTTP."""

from __future__ import annotations

import json
import secrets

import anthropic
import pytest
from pydantic import BaseModel

from tests.servers import server_in_process, server_process, wait_for

MODEL = "claude-sonnet-5-5"
TOOLSET = {"type": "agent_toolset_20260401"}


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    with server_process(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture(scope="module", params=["in process", "over HTTP"])
def server(request, tmp_path_factory):
    if request.param == "over HTTP":
        yield request.getfixturevalue("process")
        return
    with server_in_process(tmp_path_factory.mktemp("local")) as local:
        yield local


@pytest.fixture
def client(server):
    return server.client()


@pytest.fixture
def streaming(process):
    return process.client()


def unknown_fields(value, path="answer"):
    """Every field of an answer, however deep, that the SDK's types do not know."""
    found = []
    if isinstance(value, BaseModel):
        found += [f"{path}.{name}" for name in value.model_extra or ()]
        for name in type(value).model_fields:
            found += unknown_fields(getattr(value, name, None), f"{path}.{name}")
    elif isinstance(value, dict):
        for name, inner in value.items():
            found += unknown_fields(inner, f"{path}[{name!r}]")
    elif isinstance(value, list | tuple):
        for n, inner in enumerate(value):
            found += unknown_fields(inner, f"{path}[{n}]")
    return found


def known(value):
    """`value`, after a look for fields that the SDK does not know."""
    assert unknown_fields(value) == []
    return value


def message(text):
    return {"type": "user.message", "content": [{"type": "text", "text": text}]}


def script(*rounds):
    """What the scripted model does, one element a reply."""
    return message("script: " + json.dumps(list(rounds)))


def new_agent(client, **fields):
    return client.beta.agents.create(**{"name": "A", "model": MODEL, **fields})


def new_environment(client):
    return client.beta.environments.create(name=f"e-{secrets.token_hex(8)}")


def new_session(client, *, tools=(), **fields):
    agent = new_agent(client, tools=list(tools))
    return client.beta.sessions.create(
        agent=agent.id, environment_id=new_environment(client).id, **fields
    )


def when_idle(client, session_id):
    def look():
        found = client.beta.sessions.retrieve(session_id)
        return found if found.status == "idle" else None

    return wait_for(look)


def types_of(events):
    return [event.type for event in events]


def test_the_look_for_unknown_fields_sees_them_at_any_depth():
    class Inner(BaseModel, extra="allow"):
        a: int

    class Outer(BaseModel, extra="allow"):
        inner: list[Inner]

    assert unknown_fields(Outer(inner=[Inner(a=1, b=2)])) == ["answer.inner[0].b"]


# ---------------------------------------------------------------- agents
def test_agents_create(client):
    agent = known(
        new_agent(
            client,
            name="Coder",
            description="writes code",
            system="Be brief.",
            tools=[TOOLSET],
            metadata={"team": "x"},
        )
    )
    assert (agent.name, agent.version, agent.metadata) == ("Coder", 1, {"team": "x"})
    assert agent.archived_at is None


def test_agents_retrieve(client):
    agent = new_agent(client)
    newer = client.beta.agents.update(agent.id, version=1, name="B")
    assert known(client.beta.agents.retrieve(agent.id)) == newer
    assert known(client.beta.agents.retrieve(agent.id, version=1)).name == "A"
    with pytest.raises(anthropic.NotFoundError):
        client.beta.agents.retrieve(agent.id, version=3)


def test_agents_list(client):
    made = [new_agent(client).id for _ in range(5)]
    first = known(client.beta.agents.list(limit=2))
    assert [a.id for a in first.data] == [made[4], made[3]]
    ids = [agent.id for agent in client.beta.agents.list(limit=2)]
    assert ids[:5] == made[::-1]
    assert len(ids) == len(set(ids))
    client.beta.agents.archive(made[0])
    assert made[0] not in [a.id for a in client.beta.agents.list(limit=100)]
    assert made[0] in [a.id for a in client.beta.agents.list(limit=100, include_archived=True)]


def test_agents_update(client):
    agent = new_agent(client, metadata={"keep": "1", "drop": "2"})
    changed = known(
        client.beta.agents.update(
            agent.id, version=1, system="New.", metadata={"drop": None, "add": "3"}
        )
    )
    assert (changed.version, changed.system) == (2, "New.")
    assert changed.metadata == {"keep": "1", "add": "3"}
    assert client.beta.agents.update(agent.id, version=2, system="New.").version == 2
    with pytest.raises(anthropic.ConflictError) as refused:
        client.beta.agents.update(agent.id, version=1, name="late")
    assert refused.value.response.headers["x-should-retry"] == "false"


def test_agents_archive(client):
    agent = new_agent(client)
    archived = known(client.beta.agents.archive(agent.id))
    assert archived.archived_at is not None
    assert client.beta.agents.archive(agent.id).archived_at == archived.archived_at


def test_agents_versions_list(client):
    agent = new_agent(client)
    for version in (1, 2):
        client.beta.agents.update(agent.id, version=version, name=f"v{version + 1}")
    page = known(client.beta.agents.versions.list(agent.id, limit=2))
    assert [a.version for a in page.data] == [3, 2]
    assert [a.version for a in client.beta.agents.versions.list(agent.id, limit=2)] == [3, 2, 1]


# ---------------------------------------------------------------- environments
def test_environments_create(client):
    name = f"e-{secrets.token_hex(8)}"
    environment = known(client.beta.environments.create(name=name, description="d"))
    assert (environment.name, environment.description) == (name, "d")
    assert environment.config.networking.type == "unrestricted"
    with pytest.raises(anthropic.ConflictError):
        client.beta.environments.create(name=name)


def test_environments_retrieve(client):
    environment = new_environment(client)
    assert known(client.beta.environments.retrieve(environment.id)) == environment


def test_environments_list(client):
    made = [new_environment(client).id for _ in range(3)]
    page = known(client.beta.environments.list(limit=2))
    assert {e.id for e in page.data} <= set(made)
    assert set(made) <= {e.id for e in client.beta.environments.list(limit=2)}


def test_environments_update(client):
    environment = new_environment(client)
    changed = known(client.beta.environments.update(environment.id, description="new"))
    assert (changed.description, changed.name) == ("new", environment.name)


def test_environments_archive(client):
    environment = new_environment(client)
    assert known(client.beta.environments.archive(environment.id)).archived_at is not None
    with pytest.raises(anthropic.BadRequestError):
        client.beta.sessions.create(agent=new_agent(client).id, environment_id=environment.id)


def test_environments_delete(client):
    session = new_session(client)
    with pytest.raises(anthropic.ConflictError) as refused:
        client.beta.environments.delete(session.environment_id)
    assert refused.value.response.headers["x-should-retry"] == "false"
    client.beta.sessions.delete(session.id)
    deleted = known(client.beta.environments.delete(session.environment_id))
    assert deleted.type == "environment_deleted"
    with pytest.raises(anthropic.NotFoundError):
        client.beta.environments.retrieve(session.environment_id)


# ---------------------------------------------------------------- sessions
def test_sessions_create(client):
    session = known(new_session(client, title="T", metadata={"a": "b"}))
    assert (session.status, session.title, session.metadata) == ("idle", "T", {"a": "b"})
    running = known(new_session(client, initial_events=[message("Hello")]))
    assert running.status in ("running", "idle")
    when_idle(client, running.id)


def test_sessions_create_pins_a_version(client):
    agent = new_agent(client)
    client.beta.agents.update(agent.id, version=1, name="newer")
    session = client.beta.sessions.create(
        agent={"type": "agent", "id": agent.id, "version": 1},
        environment_id=new_environment(client).id,
    )
    assert (session.agent.name, session.agent.version) == ("A", 1)


def test_sessions_retrieve(client):
    session = new_session(client)
    assert known(client.beta.sessions.retrieve(session.id)).id == session.id


def test_sessions_list(client):
    made = [new_session(client).id for _ in range(4)]
    first = known(client.beta.sessions.list(limit=2))
    assert [s.id for s in first.data] == [made[3], made[2]]
    second = known(first.get_next_page())
    assert [s.id for s in second.data] == [made[1], made[0]]
    oldest = client.beta.sessions.list(limit=1, order="asc")
    assert oldest.data[0].id <= made[0]


def test_sessions_update(client):
    session = new_session(client, metadata={"a": "1", "b": "2"})
    changed = known(client.beta.sessions.update(session.id, title="N", metadata={"a": None}))
    assert (changed.title, changed.metadata) == ("N", {"b": "2"})
    assert types_of(client.beta.sessions.events.list(session.id)) == ["session.updated"]


def test_sessions_archive(client):
    session = new_session(client)
    archived = known(client.beta.sessions.archive(session.id))
    assert archived.status == "terminated"
    assert archived.archived_at is not None
    with pytest.raises(anthropic.BadRequestError, match="Cannot send events to archived session"):
        client.beta.sessions.events.send(session.id, events=[message("late")])
    assert types_of(client.beta.sessions.events.list(session.id))[-1].endswith("terminated")


def test_sessions_delete(client):
    session = new_session(client)
    assert known(client.beta.sessions.delete(session.id)).type == "session_deleted"
    with pytest.raises(anthropic.NotFoundError):
        client.beta.sessions.retrieve(session.id)
    assert session.id not in [s.id for s in client.beta.sessions.list(limit=100)]


# ---------------------------------------------------------------- events
def test_sessions_events_send(client):
    session = new_session(client)
    sent = known(client.beta.sessions.events.send(session.id, events=[message("Hello")]))
    assert types_of(sent.data) == ["user.message"]
    assert sent.data[0].id.startswith("sevt_")
    when_idle(client, session.id)


def test_sessions_events_list(client):
    session = new_session(client)
    client.beta.sessions.events.send(session.id, events=[script({"say": "Hi"})])
    when_idle(client, session.id)
    events = known(list(client.beta.sessions.events.list(session.id, limit=1000)))
    assert types_of(events) == [
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
    assert events[-1].stop_reason.type == "end_turn"
    paged = [event.id for event in client.beta.sessions.events.list(session.id, limit=2)]
    assert paged == [event.id for event in events]
    newest = client.beta.sessions.events.list(session.id, order="desc", limit=1)
    assert newest.data[0].id == events[-1].id
    only = client.beta.sessions.events.list(session.id, types=["agent.message"])
    assert types_of(only) == ["agent.message"]


def test_a_tool_turn(client):
    session = new_session(client, tools=[TOOLSET])
    client.beta.sessions.events.send(
        session.id,
        events=[
            script({"tool": "bash", "input": {"command": "echo forty-$((40+2))"}}, {"say": "Done."})
        ],
    )
    when_idle(client, session.id)
    events = known(list(client.beta.sessions.events.list(session.id)))
    use = next(e for e in events if e.type == "agent.tool_use")
    result = next(e for e in events if e.type == "agent.tool_result")
    assert (use.name, use.evaluated_permission) == ("bash", "allow")
    assert result.tool_use_id == use.id
    assert "forty-42" in result.content[0].text
    assert types_of(events).count("span.model_request_end") == 2


# ---------------------------------------------------------------- threads
def test_sessions_threads_list(client):
    session = new_session(client)
    page = known(client.beta.sessions.threads.list(session.id))
    assert len(page.data) == 1
    assert page.data[0].parent_thread_id is None


def test_sessions_threads_retrieve(client):
    session = new_session(client)
    (thread,) = client.beta.sessions.threads.list(session.id)
    found = known(client.beta.sessions.threads.retrieve(thread.id, session_id=session.id))
    assert (found.id, found.session_id) == (thread.id, session.id)


def test_sessions_threads_events_list(client):
    session = new_session(client)
    client.beta.sessions.events.send(session.id, events=[script({"say": "Hi"})])
    when_idle(client, session.id)
    (thread,) = client.beta.sessions.threads.list(session.id)
    events = known(
        list(client.beta.sessions.threads.events.list(thread.id, session_id=session.id, limit=3))
    )
    assert [e.id for e in events] == [e.id for e in client.beta.sessions.events.list(session.id)]


# ---------------------------------------------------------------- streams
def follow(stream):
    """The events up to the session's idle."""
    events = []
    for event in stream:
        events.append(known(event))
        if event.type == "session.status_idle":
            return events
    raise AssertionError("the stream ended before the session was idle")


def test_sessions_events_stream(streaming):
    session = new_session(streaming)
    with streaming.beta.sessions.events.stream(session.id) as stream:
        streaming.beta.sessions.events.send(session.id, events=[script({"say": "Hi there"})])
        events = follow(stream)
    assert types_of(events) == [
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
    assert events[0].id == events[3].id
    assert events[0].processed_at is None
    assert events[3].processed_at is not None


def test_a_stream_with_previews(streaming):
    session = new_session(streaming)
    reply = {"think": "Hm.", "say": "One two three four five six seven eight."}
    with streaming.beta.sessions.events.stream(
        session.id, event_deltas=["agent.message", "agent.thinking"]
    ) as stream:
        streaming.beta.sessions.events.send(session.id, events=[script(reply)])
        events = follow(stream)
    assert "agent.thinking" in types_of(events)
    final = [e for e in events if e.type == "agent.message"][-1]
    starts = [e for e in events if e.type == "event_start" and e.event.id == final.id]
    deltas = [e for e in events if e.type == "event_delta" and e.event_id == final.id]
    assert len(starts) == 1
    assert final.content[0].text.startswith("".join(d.delta.content.text for d in deltas))
    assert deltas
    assert events.index(starts[0]) < events.index(deltas[0]) < events.index(final)
    listed = types_of(streaming.beta.sessions.events.list(session.id))
    assert "event_start" not in listed
    assert "event_delta" not in listed


def test_sessions_threads_events_stream(streaming):
    session = new_session(streaming)
    (thread,) = streaming.beta.sessions.threads.list(session.id)
    with streaming.beta.sessions.threads.events.stream(thread.id, session_id=session.id) as stream:
        streaming.beta.sessions.events.send(session.id, events=[script({"say": "Hi"})])
        events = follow(stream)
    assert "agent.message" in types_of(events)


def test_the_quickstart(streaming):
    """An agent with tools makes a file and runs it, watched from the first event to the last."""
    session = new_session(streaming, tools=[TOOLSET])
    with streaming.beta.sessions.events.stream(session.id) as stream:
        streaming.beta.sessions.events.send(session.id, events=[message("Write and run a program")])
        events = follow(stream)
    uses = [e for e in events if e.type == "agent.tool_use"]
    results = {e.tool_use_id: e for e in events if e.type == "agent.tool_result"}
    assert uses
    assert {use.id for use in uses} == set(results)
    assert events[-1].stop_reason.type == "end_turn"


# ---------------------------------------------------------------- errors
def test_a_wrong_key(server):
    client = server.client(api_key="wrong")
    with pytest.raises(anthropic.AuthenticationError):
        client.beta.agents.list()


@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
def test_a_key_in_either_header(server, header):
    value = server.key if header == "x-api-key" else f"Bearer {server.key}"
    answer = server.request("GET", "/v1/agents", headers={"x-api-key": None, header: value})
    assert answer.status_code == 200


def test_a_body_that_is_refused(client):
    with pytest.raises(anthropic.BadRequestError) as refused:
        client.beta.agents.create(name="A", model=MODEL, extra_body={"colour": "red"})
    assert refused.value.body["error"]["type"] == "invalid_request_error"
    assert '"colour"' in refused.value.body["error"]["message"]
    assert refused.value.request_id == refused.value.body["request_id"]


def test_messages_are_not_served_here(client):
    with pytest.raises(anthropic.NotFoundError, match="not served here"):
        client.messages.create(
            model=MODEL, max_tokens=5, messages=[{"role": "user", "content": "Hi"}]
        )
