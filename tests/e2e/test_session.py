"""Sessions through the deployed REST URL, with the official SDK, strict."""

from __future__ import annotations

import os
import signal

import anthropic
import pytest

from tests.contract.test_sdk import (
    TOOLSET,
    known,
    message,
    new_agent,
    new_environment,
    script,
    types_of,
)
from tests.e2e.conftest import create_key
from tests.servers import server_in_process, wait_for

EFFECTS = "/workspace/effects.txt"
NOWHERE = {"tool": "web_fetch", "input": {}}
"""A call of the web that asks nobody."""


def bash(command):
    return {"tool": "bash", "input": {"command": command}}


def begin(client):
    """A new session of a new agent with all tools."""
    agent = new_agent(client, tools=[TOOLSET])
    environment = new_environment(client)
    return client.beta.sessions.create(agent=agent.id, environment_id=environment.id)


def history(client, session):
    """All that is listed, with no field that the SDK does not know."""
    return [known(event) for event in client.beta.sessions.events.list(session.id)]


def until(client, session, condition):
    """The history, once it fulfils the condition."""

    def look():
        events = history(client, session)
        return events if condition(events) else None

    return wait_for(look, seconds=60, every=0.1)


def until_idle(client, session):
    return until(client, session, lambda e: e and e[-1].type == "session.status_idle")


def ask(client, session, *rounds):
    """Sends a script, answers the history once it is done."""
    client.beta.sessions.events.send(session.id, events=[script(*rounds)])
    return until_idle(client, session)


def said(events):
    return [b.text for e in events if e.type == "agent.message" for b in e.content]


def results(events):
    return [(e.content[0].text, bool(e.is_error)) for e in events if e.type == "agent.tool_result"]


WORK = (
    {"say": "Writing.", **bash(f"echo forty-two > {EFFECTS}")},
    {"think": "Two at once.", "tools": [bash("echo one"), bash("echo two")]},
    {"say": "Reading.", **bash(f"cat {EFFECTS}")},
    {"say": "It says {result}"},
)


def test_a_session_on_aws_is_the_same_as_on_a_laptop(client, tmp_path):
    session = begin(client)
    events = ask(client, session, *WORK)
    with server_in_process(tmp_path) as laptop:
        here = laptop.client()
        same = begin(here)
        expected = ask(here, same, *WORK)
    assert types_of(events) == types_of(expected)
    assert said(events) == said(expected)
    assert said(events)[-1].startswith("It says forty-two")
    assert results(events) == results(expected)
    assert len({e.id for e in events}) == len(events)
    assert known(client.beta.sessions.retrieve(session.id)).status == "idle"


def test_every_kind_of_object_is_made_found_changed_and_archived(client):
    agent = new_agent(client, name="First")
    assert known(client.beta.agents.update(agent.id, version=1, name="Second")).version == 2
    assert [a.version for a in client.beta.agents.versions.list(agent.id)] == [2, 1]
    with pytest.raises(anthropic.ConflictError):
        client.beta.agents.update(agent.id, version=1, name="Late")
    environment = new_environment(client)
    assert environment.id in [e.id for e in client.beta.environments.list()]
    with pytest.raises(anthropic.ConflictError):
        client.beta.environments.create(name=environment.name)
    session = known(
        client.beta.sessions.create(
            agent=agent.id, environment_id=environment.id, initial_events=[message("Hello")]
        )
    )
    until_idle(client, session)
    assert known(client.beta.sessions.update(session.id, title="Named")).title == "Named"
    assert session.id in [s.id for s in client.beta.sessions.list()]
    assert known(client.beta.sessions.archive(session.id)).archived_at is not None
    with pytest.raises(anthropic.BadRequestError):
        client.beta.sessions.events.send(session.id, events=[message("More")])
    client.beta.sessions.delete(session.id)
    with pytest.raises(anthropic.NotFoundError):
        client.beta.sessions.retrieve(session.id)


def test_a_list_of_events_is_whole_over_its_pages(client):
    session = begin(client)
    events = ask(client, session, *WORK)
    paged = [e.id for e in client.beta.sessions.events.list(session.id, limit=3)]
    assert paged == [e.id for e in events]
    newest = [e.id for e in client.beta.sessions.events.list(session.id, limit=3, order="desc")]
    assert newest == paged[::-1]


def test_bodies_too_large_for_an_item_go_through_the_bucket_and_go_with_the_session(
    account, client
):
    session = begin(client)
    big = "x" * 700_000
    rounds = script({"tool": "bash", "input": {"command": "yes | head -c 90000"}}, {"say": big})
    client.beta.sessions.events.send(session.id, events=[message(big), rounds])
    events = until_idle(client, session)
    assert [len(text) for text in said(events)][-1] == len(big)
    first = next(e for e in events if e.type == "user.message")
    assert len(first.content[0].text) == len(big)
    assert account.stored(session.id)
    client.beta.sessions.delete(session.id)
    account.sweep()
    wait_for(lambda: not account.stored(session.id), seconds=30)


def test_an_interrupt_ends_a_tool_that_runs(client):
    session = begin(client)
    rounds = script(bash("sleep 300"), {"say": "Never."})
    client.beta.sessions.events.send(session.id, events=[rounds])
    until(client, session, lambda events: "agent.tool_use" in types_of(events))
    client.beta.sessions.events.send(session.id, events=[{"type": "user.interrupt"}])
    events = until_idle(client, session)
    ((text, is_error),) = results(events)
    assert is_error
    assert text.startswith("Tool execution was interrupted")
    assert said(events) == []
    assert said(ask(client, session, {"say": "Again."})) == ["Again."]


def test_a_round_with_a_call_of_the_web_goes_through_run_tools(account, client):
    session = begin(client)
    events = ask(client, session, {"tools": [bash("echo here"), NOWHERE]}, {"say": "Done."})
    assert [is_error for _, is_error in results(events)] == [False, True]
    assert said(events) == ["Done."]
    assert account.workers("run_tools")


def test_an_interrupt_ends_a_round_of_run_tools(account, client):
    session = begin(client)
    calls = [bash("touch round-of-run-tools; sleep 300"), NOWHERE]
    client.beta.sessions.events.send(session.id, events=[script({"tools": calls})])
    wait_for(lambda: list(account.directory.rglob("round-of-run-tools")), seconds=30)
    client.beta.sessions.events.send(session.id, events=[{"type": "user.interrupt"}])
    events = until_idle(client, session)
    assert [is_error for _, is_error in results(events)] == [True, True]
    assert said(events) == []


def test_a_failed_request_is_made_again_after_the_wait_state(client):
    session = begin(client)
    events = ask(client, session, {"error": "overloaded", "times": 1, "say": "Better."})
    assert "session.status_rescheduled" in types_of(events)
    assert said(events) == ["Better."]


def test_an_interrupt_ends_the_wait_for_the_next_attempt(client):
    session = begin(client)
    client.beta.sessions.events.send(session.id, events=[script({"error": "overloaded"})])
    until(client, session, lambda events: "session.status_rescheduled" in types_of(events))
    client.beta.sessions.events.send(session.id, events=[{"type": "user.interrupt"}])
    assert until_idle(client, session)[-1].stop_reason.type == "end_turn"


def assert_gapless(account, session, events):
    """The log has a number for each event, and a waiting message has one for each sighting."""
    numbers = account.log_numbers(session.id)
    assert numbers == list(range(1, len(numbers) + 1))
    sightings = sum(event.type == "user.message" for event in events)
    assert len(numbers) == len(events) + sightings
    assert len({event.id for event in events}) == len(events)


def kill(account, folder):
    """Every worker of a function, with SIGKILL."""
    for pid in account.workers(folder):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def test_a_worker_that_is_killed_while_the_model_answers_costs_one_more_request(account, client):
    session = begin(client)
    slow = {"say": "Answered.", "delay_ms": 3000}
    client.beta.sessions.events.send(session.id, events=[script(slow)])
    until(client, session, lambda events: "span.model_request_start" in types_of(events))
    kill(account, "run_turn")
    events = until_idle(client, session)
    assert said(events) == ["Answered."]
    assert types_of(events).count("span.model_request_start") == 2
    assert [bool(e.is_error) for e in events if e.type == "span.model_request_end"] == [True, False]
    assert_gapless(account, session, events)


def test_a_worker_that_is_killed_while_a_tool_runs_repeats_no_effect(account, client):
    session = begin(client)
    file = "/workspace/once.txt"
    rounds = script(bash(f"echo effect >> {file}; sleep 3; echo done"), bash(f"cat {file}"))
    client.beta.sessions.events.send(session.id, events=[rounds])
    wait_for(lambda: list(account.directory.rglob("once.txt")), seconds=30)
    kill(account, "run_turn")
    events = until_idle(client, session)
    assert [text.strip() for text, _ in results(events)] == ["done", "effect"]
    assert_gapless(account, session, events)


def test_workspaces_do_not_see_each_other(account, client):
    session = begin(client)
    key = create_key(account.deployment.url, "--workspace", "strangers")
    stranger = account.client(api_key=key)
    with pytest.raises(anthropic.NotFoundError):
        stranger.beta.sessions.retrieve(session.id)
    assert [s.id for s in stranger.beta.sessions.list()] == []


def test_a_body_too_large_for_a_function_is_refused_in_the_envelope(account):
    too_large = account.request("POST", "/v1/agents", json={"name": "x" * 5_300_000})
    assert too_large.status_code == 413
    assert too_large.json()["error"]["type"] == "request_too_large"
    assert too_large.headers["request-id"] == too_large.json()["request_id"]
    assert "5242880 bytes" in too_large.json()["error"]["message"]


def test_a_wrong_key_is_refused_in_the_envelope(account):
    refused = account.request("GET", "/v1/sessions", key="sk-freehold-wrong")
    assert refused.status_code == 401
    assert refused.json()["error"]["type"] == "authentication_error"
    assert refused.headers["request-id"] == refused.json()["request_id"]
