"""`freehold sessions` and `freehold audit` on the data directory of a server, running or not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from freehold.cli import main
from freehold.cli.session_tables import age
from freehold.ids import parse_timestamp
from freehold.testing.script import script
from tests.servers import server_process, wait_for

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
TOOLSET = {
    "type": "agent_toolset_20260401",
    "configs": [{"name": "bash", "permission_policy": {"type": "always_ask"}}],
}
WRITE = {"tool": "write", "input": {"file_path": "/workspace/a.txt", "content": "hello"}}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def server(data):
    with server_process(data) as server:
        yield server


@pytest.fixture(scope="module")
def session(server):
    """It wrote a file, asked for a program and was allowed it."""
    name = server.new_session(title="Nightly report", tools=[TOOLSET])
    run = {"say": "Now I run it.", "tool": "bash", "input": {"command": "cat a.txt; false"}}
    server.say(name, script({"say": "I write it.", **WRITE}, run, {"say": "It said {result}."}))
    asked = [e for e in server.until_idle(name) if e["type"] == "agent.tool_use"][-1]
    answer = {"type": "user.tool_confirmation", "tool_use_id": asked["id"], "result": "allow"}
    server.post(f"/v1/sessions/{name}/events", {"events": [answer]})
    wait_for(lambda: server.events(name)[-1].get("stop_reason") == {"type": "end_turn"})
    return name


@pytest.fixture
def freehold(data, capsys):
    """Runs a command on the data directory: exit code, lines or JSON of standard output, error."""

    def run(*arguments, place=data):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--data", str(place)])
        printed = capsys.readouterr()
        assert all(c.isprintable() or c == "\n" for c in printed.out + printed.err)
        lines = printed.out.splitlines()
        found = [json.loads(line) for line in lines] if "--json" in arguments else lines
        return ended.value.code or 0, found, printed.err

    return run


def shape(value):
    """Names and types of a JSON value; of a list, those of its first item."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


# ---------------------------------------------------------------- what programs read
@pytest.mark.parametrize("command", ["list", "show", "tool-calls", "cost", "replay", "verify"])
def test_json_has_the_shape_that_programs_rely_on(freehold, session, command):
    golden = json.loads((GOLDEN / "operator_json.json").read_text())
    group = ["audit", "verify"] if command == "verify" else ["sessions", command]
    named = [] if command == "list" else [session]
    code, found, _ = freehold(*group, *named, "--json")
    assert code == 0
    assert [shape(line) for line in found] == golden[command]


# ---------------------------------------------------------------- list
def test_the_list_filters(freehold, server, session):
    other = server.new_session()
    code, found, _ = freehold("sessions", "list", "--json")
    assert code == 0
    assert [row["id"] for row in found if row["id"] in (other, session)] == [other, session]
    (row,) = [row for row in found if row["id"] == session]
    assert (row["title"], row["status"], row["waiting"]) == ("Nightly report", "idle", 0)
    assert row["usage"]["output_tokens"] > 0
    for options, expected in [
        (["--agent", row["agent_id"]], [session]),
        (["--agent", "nobody"], []),
        (["--status", "running"], []),
        (["--since", "1h", "--limit", "1"], [found[0]["id"]]),
        (["--since", "2999-01-01T00:00:00Z"], []),
    ]:
        _, rows, _ = freehold("sessions", "list", "--json", *options)
        assert [row["id"] for row in rows] == expected
    _, lines, _ = freehold("sessions", "list")
    assert any(session in line and "A, Nightly report" in line for line in lines)


@pytest.mark.parametrize("since", ["yesterday", "999999d", "0001-01-01T00:00:00+14:00"])
def test_since_is_a_time_or_an_error(freehold, session, since):
    code, _, error = freehold("sessions", "list", "--since", since)
    assert code == 2
    assert "--since" in error


# ---------------------------------------------------------------- show
def test_progress_is_told_by_actions(freehold, session):
    _, (found,), _ = freehold("sessions", "show", session, "--json")
    assert [file["path"] for file in found["files_written"]] == ["/workspace/a.txt"]
    assert [(p["input"]["command"], p["outcome"]) for p in found["programs_run"]] == [
        ("cat a.txt; false", "error")
    ]
    assert found["last_action"]["type"] == "agent.message"
    assert (found["status"], found["stop_reason"], found["waiting"]) == ("idle", "end_turn", [])
    _, lines, _ = freehold("sessions", "show", session)
    assert any(line.startswith("wrote") and "/workspace/a.txt" in line for line in lines)


def test_a_session_that_runs_right_now(freehold, server):
    name = server.new_session()
    server.say(name, script({"delay_ms": 60_000}))
    kinds = "span.model_request_start"
    wait_for(lambda: any(e["type"] == kinds for e in server.events(name)))
    _, (found,), _ = freehold("sessions", "show", name, "--json")
    assert found["status"] == "running"
    assert found["cost"]["requests"][0]["usage"] is None
    _, (row,), _ = freehold("sessions", "list", "--status", "running", "--json")
    assert row["id"] == name
    code, _, _ = freehold("audit", "verify", name)
    assert code == 0
    server.post(f"/v1/sessions/{name}/events", {"events": [{"type": "user.interrupt"}]})
    server.until_idle(name)


def test_what_somebody_must_answer(freehold, server):
    name = server.new_session(tools=[TOOLSET])
    server.say(name, script({"tool": "bash", "input": {"command": "rm -rf /"}}))
    server.until_idle(name)
    _, (found,), _ = freehold("sessions", "show", name, "--json")
    (waiting,) = found["waiting"]
    assert (waiting["name"], waiting["input"]) == ("bash", {"command": "rm -rf /"})
    _, rows, _ = freehold("sessions", "list", "--json")
    assert [row["waiting"] for row in rows if row["id"] == name] == [1]
    _, lines, _ = freehold("sessions", "show", name)
    assert any(line.startswith("waits for") and "rm -rf /" in line for line in lines)


# ---------------------------------------------------------------- tool-calls, cost, replay
def test_every_call_with_who_approved_it(freehold, session):
    _, (write, run), _ = freehold("sessions", "tool-calls", session, "--json")
    assert (write["name"], write["outcome"], write["permission"]) == ("write", "ok", "allow")
    assert (write["said"], write["decided_by"]) == ("I write it.", None)
    assert (run["name"], run["outcome"], run["permission"]) == ("bash", "error", "ask")
    assert (run["said"], run["decision"]) == ("Now I run it.", "allow")
    assert run["decided_by"] == "apikey_configured"
    assert run["asked_at"] < run["decided_at"] < run["started_at"] < run["answered_at"]
    assert 0 < run["seconds"] < 60
    assert run["result"].startswith("hello")
    _, lines, _ = freehold("sessions", "tool-calls", session)
    assert any("permission: ask, allow by apikey_configured" in line for line in lines)


def test_the_requests_add_up_to_the_session(freehold, session, server):
    _, (*requests, total), _ = freehold("sessions", "cost", session, "--json")
    assert len(requests) == 3
    for name in ("input_tokens", "output_tokens", "cache_read_input_tokens"):
        summed = sum(request["usage"][name] for request in requests)
        assert summed == total["tokens"][name] == total["usage"][name]
    code, lines, _ = freehold("sessions", "cost", session)
    assert (code, len(lines)) == (0, 7)


def test_a_replay_says_that_it_came_out_the_same(freehold, session):
    code, (line,), _ = freehold("sessions", "replay", session)
    assert (code, line) == (0, "the same: 26 events of 1 threads")


# ---------------------------------------------------------------- tail
def _tail(data, *arguments):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "freehold.cli", "sessions", "tail"),
            *(*arguments, "--data", str(data), "--json"),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _until(process, kind):
    found = []
    while not found or found[-1]["event"]["type"] != kind:
        found.append(json.loads(process.stdout.readline()))
    return found


def test_tail_follows_and_ends_with_the_interrupt_key(server, data):
    name = server.new_session()
    server.say(name, "Hello.")
    process = _tail(data, name, "--after", "0")
    first = _until(process, "session.status_idle")
    server.say(name, "More.")
    second = _until(process, "session.status_idle")
    process.send_signal(signal.SIGINT)
    rest, error = process.communicate(timeout=20)
    assert (process.returncode, rest, error) == (0, "", "")
    numbers = [line["seq"] for line in [*first, *second]]
    assert numbers == list(range(1, len(numbers) + 1))
    again = _tail(data, name, "--after", str(first[-1]["seq"]))
    assert _until(again, "session.status_idle") == second
    again.send_signal(signal.SIGINT)
    again.communicate(timeout=20)
    assert again.returncode == 0


def test_tail_ends_with_the_session(server, data):
    name = server.new_session()
    server.say(name, "Hello.")
    process = _tail(data, name)
    _until(process, "session.status_idle")
    assert server.request("DELETE", f"/v1/sessions/{name}").status_code == 200
    process.communicate(timeout=30)
    assert process.returncode == 0


# ---------------------------------------------------------------- what agents say
HOSTILE = "\x1b]0;owned\x07\x1b[2J \x9b2J \x7f \u202egpj.exe \x85 \u2028 \x00 é 中 \U0001f600"


def test_nothing_that_an_agent_says_moves_the_cursor_of_who_reads_it(freehold, server, data):
    name = server.new_session(title=HOSTILE, tools=[TOOLSET])
    calls = [{"tool": tool, "input": {HOSTILE: HOSTILE}} for tool in (HOSTILE, "read")]
    server.say(name, script({"say": HOSTILE, "tools": calls}, {"say": HOSTILE}))
    server.until_idle(name)
    printed = []
    for command in ("show", "tool-calls", "cost", "replay"):
        for options in ([], ["--json"]):
            code, found, _ = freehold("sessions", command, name, *options)
            assert code == 0
            printed += map(str, found)
    for options in ([], ["--json"]):
        printed += map(str, freehold("sessions", "list", *options)[1])
    assert sum("\ufffd" in line for line in printed) >= 4
    process = _tail(data, name, "--after", "0")
    said = [line["event"] for line in _until(process, "session.status_idle")]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert [e["name"] for e in said if e["type"] == "agent.tool_use"] == [HOSTILE, "read"]


# ---------------------------------------------------------------- audit
def _tamper(data, marker):
    """Changes a word in the store, as somebody with the file would."""
    with closing(sqlite3.connect(data / "freehold.db")) as file:
        for pk, sk, value in file.execute("SELECT pk, sk, value FROM items").fetchall():
            if "/feed/" in pk and marker in value:
                edited = value.replace(marker, marker[::-1])
                file.execute("UPDATE items SET value=? WHERE pk=? AND sk=?", (edited, pk, sk))
        file.commit()


def test_exit_codes_of_an_audit(freehold, server, session, data, tmp_path):
    code, _, error = freehold("audit", "verify", "sesn_01K0S94FPD973DA22PGXNBBKA2")
    assert (code, error.count("\n")) == (2, 1)
    assert freehold("audit", "verify")[0] == 2
    kept = tmp_path / "checkpoint.json"
    assert freehold("audit", "verify", "--all", "--export", str(kept))[0] == 0
    name = server.new_session()
    server.say(name, "a-word-to-be-changed")
    server.until_idle(name)
    assert freehold("audit", "verify", "--all", "--against", str(kept))[0] == 0
    _tamper(data, b"a-word-to-be-changed")
    code, lines, _ = freehold("audit", "verify", name)
    assert code == 1
    assert lines[0].startswith("DAMAGED")
    assert any("edited" in line for line in lines)
    code, found, _ = freehold("audit", "verify", "--all", "--json")
    assert code == 1
    assert {line["session_id"]: line["damaged"] for line in found if not line["ok"]} == {
        name: ["edited"]
    }
    refused = tmp_path / "refused.json"
    assert freehold("audit", "verify", name, "--export", str(refused))[0] == 1
    assert not refused.exists()
    assert server.request("DELETE", f"/v1/sessions/{name}").status_code == 200


_GARBAGE = "UPDATE items SET value = x'00' "
_MARKED = """UPDATE items SET value = replace(value, '"dead":false', '"dead":true') """


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("DELETE FROM items WHERE sk = 'state'", "deleted"),
        ("DELETE FROM items WHERE sk != ''", "deleted"),
        (_GARBAGE + "WHERE sk = 'state'", "edited"),
        (_GARBAGE + "WHERE sk LIKE 'thread/%/head'", "edited"),
        ("UPDATE items SET value = '{}' || x'0a' WHERE sk = 'state'", "edited"),
        (_MARKED + "WHERE sk = 'state'", "edited"),
    ],
)
def test_a_session_that_somebody_hid_is_damaged(freehold, server, data, tmp_path, change, kind):
    name = server.new_session()
    server.say(name, "Hello.")
    server.until_idle(name)
    with closing(sqlite3.connect(data / "freehold.db")) as file:
        file.execute("VACUUM INTO ?", (str(tmp_path / "freehold.db"),))
    shutil.copy(data / "secret.key", tmp_path)
    assert freehold("audit", "verify", "--all", place=tmp_path)[0] == 0
    with closing(sqlite3.connect(tmp_path / "freehold.db")) as file:
        assert file.execute(f"{change} AND pk LIKE ?", (f"%/session/{name}",)).rowcount > 0
        file.commit()
    for wanted in (name, "--all"):
        code, found, _ = freehold("audit", "verify", wanted, "--json", place=tmp_path)
        assert code == 1
        (damaged,) = [line for line in found if not line["ok"]]
        assert damaged["session_id"] == name
        assert kind in damaged["damaged"]
    code, found, _ = freehold("sessions", "list", "--json", place=tmp_path)
    assert code == 0
    assert name not in [row["id"] for row in found]
    code, _, error = freehold("sessions", "show", name, place=tmp_path)
    assert code in (1, 2)
    assert error.count("\n") == 1


def test_a_session_that_a_checkpoint_has_and_the_store_has_not(freehold, server, tmp_path):
    name = server.new_session()
    kept = tmp_path / "checkpoint.json"
    assert freehold("audit", "verify", "--all", "--export", str(kept))[0] == 0
    assert server.request("DELETE", f"/v1/sessions/{name}").status_code == 200
    code, _, error = freehold("audit", "verify", "--all", "--against", str(kept))
    assert code == 1
    assert f"{name}: deleted" in error
    kept.write_text(kept.read_text().replace(name, name[:-1] + "0"))
    code, _, error = freehold("audit", "verify", "--all", "--against", str(kept))
    assert code == 1
    assert "altered" in error


def test_an_erased_message_is_shown_as_redacted_by_the_running_server(freehold, server):
    name = server.new_session()
    sent = server.say(name, "my-secret-word")
    server.until_idle(name)
    code, lines, _ = freehold("audit", "erase", name, "--event", sent["id"])
    assert (code, lines) == (0, [f"{sent['id']} was erased in 2 commits"])
    assert freehold("audit", "erase", name, "--event", sent["id"])[1] == [
        f"{sent['id']} had been erased before"
    ]
    listed = server.client().beta.sessions.events.list(name)
    (shown,) = [event for event in listed if event.id == sent["id"]]
    assert [block.type for block in shown.content] == ["redacted"]
    server.say(name, "What did I say?")
    server.until_idle(name)
    code, lines, _ = freehold("audit", "verify", name)
    assert code == 0
    assert any(f"erased: {sent['id']}" in line for line in lines)
    assert freehold("audit", "erase", name, "--event", "sevt_none")[0] == 2
    code, _, error = freehold("sessions", "replay", name)
    assert code == 1
    assert "erased" in error


def test_what_is_erased_beside_a_server_that_rests_is_gone_from_its_files(freehold, server, data):
    name = server.new_session()
    server.say(name, "my-other-secret")
    server.until_idle(name)

    def holding():
        files = data.glob("freehold.db*")
        return [path.name for path in files if b"my-other-secret" in path.read_bytes()]

    assert holding()
    for event in server.events(name):
        if "my-other-secret" in json.dumps(event):
            assert freehold("audit", "erase", name, "--event", event["id"])[0] == 0
    assert holding() == []


# ---------------------------------------------------------------- without a server
def test_everything_can_be_read_while_the_server_is_down(freehold, tmp_path):
    with server_process(tmp_path, sandbox="none") as server:
        name = server.new_session()
        server.say(name, "Hello.")
        server.until_idle(name)
    for command in ("show", "tool-calls", "cost", "replay"):
        assert freehold("sessions", command, name, place=tmp_path)[0] == 0
    _, (row,), _ = freehold("sessions", "list", "--json", place=tmp_path)
    assert row["id"] == name
    assert freehold("audit", "verify", "--all", place=tmp_path)[0] == 0


def test_where_no_server_ran_nothing_is_made(freehold, tmp_path):
    code, _, error = freehold("sessions", "list", place=tmp_path)
    assert code == 1
    assert error.startswith("freehold: --data-dir")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["show", "tail", "tool-calls", "cost", "replay"])
def test_a_session_that_is_not_there(freehold, session, command):
    for name in ("sesn_01K0S94FPD973DA22PGXNBBKA2", "../../etc", ""):
        code, _, error = freehold("sessions", command, name)
        assert (code, error.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0s"), (61, "1m"), (7_300, "2h"), (200_000, "2d"), (-5, "0s")]
)
def test_an_age_is_in_its_largest_unit(seconds, shown):
    then = "2026-11-21T10:00:00.000000Z"
    now = parse_timestamp(then).timestamp() + seconds
    moment = parse_timestamp(then).fromtimestamp(now, parse_timestamp(then).tzinfo)
    assert age(then, moment) == shown
