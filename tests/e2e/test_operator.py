"""What an operator sees of an installation on AWS, by the names of its stacks."""

from __future__ import annotations

import json

import pytest

from tests.contract.test_sdk import script, types_of
from tests.e2e.conftest import create_key, run_freehold
from tests.e2e.test_session import ask, bash, begin, until, until_idle

pytestmark = pytest.mark.timeout(300)  # each command is a process of its own
STACK = ("--stack", "Freehold-Data")


def freehold(account, *arguments, code=0):
    """The JSON lines that a command prints."""
    done = run_freehold(account.deployment.url, *arguments, *STACK, "--json")
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_session_on_aws_is_listed_shown_and_counted(account, client):
    session = begin(client)
    ask(client, session, {"say": "I look.", **bash("echo $((6 * 7))")}, {"say": "{result}"})
    (row,) = [r for r in freehold(account, "sessions", "list") if r["id"] == session.id]
    assert (row["status"], row["waiting"]) == ("idle", 0)
    (shown,) = freehold(account, "sessions", "show", session.id)
    assert [program["outcome"] for program in shown["programs_run"]] == ["ok"]
    (call,) = freehold(account, "sessions", "tool-calls", session.id)
    assert (call["said"], call["result"].strip()) == ("I look.", "42")
    *requests, total = freehold(account, "sessions", "cost", session.id)
    assert sum(r["usage"]["output_tokens"] for r in requests) == total["usage"]["output_tokens"]
    (replayed,) = freehold(account, "sessions", "replay", session.id)
    assert (replayed["same"], replayed["events"]) == (True, len(account.log_numbers(session.id)))


def test_the_log_on_aws_is_verified_and_erased_from(account, client, tmp_path):
    session = begin(client)
    ask(client, session, {"say": "A word to be erased."})
    kept = tmp_path / "checkpoint.json"
    (found,) = freehold(account, "audit", "verify", session.id, "--export", str(kept))
    assert found["ok"]
    assert found["threads"][0]["sealed"] == found["threads"][0]["commits"] - 1
    said = next(e for e in account.events(session.id) if e["type"] == "agent.message")
    freehold(account, "audit", "erase", session.id, "--event", said["id"])
    (found,) = freehold(account, "audit", "verify", session.id, "--against", str(kept))
    assert [erasure["event_id"] for erasure in found["threads"][0]["erasures"]] == [said["id"]]
    shown = next(e for e in account.events(session.id) if e["id"] == said["id"])
    assert shown["content"] == [{"type": "redacted"}]


def test_a_log_that_was_changed_in_the_table(account, client):
    session = begin(client)
    ask(client, session, {"say": "Hello."})
    clients, table = account.deployment.clients, account.deployment.output("Data", "TableName")
    (found,) = freehold(account, "audit", "verify", session.id)
    feed = f"wrkspc_default/feed/{found['threads'][0]['thread_id']}"
    place = {"pk": {"S": feed}, "sk": {"S": f"{1:012d}/{1:012d}"}}
    clients("dynamodb").update_item(
        TableName=table,
        Key=place,
        UpdateExpression="SET actor = :somebody",
        ExpressionAttributeValues={":somebody": {"S": "apikey_somebody_else"}},
    )
    (found,) = freehold(account, "audit", "verify", session.id, code=1)
    assert found["damaged"] == ["edited"]


def test_all_that_runs_in_a_workspace_is_stopped_and_nothing_else(account, client):
    key = create_key(account.deployment.url, "--workspace", "stopped")
    mine, other = account.client(api_key=key), begin(client)
    sessions = [begin(mine), begin(mine)]
    for of, session in [(mine, sessions[0]), (mine, sessions[1]), (client, other)]:
        of.beta.sessions.events.send(session.id, events=[script(bash("sleep 300"))])
        until(of, session, lambda events: "agent.tool_use" in types_of(events))
    place = ("--base-url", account.url)
    done = run_freehold(account.deployment.url, "stop", "--all", "--json", *place, key=key)
    assert done.returncode == 0, done.stderr
    *stopped, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert {s["session_id"]: s["outcome"] for s in stopped} == {
        session.id: "stopped" for session in sessions
    }
    assert last == {"ok": True, "sessions": 2}
    assert client.beta.sessions.retrieve(other.id).status == "running"
    client.beta.sessions.events.send(other.id, events=[{"type": "user.interrupt"}])
    until_idle(client, other)


def test_a_stack_that_is_not_there_is_one_line(account):
    url = account.deployment.url
    done = run_freehold(url, "sessions", "list", "--stack", "Missing-Data")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Missing-Data" in done.stderr
