"""Every command of docs/operating.md is run, and prints what stands there: but for ids, times, ages
and how long things took.
"""

from __future__ import annotations

import re
import subprocess
import sys
from typing import get_args

import pytest

from freehold.audit.findings import Kind
from freehold.testing.script import script
from tests.docs.conftest import ROOT
from tests.servers import server_process, wait_for

TEXT = (ROOT / "docs/operating.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
EXAMPLES = [
    (command.strip(), shown)
    for (kind, command), (other, shown) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True)
    if kind == "sh" and other == "text"
]
PLAIN = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
NOISE = (
    (r"\b(sesn|sthr|sevt)_[0-9A-Z]{26}\b", r"\1_ID"),
    (r"\d\d:\d\d:\d\d", "TIME"),
    (r"\b\d+[smhd]( ago|:|\b(?= +[0-9-]))", r"AGE\1"),
    (r"in [0-9.e-]+ s\b", "in N s"),
    (r"(?<=TIME)  +[0-9.]+", "  N"),
    (r"[0-9,]+ in (\d) requests", r"N in \1 requests"),
    (r"\$[0-9.]+", "$N"),
    (r" +[0-9,]+(?= +\$N  [A-Z])", "  N"),
)
COST = r"^((?: +\d+ TIME  N|requests|session))(?: +[0-9,]+){4}"


def plain(text):
    """Without what is another each time; tokens depend on the length of ids."""
    for pattern, put in NOISE:
        text = re.sub(pattern, put, text)
    text = re.sub(COST, r"\1 TOKENS", text, flags=re.MULTILINE)
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A server with the session of the document, which waits; and what lets it go on."""
    data = tmp_path_factory.mktemp("data")
    with server_process(data) as server:
        ask = {"name": "bash", "permission_policy": {"type": "always_ask"}}
        tools = [{"type": "agent_toolset_20260401", "configs": [ask]}]
        agent = server.post(
            "/v1/agents", {"name": "Reporter", "model": "claude-sonnet-5-5", "tools": tools}
        )
        environment = server.post("/v1/environments", {"name": "operating"})
        made = {"agent": agent["id"], "environment_id": environment["id"]}
        session = server.post("/v1/sessions", {**made, "title": "Nightly report"})["id"]
        file = {"file_path": "/workspace/report.sh", "content": "echo hello"}
        write = {"say": "I write it.", "tool": "write", "input": file}
        run = {"tool": "bash", "input": {"command": "sh report.sh; false"}}
        done = {"say": "It said {result}"}
        sent = server.say(session, script(write, {"say": "Now I run it.", **run}, done))
        server.until_idle(session)

        def go_on():
            events = server.events(session)
            use = [event for event in events if event["type"] == "agent.tool_use"][-1]
            if events[-1]["stop_reason"]["type"] == "requires_action":
                answer = {"type": "user.tool_confirmation", "result": "allow"}
                events = [{**answer, "tool_use_id": use["id"]}]
                server.post(f"/v1/sessions/{session}/events", {"events": events})
            ended = {"type": "end_turn"}
            wait_for(lambda: server.events(session)[-1].get("stop_reason") == ended)

        yield data, session, sent["id"], go_on


def test_the_document_shows_what_each_command_prints(stage):
    data, session, sent, go_on = stage
    assert len(EXAMPLES) == 7
    for command, shown in EXAMPLES:
        if "tool-calls" in command:
            go_on()
        printed = _run(command, data, session, sent)
        assert plain(printed) == plain(shown), command


def test_the_other_commands_are_there(stage, tmp_path):
    data, session, sent, _ = stage
    rest = [line for line in PLAIN if line not in {command for command, _ in EXAMPLES}]
    assert len(rest) == 2
    for command in rest:
        _run(command.replace("checkpoint.json", str(tmp_path / "c.json")), data, session, sent)


def _run(command, data, session, sent):
    line = re.sub(r"sesn_\w+", session, re.sub(r"sevt_\w+", sent, command))
    program, *arguments = line.split()
    assert program == "freehold"
    done = subprocess.run(
        [sys.executable, "-m", "freehold.cli", *arguments, "--data", str(data)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_kind_of_damage_is_explained():
    assert set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)) == set(get_args(Kind))
