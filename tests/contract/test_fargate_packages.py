"""Packages of environments in tasks of Fargate: before the first call, in every task anew."""

from __future__ import annotations

import os

import pytest

from freehold.errors import SandboxLost, SandboxStarting
from freehold.testing.sandbox_calls import bash, booted, eventually, finish, said, text_of
from tests.fargate import DISPATCH, Patient, installation


@pytest.fixture
def installed(tmp_path):
    with installation(tmp_path / "aws") as made:
        made.tick()
        yield made


@pytest.fixture
def gem(tmp_path, monkeypatch):
    """A manager that installs a command, when `go` is there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(*lines):
        script = (
            f'#!/bin/sh\necho "$@" >> {tmp_path}/log\n'
            f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done\n"
            'mkdir -p "$4/bin"; printf "#!/bin/sh\\necho installed" > "$4/bin/made"\n'
            'chmod +x "$4/bin/made"\n'
        )
        (folder / "gem").write_text(script + "\n".join(lines) + "\n")
        (folder / "gem").chmod(0o755)

    make()
    return make


def asked(tmp_path):
    path = tmp_path / "log"
    return path.read_text().splitlines() if path.exists() else []


def with_gem(installed, **packages):
    return installed.sandboxes(packages_of=lambda _: packages or {"gem": ("made:1.0",)})


def test_the_first_call_waits_in_steps_until_the_packages_are_there(installed, gem, tmp_path):
    ref, _ = installed.session()
    sandboxes = with_gem(installed)
    eventually(lambda: _is_installing(sandboxes, ref, tmp_path))
    with pytest.raises(SandboxStarting):
        sandboxes.boot(ref)
    (tmp_path / "go").touch()
    patient = Patient(sandboxes, lambda: None)
    assert said(patient, ref, bash("made")) == "installed"
    (line,) = asked(tmp_path)
    assert line.endswith("made:1.0")
    # Nobody asks again in the life of the task; another process asks once, and is told.
    boot_id = sandboxes.boot(ref)
    assert with_gem(installed).boot(ref) == boot_id
    assert len(asked(tmp_path)) == 1


def _is_installing(sandboxes, ref, tmp_path):
    try:
        sandboxes.boot(ref)
    except SandboxStarting:
        return bool(asked(tmp_path))
    raise AssertionError("it did not wait")


def test_a_call_that_comes_before_the_packages_is_not_carried_out(installed, gem, tmp_path):
    """The supervisor itself holds the order: whatever asks it, tools do not run first."""
    ref, _ = installed.session()
    sandboxes = with_gem(installed)
    eventually(lambda: _is_installing(sandboxes, ref, tmp_path))
    (task,) = installed.account.running()
    with pytest.raises(SandboxLost):
        installed.sandboxes().execute(ref, task.token, bash("touch ran"))


def test_what_cannot_be_installed_is_told_and_the_next_task_tries_again(installed, gem, tmp_path):
    (tmp_path / "go").touch()
    gem("echo no such gem; exit 3")
    ref, _ = installed.session()
    sandboxes = Patient(with_gem(installed), installed.tick)
    with pytest.raises(
        SandboxLost, match=r"could not be installed\.\ngem: exit code 3\nno such gem"
    ):
        sandboxes.boot(ref)
    gem()
    assert said(sandboxes, ref, bash("made")) == "installed"
    assert len(asked(tmp_path)) == 2


def test_a_task_keeps_the_packages_it_began_with(installed, gem, tmp_path):
    (tmp_path / "go").touch()
    ref, _ = installed.session()
    boot_id = booted(with_gem(installed), ref)
    assert with_gem(installed, gem=("another",)).boot(ref) == boot_id
    assert len(asked(tmp_path)) == 1
    other, _ = installed.session()
    plain = installed.sandboxes()
    boot_id = booted(plain, other)
    text_of(finish(plain, other, boot_id, bash("true")))
    # Its environment has packages by now; tools have run without them.
    assert with_gem(installed).boot(other) == boot_id
    assert len(asked(tmp_path)) == 1


def test_a_dispatch_that_fails_under_an_installation_costs_nothing(installed, gem, tmp_path):
    ref, _ = installed.session()
    sandboxes = with_gem(installed)
    eventually(lambda: _is_installing(sandboxes, ref, tmp_path))
    carry = installed.account.functions[DISPATCH]
    installed.account.functions[DISPATCH] = lambda *_: 1 / 0
    with pytest.raises(SandboxStarting):
        sandboxes.boot(ref)
    installed.account.functions[DISPATCH] = carry
    (tmp_path / "go").touch()
    booted(sandboxes, ref)
    assert len(asked(tmp_path)) == 1
