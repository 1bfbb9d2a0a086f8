"""A session that outgrows the model's window, through the official SDK: it is summarized and goes
on, whatever happens meanwhile (BEHAVIOUR 7.9).
"""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest

from freehold.domain.compaction import INSTRUCTION
from freehold.testing.messages_faults import Stall
from freehold.testing.messages_server import MessagesServer
from tests.contract.relations import check_relations
from tests.contract.sequences import BEGIN, WORLDS, end, request, scene
from tests.contract.test_sdk import known, message, new_session, when_idle
from tests.servers import server_process, wait_for

WINDOW = 6_000
LOOKUP = {
    "type": "custom",
    "name": "lookup",
    "description": "Looks something up.",
    "input_schema": {"type": "object", "properties": {}},
}


def long(fact, *elements, tokens=1_200):
    """A message with something to remember, and much else."""
    return message(f"remember: {fact}\n{'x ' * 2 * tokens}\nscript: {json.dumps(elements)}")


@pytest.mark.parametrize("world", WORLDS)
def test_a_session_that_outgrows_the_window_is_summarized_and_goes_on(world, tmp_path):
    with scene(world, tmp_path / "data", context_window=WINDOW) as found:
        session = found.session()
        for number in range(9):
            found.play(session, long(f"fact {number}", {"say": f"Noted {number}."}))
        found.play(session, long("the last", {"say": "{remembered}"}, tokens=10))
        events = found.listed(session)
        assert events.count("agent.thread_context_compacted") >= 2
        assert not [line for line in events if line.startswith("session.error")]
        at = events.index("agent.thread_context_compacted")
        assert events[at - 4 : at + 6] == [
            *BEGIN[:2],
            "span.model_request_start",
            *request(),
            "agent.thread_context_compacted",
            *BEGIN[2:],
            *request("agent.message"),
            end()[0],
        ]
        history = list(found.client.beta.sessions.events.list(session.id))
        last = [e for e in history if e.type == "agent.message"][-1]
        facts = [f"fact {number}" for number in range(9)]
        assert last.content[0].text == "; ".join([*facts, "the last"])
        spans = [e.model_usage for e in history if e.type == "span.model_request_end"]
        usage = known(found.client.beta.sessions.retrieve(session.id)).usage
        assert usage.input_tokens == sum(span.input_tokens for span in spans)
        assert usage.output_tokens == sum(span.output_tokens for span in spans)


# ---------------------------------------------------------------- what happens meanwhile
@contextmanager
def served(directory, api):
    environment = {
        "ANTHROPIC_API_KEY": api.api_key,
        "ANTHROPIC_BASE_URL": api.url,
        "FREEHOLD_API_KEY": "the-same-after-a-restart",
        "FREEHOLD_CONTEXT_WINDOW": str(WINDOW),
    }
    with server_process(
        directory, model="anthropic", sandbox="none", environment=environment
    ) as server:
        yield server


@pytest.fixture
def api():
    with MessagesServer(window=WINDOW) as double:
        yield double


def summaries(api):
    return [r for r in api.requests if INSTRUCTION in r.body.decode()]


def nearly_full(client):
    """A session that waits for a result, with little room left."""
    session = new_session(client, tools=[LOOKUP])
    events = client.beta.sessions.events
    events.send(session.id, events=[long("the first", {"say": "Noted."})])
    when_idle(client, session.id)
    ask = {"say": "I ask.", "tool": "lookup"}
    events.send(session.id, events=[long("the second", ask, {"say": "{result} {remembered}"})])
    when_idle(client, session.id)
    return session


def answer(client, session):
    """The result it waits for, which leaves no room."""
    waiting = list(client.beta.sessions.events.list(session.id))[-1]
    assert waiting.stop_reason.type == "requires_action"
    text = f"found {'y ' * 3_500}"
    result = {
        "type": "user.custom_tool_result",
        "custom_tool_use_id": waiting.stop_reason.event_ids[0],
        "content": [{"type": "text", "text": text}],
    }
    client.beta.sessions.events.send(session.id, events=[result])


def history_of(client, session):
    events = known(list(client.beta.sessions.events.list(session.id)))
    check_relations(events)
    return events


def last_words(events):
    return [e.content[0].text for e in events if e.type == "agent.message"][-1]


def test_a_result_that_was_waited_for_is_read_behind_the_summary(tmp_path, api):
    with served(tmp_path, api) as server:
        client = server.client()
        session = nearly_full(client)
        assert summaries(api) == []
        answer(client, session)
        when_idle(client, session.id)
        events = history_of(client, session)
    assert len(summaries(api)) == 1
    assert [e.type for e in events].count("agent.thread_context_compacted") == 1
    assert last_words(events).startswith("found y y")
    assert last_words(events).endswith("the first; the second")


def test_an_interrupt_ends_a_turn_in_its_summary_and_the_next_one_makes_another(tmp_path, api):
    with served(tmp_path, api) as server:
        client = server.client()
        session = nearly_full(client)
        api.fail_next(Stall(2))
        answer(client, session)
        wait_for(lambda: summaries(api))
        client.beta.sessions.events.send(session.id, events=[{"type": "user.interrupt"}])
        when_idle(client, session.id)
        stopped = history_of(client, session)
        assert stopped[-1].stop_reason.type == "end_turn"
        assert "agent.thread_context_compacted" not in [e.type for e in stopped]
        again = long("the third", {"say": "{remembered}"}, tokens=10)
        client.beta.sessions.events.send(session.id, events=[again])
        when_idle(client, session.id)
        events = history_of(client, session)
    assert [e.type for e in events].count("agent.thread_context_compacted") == 1
    assert last_words(events) == "the first; the second; the third"


def test_a_server_that_is_killed_in_a_summary_makes_one_more_and_loses_nothing(tmp_path, api):
    with served(tmp_path, api) as server:
        session = nearly_full(server.client())
        api.fail_next(Stall(2))
        answer(server.client(), session)
        wait_for(lambda: summaries(api))
        server.process.process.kill()
    with served(tmp_path, api) as server:
        client = server.client()
        when_idle(client, session.id)
        events = history_of(client, session)
    assert len(summaries(api)) == 2
    assert [e.type for e in events].count("agent.thread_context_compacted") == 1
    assert last_words(events).startswith("found y y")
    assert last_words(events).endswith("the first; the second")
