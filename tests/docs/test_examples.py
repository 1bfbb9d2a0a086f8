"""Every example runs against a server that was started as the README says, and ends with the
session idle.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.docs.conftest import ROOT

EXAMPLES = ROOT / "examples"


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
    numbers = [int(line.split()[0]) for line in lines if line[0].isdigit()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert lines[3] == "connection dropped; resuming after 3"
    assert lines[-1].endswith(" session.status_idle")


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
        "curl.sh",
    }
