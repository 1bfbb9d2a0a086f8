"""The demo as a user runs it, and how it fails: one readable line, exit code 1, nothing left."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from freehold.testing.messages_server import MessagesServer

ROOT = Path(__file__).parents[2]
SLOW = 'script: [{"delay_ms": 60000, "say": "late"}]'


def _demo(*options, **environment):
    return subprocess.run(
        [sys.executable, "-m", "freehold.cli", "demo", *options],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def _failure(done):
    """The one line on standard error of a demo that failed."""
    assert done.returncode == 1, done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.fixture
def endpoint():
    with MessagesServer() as server:
        yield server


def test_a_session_runs_to_idle_and_a_file_is_shown(tmp_path):
    done = _demo("--json", "--data-dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
    created, *events, files = [json.loads(line) for line in done.stdout.splitlines()]
    assert created["session"].startswith("sesn_")
    assert events[-1]["type"] == "session.status_idle"
    assert [file["path"] for file in files["files"]]
    assert files["shown"]["text"]


def test_it_says_that_the_scripted_model_answers():
    done = _demo()
    assert "the scripted model answers" in done.stdout
    assert "\x1b" not in done.stdout


def test_with_a_key_the_model_is_asked(endpoint):
    done = _demo(ANTHROPIC_BASE_URL=endpoint.url, ANTHROPIC_API_KEY=endpoint.api_key)
    assert done.returncode == 0, done.stderr
    assert "the scripted model answers" not in done.stdout
    assert endpoint.requests


def test_a_bad_key_is_one_line_that_does_not_show_it(endpoint):
    done = _demo(ANTHROPIC_BASE_URL=endpoint.url, ANTHROPIC_API_KEY="sk-ant-wrong")
    assert "ANTHROPIC_API_KEY" in _failure(done)
    assert "sk-ant-wrong" not in done.stdout + done.stderr


def test_a_bad_model_is_one_line_that_names_it(endpoint):
    done = _demo(
        "--agent-model",
        "claude-none",
        ANTHROPIC_BASE_URL=endpoint.url,
        ANTHROPIC_API_KEY=endpoint.api_key,
    )
    assert "claude-none" in _failure(done)


def test_a_server_that_cannot_start_is_one_line(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("")
    assert "the server did not start" in _failure(_demo("--data-dir", str(taken)))


def test_ended_by_a_signal_it_takes_the_server_along():
    process = subprocess.Popen(
        [sys.executable, "-m", "freehold.cli", "demo", "--message", SLOW],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        lines = iter(process.stdout.readline, "")
        url = next(line.split()[1] for line in lines if line.startswith("listening"))
        assert any("span.model_request_start" in line for line in lines)
        process.terminate()
        assert process.wait(timeout=30) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.communicate()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
