"""Every rung faces the same contract, and what this adapter promises beyond it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from freehold.adapters.egress import LaptopEgress
from freehold.adapters.local_secrets import LocalSecrets
from freehold.adapters.subprocess_sandbox import SubprocessSandboxes
from freehold.errors import SandboxLost
from freehold.testing.sandbox_calls import (
    bash,
    call,
    eventually,
    failed,
    finish,
    new_sandbox,
    said,
    text_of,
)
from freehold.testing.sandbox_contract import CONTRACT
from freehold.toolset import INTERRUPTED

RUNGS = ["bubblewrap", "container", "none"]
WITH_NETWORK = "bubblewrap with network"
ROOT = Path(__file__).parents[2]


@contextmanager
def opened(data_dir, rung="bubblewrap", **given):
    data_dir.mkdir(exist_ok=True)
    secrets = LocalSecrets(data_dir / "secret.key")
    rung, _, has_network = rung.partition(" ")
    if has_network:
        given["egress"] = LaptopEgress(data_dir / "egress", secrets)
    with closing(SubprocessSandboxes(data_dir, secrets, rung, **given)) as sandboxes:
        probe = sandboxes.usable()
        if probe.rung is None:
            pytest.skip(probe.advice)
        yield sandboxes


@pytest.fixture(scope="module", params=RUNGS)
def sandboxes(request, tmp_path_factory):
    with opened(tmp_path_factory.mktemp("data"), request.param, wait_seconds=0.3) as made:
        yield made


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_contract(check, sandboxes):
    sandbox = new_sandbox()
    check(sandboxes, sandbox)
    sandboxes.remove(sandbox)


@pytest.mark.parametrize("rung", ["bubblewrap", "none"])
def test_files_outlive_the_server_and_processes_do_not(tmp_path, rung):
    sandbox = new_sandbox()
    with opened(tmp_path, rung) as sandboxes:
        first = sandboxes.boot(sandbox)
        said(sandboxes, sandbox, bash("echo kept > file; sleep 1000 & echo $! > pid"))
        assert (tmp_path / "workspaces" / sandbox.session_id / "file").read_text() == "kept\n"
    assert not _commands("sleep 1000")
    with opened(tmp_path, rung) as sandboxes:
        assert sandboxes.boot(sandbox) != first
        assert said(sandboxes, sandbox, call("read", file_path="file")) == "kept\n"
        sandboxes.remove(sandbox)
    for kind in ("workspaces", "outputs", "uploads", "sandboxes"):
        assert list((tmp_path / kind).iterdir()) == []


def _commands(wanted):
    """Process ids whose command line is `wanted`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if line.replace(b"\0", b" ").strip() == wanted.encode():
                found.append(int(entry.name))
    return found


_SERVER = """
import sys
from pathlib import Path
from freehold.adapters.egress import LaptopEgress
from freehold.adapters.local_secrets import LocalSecrets
from freehold.adapters.subprocess_sandbox import SubprocessSandboxes
from freehold.testing.sandbox_calls import bash, new_sandbox, run
data = Path(sys.argv[1])
secrets = LocalSecrets(data / "secret.key")
rung, _, has_network = sys.argv[2].partition(" ")
egress = LaptopEgress(data / "egress", secrets) if has_network else None
sandboxes = SubprocessSandboxes(data, secrets, rung, egress=egress)
sandbox = new_sandbox()
run(sandboxes, sandbox, bash("setsid sleep 1234.5 & sleep 1234.25 & true"))
print(sandbox.session_id, flush=True)
run(sandboxes, sandbox, bash("sleep 1234.75"))
"""


@pytest.mark.parametrize("rung", ["bubblewrap", WITH_NETWORK, "none"])
def test_a_killed_server_takes_its_sandboxes_along(tmp_path, rung):
    with opened(tmp_path / "probe", rung):
        pass
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER, tmp_path, rung], stdout=subprocess.PIPE, cwd=ROOT
    ) as server:
        assert server.stdout.readline()
        eventually(lambda: _commands("sleep 1234.75"))
        server.send_signal(signal.SIGKILL)
    for seconds in ("1234.5", "1234.25", "1234.75"):
        eventually(lambda seconds=seconds: not _commands(f"sleep {seconds}"))
    # Neither supervisor, relay nor proxy is left: each is told something of this directory.
    eventually(lambda: not list(_pids_in(tmp_path)))
    # What the dead boot left is removed by the next server, which can use the same directory.
    with opened(tmp_path, rung) as sandboxes:
        assert list((tmp_path / "sandboxes").iterdir()) == []
        assert said(sandboxes, new_sandbox(), bash("echo again")) == "again"


@pytest.mark.parametrize("rung", ["bubblewrap", WITH_NETWORK, "none"])
def test_a_dead_supervisor_is_a_lost_sandbox_and_the_next_boot_a_new_one(tmp_path, rung):
    with opened(tmp_path, rung) as sandboxes:
        sandbox = new_sandbox()
        boot_id = sandboxes.boot(sandbox)
        made = bash("kill -9 $PPID; sleep 1" if rung == "none" else "true")
        if rung != "none":
            os.kill(_supervisor_of(sandbox), signal.SIGKILL)
            eventually(lambda: not _is_supervised(sandbox))
        with pytest.raises(SandboxLost):
            finish(sandboxes, sandbox, boot_id, made)
        assert sandboxes.boot(sandbox) != boot_id
        assert said(sandboxes, sandbox, bash("echo new")) == "new"


def _pids_in(directory):
    """Processes that are in `directory`, or have something open there."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                held = [entry / "cwd", *(entry / "fd").iterdir()]
                if any(directory in link.readlink().parents for link in held):
                    yield int(entry.name)


def _supervisor_of(sandbox):
    return next(pid for pid in _pids_naming(sandbox.session_id))


def _is_supervised(sandbox):
    return any(True for _ in _pids_naming(sandbox.session_id))


def _pids_naming(word):
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if word.encode() in (entry / "cmdline").read_bytes():
                    yield int(entry.name)
            except OSError:
                continue


def test_an_idle_sandbox_is_stopped(tmp_path):
    with opened(tmp_path, idle_seconds=0.3) as sandboxes:
        sandbox = new_sandbox()
        first = sandboxes.boot(sandbox)
        said(sandboxes, sandbox, bash("echo kept > file"))
        eventually(lambda: not _is_supervised(sandbox))
        assert sandboxes.boot(sandbox) != first
        assert said(sandboxes, sandbox, call("read", file_path="file")) == "kept\n"


def test_without_a_rung_a_call_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    secrets = LocalSecrets(tmp_path / "secret.key")
    with closing(SubprocessSandboxes(tmp_path, secrets, "container")) as sandboxes:
        probe = sandboxes.usable()
        assert probe.rung is None
        assert "install docker or podman" in probe.advice
        with pytest.raises(SandboxLost, match="install docker or podman"):
            sandboxes.boot(new_sandbox())


def test_why_a_sandbox_did_not_start_is_for_operators(tmp_path, caplog):
    """The model reads the error; the reason can name paths of the host."""
    with opened(tmp_path) as sandboxes:
        (tmp_path / "outputs").write_text("in the way")
        with pytest.raises(SandboxLost) as lost:
            sandboxes.boot(new_sandbox())
        assert str(tmp_path) not in str(lost.value)
        (record,) = [one for one in caplog.records if one.name == "freehold.sandboxes"]
        assert "directories cannot be made" in record.reason


def test_no_isolation_is_never_chosen_by_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(
        "freehold.adapters.subprocess_sandbox.bubblewrap._program", lambda: Path("/bin/false")
    )
    secrets = LocalSecrets(tmp_path / "secret.key")
    with closing(SubprocessSandboxes(tmp_path, secrets, "auto")) as sandboxes:
        probe = sandboxes.usable()
    assert probe.rung is None
    assert [finding.rung for finding in probe.findings] == ["bubblewrap", "container"]
    assert all(finding.reason and finding.remedy for finding in probe.findings)


def test_a_server_that_is_not_root_has_sandboxes_too(tmp_path):
    """Run as the user nobody when root runs the tests; any other user has proven it above."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    python = Path("/usr/bin/python3")
    if not python.exists():
        pytest.skip("needs a /usr/bin/python3, which any user can run")
    asked = [python, "-c", "import sys; print(sys.version_info[:2])"]
    version = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    if version != str(sys.version_info[:2]):
        pytest.skip(f"needs a /usr/bin/python3 of version {sys.version_info[:2]}")
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 65534, 65534)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    script = _SERVER.partition("run(sandboxes")[0] + (
        "from freehold.testing.sandbox_calls import said\n"
        "print(sandboxes.usable().rung, said(sandboxes, sandbox, bash('id -u; echo hi > f')))\n"
        "sandboxes.remove(sandbox); sandboxes.close()\n"
    )
    done = subprocess.run(
        [python, "-c", script, data, "bubblewrap"],
        user=65534,
        group=65534,
        extra_groups=[],
        cwd="/",
        env={"PYTHONPATH": os.pathsep.join([str(ROOT), *_site_packages()]), "TMPDIR": str(data)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.split(), done.stderr) == (["bubblewrap", "10001"], "")


def _site_packages():
    return [path for path in sys.path if path.endswith("site-packages")]


def test_a_long_data_directory_is_no_problem(tmp_path):
    with opened(tmp_path / ("x" * 200)) as sandboxes:
        assert said(sandboxes, new_sandbox(), bash("echo deep")) == "deep"


def test_a_session_id_cannot_lead_out_of_the_data_directory(tmp_path):
    with opened(tmp_path) as sandboxes:
        wrong = type(new_sandbox())("wrkspc_1", "../../etc")
        with pytest.raises(SandboxLost):
            sandboxes.boot(wrong)
        with pytest.raises(ValueError, match="session id"):
            sandboxes.remove(wrong)


def test_an_interrupted_file_tool_does_not_disturb_the_next(tmp_path):
    with opened(tmp_path, wait_seconds=0.3) as sandboxes:
        sandbox = new_sandbox()
        boot_id = sandboxes.boot(sandbox)
        said(sandboxes, sandbox, call("write", file_path="line", content="a" * 1500 + "!"))
        slow = call("grep", pattern="(a+)+$", path="line")
        assert sandboxes.execute(sandbox, boot_id, slow) is None
        sandboxes.cancel(sandbox, boot_id, [slow])
        assert text_of(finish(sandboxes, sandbox, boot_id, slow)) == INTERRUPTED
        assert said(sandboxes, sandbox, call("grep", pattern="a!", path="line")).endswith("!")
        assert "no such file" in failed(sandboxes, sandbox, call("read", file_path="none"))
