"""Events that take more than a quiet turn, through the official SDK: interrupts, errors, the end of
a session.
"""

from __future__ import annotations

import asyncio
import threading

import anthropic
import pytest

from tests.contract.test_sdk import (
    TOOLSET,
    follow,
    known,
    message,
    new_session,
    script,
    types_of,
    when_idle,
)
from tests.servers import server_process


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with server_process(tmp_path_factory.mktemp("events")) as server:
        yield server


@pytest.fixture
def client(served):
    return served.client()


def test_an_interrupt_ends_a_running_tool_and_the_message_beside_it_is_answered(client):
    session = new_session(client, tools=[TOOLSET])
    sleep = {"tool": "bash", "input": {"command": "sleep 300"}}
    interrupt = {"type": "user.interrupt"}
    with client.beta.sessions.events.stream(session.id) as stream:
        client.beta.sessions.events.send(session.id, events=[script(sleep, {"say": "Never."})])
        for event in stream:
            if event.type == "agent.tool_use":
                break
        client.beta.sessions.events.send(
            session.id, events=[interrupt, script({"say": "Instead."})]
        )
        stopped = follow(stream)
        resumed = follow(stream)
    results = [e for e in stopped if e.type == "agent.tool_result"]
    assert [r.is_error for r in results] == [True]
    assert results[0].content[0].text.startswith("Tool execution was interrupted")
    assert stopped[-1].stop_reason.type == "end_turn"
    said = [e.content[0].text for e in resumed if e.type == "agent.message"]
    assert said == ["Instead."]
    listed = known(list(client.beta.sessions.events.list(session.id)))
    interrupts = [e for e in listed if e.type == "user.interrupt"]
    assert len(interrupts) == 1
    assert interrupts[0].processed_at is not None


def test_a_failed_request_is_rescheduled_and_then_answered(client):
    session = new_session(client)
    reply = {"error": "overloaded", "times": 1, "say": "Better."}
    with client.beta.sessions.events.stream(session.id) as stream:
        client.beta.sessions.events.send(session.id, events=[script(reply)])
        events = follow(stream)
    kinds = types_of(events)
    at = kinds.index("session.error")
    assert kinds[at - 1 : at + 5] == [
        "span.model_request_end",
        "session.error",
        "session.status_rescheduled",
        "session.thread_status_rescheduled",
        "session.status_running",
        "session.thread_status_running",
    ]
    assert events[at].error.type == "model_overloaded_error"
    assert events[at].error.retry_status.type == "retrying"
    assert events[at - 1].is_error is True
    assert events[-1].stop_reason.type == "end_turn"


def test_a_deletion_is_the_last_event_of_an_open_stream(client):
    session = new_session(client)
    with client.beta.sessions.events.stream(session.id) as stream:
        deleted = client.beta.sessions.delete(session.id)
        events = [known(event) for event in stream]
    assert deleted.id == session.id
    assert types_of(events) == ["session.deleted"]
    with pytest.raises(anthropic.NotFoundError):
        client.beta.sessions.retrieve(session.id)


def test_a_dropped_stream_resumes_without_a_gap(client, served):
    session = new_session(client)
    client.beta.sessions.events.send(session.id, events=[script({"say": "One."})])
    when_idle(client, session.id)
    listed = [e.id for e in client.beta.sessions.events.list(session.id)]
    with client.beta.sessions.events.stream(
        session.id, extra_headers={"Last-Event-ID": "3"}
    ) as stream:
        events = follow(stream)
    assert [e.id for e in events] == listed[-len(events) :]
    assert types_of(events)[0] == "user.message"


def test_two_readers_see_the_same_events(client):
    session = new_session(client)
    seen = {}

    def read(name, ready):
        with client.beta.sessions.events.stream(session.id) as stream:
            ready.set()
            seen[name] = [event.id for event in follow(stream)]

    ready = [threading.Event(), threading.Event()]
    readers = [threading.Thread(target=read, args=(n, ready[n])) for n in range(2)]
    for reader in readers:
        reader.start()
    for event in ready:
        assert event.wait(20)
    client.beta.sessions.events.send(session.id, events=[script({"say": "Hello, both."})])
    for reader in readers:
        reader.join(20)
    assert seen[0] == seen[1]


def test_the_asynchronous_client_follows_a_session(served, client):
    session = new_session(client)

    async def run():
        async with anthropic.AsyncAnthropic(
            base_url=served.url, api_key=served.key, _strict_response_validation=True
        ) as asynchronous:
            stream = await asynchronous.beta.sessions.events.stream(session.id)
            async with stream:
                await asynchronous.beta.sessions.events.send(session.id, events=[message("Hello")])
                found = []
                async for event in stream:
                    found.append(known(event).type)
                    if event.type == "session.status_idle":
                        return found
        raise AssertionError("the stream ended early")

    kinds = asyncio.run(run())
    assert "agent.message" in kinds


def test_every_answer_names_its_request(client):
    raw = client.beta.sessions.with_raw_response.list()
    assert raw.headers["request-id"].startswith("req_")
    with pytest.raises(anthropic.BadRequestError) as refused:
        client.beta.agents.create(name="", model="m")
    assert refused.value.request_id == refused.value.response.headers["request-id"]
