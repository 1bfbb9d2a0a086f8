"""Every command and every program in the README is run, as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.docs.conftest import KEY, ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line for language, text in BLOCKS if language == "sh" for line in text.splitlines() if line
]
PROGRAMS = [text for language, text in BLOCKS if language == "python"]

installed = pytest.mark.skipif(
    not (ROOT / ".venv/dev.stamp").exists(),
    reason="waits for .venv, which ./scripts/test makes before it runs the tests",
)


def _run(command, environment, *, timeout=100):
    return subprocess.run(
        command,
        shell=isinstance(command, str),
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


def test_every_command_has_its_test():
    assert COMMANDS == [
        "./scripts/demo",
        "./scripts/test",
        "FREEHOLD_API_KEY=a-key-of-my-own ./scripts/serve",
        ".venv/bin/freehold keys create --workspace my-team",
        ".venv/bin/freehold doctor",
        ".venv/bin/freehold --version",
    ]


@installed
def test_the_demo_shows_a_file_though_the_proxy_is_dead():
    """A proxy is for the outside; asked for 127.0.0.1 this one would answer nothing."""
    dead = "http://127.0.0.1:9"
    proxies = {"HTTP_PROXY": dead, "http_proxy": dead, "HTTPS_PROXY": dead, "ALL_PROXY": dead}
    done = _run("./scripts/demo", {**os.environ, **proxies})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "scripted model answers" in done.stdout
    assert "session.status_idle" in done.stdout
    assert "Files the agent made" in done.stdout
    shown = re.findall(r"^ +[\d.]+s  (\S+)", README, re.MULTILINE)
    assert shown
    assert not [kind for kind in shown if f"s  {kind}" not in done.stdout]


@installed
def test_the_test_command_checks_and_hands_arguments_to_pytest():
    done = _run("./scripts/test --version", os.environ, timeout=119)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pytest" in done.stdout


@installed
def test_serve_accepts_the_key_of_the_command(tmp_path):
    command = next(line for line in COMMANDS if "serve" in line)
    options = f"--port 0 --data-dir {tmp_path}"
    process = subprocess.Popen(
        f"exec env {command} {options}",
        shell=True,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        url = None
        while url is None:
            line = process.stdout.readline()
            assert line, "the server ended"
            found = re.match(r"listening +(http://\S+)$", line)
            url = found and found.group(1)
        _assert_listed(url, "a-key-of-my-own")
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0


def _assert_listed(url, key):
    import httpx2

    headers = {"x-api-key": key, "anthropic-beta": "managed-agents-2026-04-01"}
    with httpx2.Client(trust_env=False) as client:
        assert client.get(f"{url}/v1/agents", headers=headers).status_code == 200
        assert client.get(f"{url}/v1/agents").status_code == 401


@installed
def test_the_commands_of_the_server(tmp_path):
    key = _run(f".venv/bin/freehold keys create --workspace my-team --data-dir {tmp_path}", None)
    assert key.returncode == 0, key.stderr
    assert len(key.stdout.splitlines()) == 1
    doctor = _run(f".venv/bin/freehold doctor --data-dir {tmp_path}", None)
    assert doctor.returncode in {0, 1}
    assert "Python:" in doctor.stdout
    version = _run(".venv/bin/freehold --version", None)
    assert re.fullmatch(r"freehold \d+\.\d+\.\d+\n", version.stdout)


def test_the_sdk_program_runs(reader, server):
    (program,) = PROGRAMS
    assert sum(bool(line) for line in program.splitlines()) <= 16
    program = program.replace("http://127.0.0.1:8700", server).replace("a-key-of-my-own", KEY)
    done = _run([sys.executable, "-c", program], reader)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "session.status_idle"


def test_every_link_leads_somewhere():
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
