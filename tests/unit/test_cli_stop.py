"""`freehold stop` against a server on this machine."""

from __future__ import annotations

import json
import socket

import pytest

from freehold.cli import main
from tests.contract.conversations import INTERRUPT, LOOKUP, call, place, says
from tests.contract.test_sdk import new_agent, new_environment, new_session
from tests.servers import wait_for

SLOW = says({"delay_ms": 60_000, "say": "Late."})


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with place("over HTTP", tmp_path_factory.mktemp("stop")) as found:
        yield found.server


@pytest.fixture
def client(server):
    found = server.client()
    yield found
    for session in found.beta.sessions.list(statuses=["running"]):
        found.beta.sessions.events.send(session.id, events=[INTERRUPT])


@pytest.fixture
def stop(server, monkeypatch, capsys):
    monkeypatch.setenv("FREEHOLD_API_KEY", server.key)

    def run(*options, code=0):
        with pytest.raises(SystemExit) as ended:
            main(["stop", "--base-url", server.url, "--json", *options])
        out, err = capsys.readouterr()
        assert code is None or ended.value.code == code, err
        return [json.loads(line) for line in out.splitlines()] if out else err

    return run


def busy(client, **given):
    """A session whose model takes its time."""
    session = new_session(client, **given)
    client.beta.sessions.events.send(session.id, events=[SLOW])

    def asks():
        listed = client.beta.sessions.events.list(session.id)
        return any(event.type == "span.model_request_start" for event in listed)

    wait_for(asks)
    return session


def status(client, session):
    return client.beta.sessions.retrieve(session.id).status


def test_everything_that_runs_is_interrupted_and_nothing_else(client, stop):
    running, idle = [busy(client) for _ in range(3)], new_session(client)
    *told, summary = stop("--all")
    assert {line["session_id"] for line in told} == {session.id for session in running}
    assert {line["outcome"] for line in told} == {"stopped"}
    assert summary == {"ok": True, "sessions": 3}
    assert {status(client, session) for session in running} == {"idle"}
    assert client.beta.sessions.events.list(idle.id).data == []
    assert stop("--all") == [{"ok": True, "sessions": 0}]


def test_an_agents_sessions_are_stopped_and_no_others(client, stop):
    agent = new_agent(client)
    environment = new_environment(client)
    mine = client.beta.sessions.create(
        agent=agent.id, environment_id=environment.id, initial_events=[SLOW]
    )
    other = busy(client)
    told, _ = stop("--agent", agent.id)
    assert (told["session_id"], told["outcome"]) == (mine.id, "stopped")
    assert (status(client, mine), status(client, other)) == ("idle", "running")


def test_named_sessions_are_stopped_also_where_they_wait_for_an_answer(client, stop):
    parked = new_session(client, tools=[LOOKUP])
    client.beta.sessions.events.send(parked.id, events=[says(call("lookup", q="x"))])

    def last():
        return client.beta.sessions.events.list(parked.id, order="desc").data[0]

    wait_for(lambda: getattr(last(), "stop_reason", None))
    running = busy(client)
    *told, _ = stop("--session", parked.id, "--session", running.id)
    assert [line["session_id"] for line in told] == [parked.id, running.id]
    assert last().stop_reason.type == "end_turn"


def test_what_waits_behind_a_turn_does_not_go_on_either(client, stop):
    session = busy(client)
    client.beta.sessions.events.send(session.id, events=[SLOW])
    told, summary = stop("--session", session.id, "--seconds", "30")
    assert (told["outcome"], summary["ok"]) == ("stopped", True)
    assert status(client, session) == "idle"


def test_what_cannot_be_stopped_is_said_and_fails(client, stop):
    archived = client.beta.sessions.archive(new_session(client).id)
    nobody = "sesn_" + archived.id[5:][::-1]
    *told, summary = stop("--session", archived.id, "--session", nobody, code=1)
    assert [line["outcome"] for line in told] == ["failed", "failed"]
    assert "archived" in told[0]["detail"]
    assert summary == {"ok": False, "sessions": 2}


def test_without_patience_a_session_may_still_run(client, stop):
    session = busy(client)
    told, summary = stop("--session", session.id, "--seconds", "0", code=None)
    assert told["outcome"] in ("stopped", "running")
    assert summary["ok"] == (told["outcome"] == "stopped")


@pytest.mark.parametrize(
    "options", [(), ("--all", "--agent", "agent_x"), ("--all", "--session", "sesn_x")], ids=str
)
def test_a_wrong_call_says_what_is_wanted(stop, options):
    assert "give one of --session, --agent and --all" in stop(*options, code=2)


def test_no_key_and_no_server_are_failures_in_one_line(stop, monkeypatch, capsys):
    assert "agent ID" in stop("--agent", "nobody", code=1)
    monkeypatch.delenv("FREEHOLD_API_KEY")
    assert "FREEHOLD_API_KEY" in stop("--all", code=2)
    monkeypatch.setenv("FREEHOLD_API_KEY", "x")
    with pytest.raises(SystemExit) as ended:
        main(["stop", "--all", "--base-url", "http://127.0.0.1:9"])
    assert ended.value.code == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_server_that_does_not_answer_is_a_failure_in_one_line(stop, monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(SystemExit) as ended:
            main(["stop", "--all", "--seconds", "0", "--base-url", url])
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("freehold: stop: Request timed out")


def test_people_read_a_line_for_each(client, stop, capsys, server):
    session = busy(client)
    with pytest.raises(SystemExit):
        main(["stop", "--all", "--base-url", server.url])
    assert f"stopped  {session.id}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["stop", "--all", "--base-url", server.url])
    assert capsys.readouterr().out == "nothing runs\n"
