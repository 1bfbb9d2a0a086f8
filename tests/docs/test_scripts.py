"""The set-up that the scripts share, in a copy of their folder; nothing is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.docs.conftest import ROOT

SYSTEM_TOOLS = ("sh", "cat", "cksum", "rm", "mkdir", "dirname")


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the scripts look at, in a path with a space."""
    folder = tmp_path / "a checkout"
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture
def path(tmp_path):
    """A PATH with the system's tools and nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in SYSTEM_TOOLS:
        (folder / tool).symlink_to(shutil.which(tool))
    return folder


def _program(folder, name, text):
    (folder / name).unlink(missing_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def _sh(checkout, path, program, **environment):
    return subprocess.run(
        ["sh", "-euc", f". scripts/environment.sh; {program}"],
        cwd=checkout,
        env={"PATH": str(path), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_without_uv_and_python_one_message_names_both_remedies(checkout, path):
    done = subprocess.run(
        [str(checkout / "scripts/demo")],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if "needs" in line]
    assert len(said) == 1
    assert "uv" in said[0]
    assert "Python 3.11" in said[0]


def test_a_python_that_does_not_run_is_passed_over(checkout, path):
    """Version managers put every name on PATH, and fail when the version is not installed."""
    _program(path, "python3.14", "echo 'not installed' >&2; exit 127")
    _program(path, "python3.12", "exit 0")
    assert _sh(checkout, path, "find_python").stdout == "python3.12\n"


def test_the_newest_python_is_taken(checkout, path):
    for name in ("python3.11", "python3.12", "python3.13"):
        _program(path, name, "exit 0")
    assert _sh(checkout, path, "find_python").stdout == "python3.13\n"


def test_the_own_machine_is_never_asked_through_a_proxy(checkout, path):
    shown = _sh(checkout, path, 'echo "$NO_PROXY $no_proxy"', NO_PROXY="corp.example")
    assert shown.stdout == "127.0.0.1,localhost,corp.example 127.0.0.1,localhost\n"


def test_pip_s_settings_reach_uv(checkout, path):
    shown = _sh(
        checkout,
        path,
        'use_pip_settings_for_uv; echo "$HTTPS_PROXY $UV_DEFAULT_INDEX $SSL_CERT_FILE"',
        PIP_PROXY="http://proxy.example:3128",
        PIP_INDEX_URL="https://mirror.example/simple",
        PIP_CERT="/etc/ca.pem",
    )
    assert shown.stdout == ("http://proxy.example:3128 https://mirror.example/simple /etc/ca.pem\n")


def test_uv_is_preferred_and_installs_with_hashes(checkout, path):
    log = checkout / "log"
    made = f"mkdir -p .venv/bin; ln -s {shutil.which('true')} .venv/bin/python"
    _program(path, "uv", f'echo "$@" >>"{log}"; [ "$1" != venv ] || {{ {made}; }}')
    for tool in ("ln", "true"):
        (path / tool).symlink_to(shutil.which(tool))
    done = _sh(checkout, path, "prepare requirements.lock runtime")
    assert done.returncode == 0, done.stderr
    calls = log.read_text().splitlines()
    assert [call.split()[0] for call in calls] == ["venv", "pip", "pip"]
    assert "--require-hashes -r requirements.lock" in calls[1]
    assert "--editable ." in calls[2]


@pytest.fixture
def environment(checkout, path):
    """An environment that `prepare` believes in, and a uv that would tell if it were called."""
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / ".venv/bin/python").symlink_to(sys.executable)
    _program(path, "uv", "echo called; exit 1")
    stamp = "fingerprint requirements-dev.lock >.venv/dev.stamp"
    assert _sh(checkout, path, stamp).returncode == 0
    return checkout


@pytest.mark.parametrize("asked", ["requirements-dev.lock dev", "requirements.lock runtime"])
def test_a_fresh_environment_is_left_alone(environment, path, asked):
    done = _sh(environment, path, f"prepare {asked}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("changed", ["requirements-dev.lock", "pyproject.toml"])
def test_another_lock_makes_it_anew(environment, path, changed):
    with (environment / changed).open("a") as file:
        file.write("# changed\n")
    assert "called" in _sh(environment, path, "prepare requirements-dev.lock dev").stdout


def test_a_moved_checkout_makes_it_anew(environment, path):
    moved = environment.rename(environment.with_name("moved"))
    assert "called" in _sh(moved, path, "prepare requirements-dev.lock dev").stdout


def test_a_python_that_is_gone_makes_it_anew(environment, path):
    (environment / ".venv/bin/python").unlink()
    (environment / ".venv/bin/python").symlink_to(environment / "gone")
    assert "called" in _sh(environment, path, "prepare requirements-dev.lock dev").stdout


def test_an_environment_that_was_not_finished_is_not_believed(environment, path):
    (environment / ".venv/dev.stamp").unlink()
    assert "called" in _sh(environment, path, "prepare requirements-dev.lock dev").stdout


@pytest.mark.parametrize(("options", "seeded"), [("", False), (" --seed", True)])
def test_an_environment_apart_is_made_once_and_again_for_another_lock(
    checkout, path, options, seeded
):
    (checkout / "other.lock").write_text("one\n")
    made = f'mkdir -p "$last/bin"; ln -s "{sys.executable}" "$last/bin/python"'
    said = f'echo "$@" >>log; for last; do :; done; [ "$1" != venv ] || {{ {made}; }}'
    _program(path, "uv", said)
    (path / "ln").symlink_to(shutil.which("ln"))
    prepare = f"prepare_apart .apart other.lock{options}"
    assert _sh(checkout, path, prepare).returncode == 0
    calls = (checkout / "log").read_text().splitlines()
    assert [call.split()[0] for call in calls] == ["venv", "pip"]
    assert ("--seed" in calls[0]) == seeded
    assert "--require-hashes -r other.lock" in calls[1]
    assert (checkout / ".apart/.gitignore").read_text() == "*\n"
    again = _sh(checkout, path, prepare)
    assert (again.returncode, again.stderr) == (0, "")
    (checkout / "other.lock").write_text("two\n")
    assert "setting up .apart" in _sh(checkout, path, prepare).stderr


def test_every_script_can_be_executed():
    for name in ("demo", "serve", "test", "lock"):
        assert os.access(ROOT / "scripts" / name, os.X_OK), name
