"""Packages of environments on this machine: installed once, in a sandbox without a session, and
then only read (docs/adr/0013).

With real pip and npm. Those of the tests' small internet come through the proxy, from the hosts of
package managers; no packet leaves the machine.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from freehold.adapters.local_secrets import LocalSecrets
from freehold.adapters.subprocess_sandbox import SubprocessSandboxes
from freehold.errors import SandboxLost, SandboxStarting
from freehold.ports import Network, SandboxRef
from freehold.testing.sandbox_calls import bash, booted, eventually, failed, new_sandbox, run, said
from tests.contract.test_egress_sandbox import Town, has_namespaces
from tests.egress import authority
from tests.packages import npm_package, source_distribution

ROOT = Path(__file__).parents[2]
URL = "http://packages.example"
READ = "python3 -c 'import {0}; print({0}.token)'"


class Shop(Town):
    """A town whose sandboxes have packages."""

    def __init__(self, directory):
        self.packages = defaultdict(dict)
        super().__init__(directory, packages_of=lambda sandbox: self.packages[sandbox.session_id])

    def sandbox(self, **packages):
        made = super().sandbox(Network())
        self.packages[made.session_id] = packages
        return made


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    if not has_namespaces():
        pytest.skip("needs unshare, ip and network namespaces")
    directory = tmp_path_factory.mktemp("shop")
    directory.chmod(0o755)
    authority(directory, "packages.example", "files.example")
    made = Shop(directory)
    with closing(made.sandboxes):
        probe = made.sandboxes.usable()
        if probe.rung is None:
            pytest.skip(probe.advice)
        if run(made.sandboxes, made.sandbox(), bash("python3 -m pip --version")).is_error:
            pytest.skip("the sandbox's Python has no pip")
        yield made


@pytest.fixture(scope="module")
def sample(shop):
    source_distribution(shop.directory, "sample")
    return f"{URL}/sample-1.0.tar.gz"


# ---------------------------------------------------------------- what a session gets
def test_packages_come_from_the_registries_and_are_there_before_the_first_call(shop, sample):
    sandbox = shop.sandbox(pip=(sample,))
    assert len(shop.said(sandbox, READ.format("sample"))) == 32
    # The session's own network is another matter: this one has none.
    assert "403" in shop.said(sandbox, f"curl -sS -i {URL}/")


def test_tools_cannot_write_what_others_will_read(shop, sample):
    sandbox = shop.sandbox(pip=(sample,))
    tries = (
        "touch /opt/packages/x",
        "rm -rf /opt/packages/pip",
        "echo >> /opt/packages/pip/sample.py",
    )
    for command in tries:
        assert "Read-only file system" in shop.failed(sandbox, command)
    assert "Permission denied" in shop.failed(sandbox, "mount -o remount,rw /opt/packages") or (
        "must be superuser" in shop.failed(sandbox, "mount -o remount,rw /opt/packages")
    )
    shop.said(sandbox, READ.format("sample"))


def test_sessions_of_a_workspace_share_one_installation_and_others_have_their_own(shop):
    source_distribution(shop.directory, "shared")
    packages = {"pip": (f"{URL}/shared-1.0.tar.gz",)}
    pair = [shop.sandbox(**packages) for _ in range(2)]
    stranger = SandboxRef("wrkspc_other", new_sandbox().session_id)
    shop.networks[stranger.session_id] = Network()
    shop.packages[stranger.session_id] = packages
    with ThreadPoolExecutor(3) as pool:
        tokens = list(
            pool.map(lambda one: shop.said(one, READ.format("shared")), [*pair, stranger])
        )
    assert tokens[0] == tokens[1] != tokens[2]
    # From the cache: the registry has it no more.
    (shop.directory / "shared-1.0.tar.gz").unlink()
    assert shop.said(shop.sandbox(**packages), READ.format("shared")) == tokens[0]


@pytest.mark.skipif(not shutil.which("npm", path="/usr/local/bin:/usr/bin"), reason="no npm")
def test_npm_puts_commands_on_the_path_and_modules_where_node_finds_them(shop):
    npm_package(shop.directory, "greeter")
    sandbox = shop.sandbox(npm=(f"{URL}/greeter-1.0.0.tgz",))
    assert shop.said(sandbox, "greeter") == "hello from npm"
    assert shop.said(sandbox, "node -p 'require(`greeter`)'") == "required"


def test_what_cannot_be_installed_fails_every_call_in_the_managers_words_and_is_tried_again(shop):
    packages = {"pip": (f"{URL}/late-1.0.tar.gz",)}
    sandbox = shop.sandbox(**packages)
    for _ in range(2):
        with pytest.raises(SandboxLost) as lost:
            booted(shop.sandboxes, sandbox)
        assert "packages could not be installed" in str(lost.value)
        assert "pip: exit code 1\n" in str(lost.value)
        assert "404" in str(lost.value)
    source_distribution(shop.directory, "late")
    shop.said(sandbox, READ.format("late"))
    assert not list((shop.directory / "packages").glob("*.building-*"))


def test_apt_needs_a_container(shop):
    with pytest.raises(SandboxLost, match=r"apt packages cannot be installed.* bubblewrap"):
        booted(shop.sandboxes, shop.sandbox(apt=("jq",)))


# ---------------------------------------------------------------- hostile packages
PROBE = """
import glob, socket, subprocess
def tried(name, what):
    try:
        found[name] = what()
    except Exception as error:
        found[name] = type(error).__name__
def through_proxy(host):
    host_port = os.environ["HTTP_PROXY"].rpartition("@")[2].split(":")
    import base64
    user = os.environ["HTTP_PROXY"].split("//")[1].rpartition("@")[0]
    with socket.create_connection((host_port[0], int(host_port[1])), 5) as line:
        secret = base64.b64encode(user.encode()).decode()
        line.sendall(
            f"GET http://{host}/ HTTP/1.1\\r\\nHost: {host}\\r\\n"
            f"Proxy-Authorization: Basic {secret}\\r\\nConnection: close\\r\\n\\r\\n".encode()
        )
        return line.recv(100).decode().split()[1]
tried("workspace", lambda: sorted(os.listdir("/workspace")))
tried("session", lambda: [os.listdir(p) for p in glob.glob("/mnt/session/*")])
tried("state", lambda: os.listdir("/run/freehold"))
tried("data", lambda: os.listdir(DATA))
tried("processes", lambda: sorted(
    open(p).read().split(chr(0))[0] for p in glob.glob("/proc/[0-9]*/cmdline")))
tried("write", lambda: open("/opt/freehold/sandbox_task/x", "w"))
tried("usr", lambda: open("/usr/x", "w"))
tried("direct", lambda: socket.create_connection(("93.184.216.34", 80), 2))
tried("listed", lambda: through_proxy("packages.example"))
tried("unlisted", lambda: through_proxy("ok.example"))
tried("metadata", lambda: through_proxy("169.254.169.254"))
tried("environment", lambda: sorted(os.environ))
os.makedirs("/opt/packages/other", exist_ok=True)
null = subprocess.DEVNULL  # pip waits for whoever holds its pipe
subprocess.Popen(["setsid", "sleep", "4321.75"], stdin=null, stdout=null, stderr=null)
os.system("yes | head -c 3000000")
"""


def test_what_a_package_runs_reaches_no_session_and_no_host_but_the_registries(shop):
    other = shop.sandbox()
    shop.said(other, "echo secret > /workspace/file; (sleep 1000 &)")
    source_distribution(shop.directory, "hostile", PROBE.replace("DATA", repr(str(shop.directory))))
    sandbox = shop.sandbox(pip=(f"{URL}/hostile-1.0.tar.gz",))
    show = "python3 -c 'import hostile, json; print(json.dumps(hostile.found))'"
    found = json.loads(shop.said(sandbox, show))
    assert found["workspace"] == ["scratch"]
    assert not [name for listed in found["session"] for name in listed]
    assert found["state"] == found["data"] == "FileNotFoundError"
    assert "sleep" not in " ".join(found["processes"])
    assert not [name for name in found["processes"] if "sandbox_task" in name]
    assert found["write"] == found["usr"] == "OSError"
    assert found["direct"] in {"OSError", "TimeoutError"}
    assert (found["listed"], found["unlisted"], found["metadata"]) == ("200", "403", "403")
    assert not [name for name in found["environment"] if "KEY" in name or "SECRET" in name]
    # What it left running is gone, and what it left beside the packages means nothing.
    eventually(lambda: "4321.75" not in _command_lines())
    assert "other" not in shop.said(sandbox, "echo $PATH")


def _command_lines():
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(found)


# ---------------------------------------------------------------- without isolation
@pytest.fixture
def opened(tmp_path):
    """Servers on one data directory, whose sandboxes isolate nothing."""
    made = []

    def open_(packages, data_dir=tmp_path / "data"):
        data_dir.mkdir(exist_ok=True)
        secrets = LocalSecrets(data_dir / "secret.key")
        made.append(SubprocessSandboxes(data_dir, secrets, "none", packages_of=lambda _: packages))
        return made[-1]

    yield open_
    for sandboxes in made:
        sandboxes.close()


_VICTIM = """
import os, signal, sys
from pathlib import Path
from freehold.adapters.local_secrets import LocalSecrets
from freehold.adapters.subprocess_sandbox import SubprocessSandboxes
from freehold.testing.sandbox_calls import booted, new_sandbox
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
Path.rename = die
data = Path(sys.argv[1])
data.mkdir()
sandboxes = SubprocessSandboxes(
    data, LocalSecrets(data / "secret.key"), "none", packages_of=lambda _: {"pip": (sys.argv[2],)}
)
booted(sandboxes, new_sandbox())
"""


def test_a_server_that_dies_before_it_keeps_an_installation_leaves_nothing_that_is_used(
    tmp_path, opened
):
    package = str(source_distribution(tmp_path, "crashed"))
    data = tmp_path / "data"
    code = subprocess.run(
        [sys.executable, "-c", _VICTIM, data, package], cwd=ROOT, check=False
    ).returncode
    assert code == -signal.SIGKILL
    (left,) = (data / "packages").glob("*.building-*")
    dead = (left / "prefix/pip/crashed.py").read_text()
    sandboxes = opened({"pip": (package,)})
    token = said(sandboxes, new_sandbox(), bash(READ.format("crashed")))
    assert token not in dead
    assert not left.exists()


def test_an_installation_that_nobody_used_for_a_month_goes_and_one_in_use_stays(tmp_path, opened):
    old, used, new = (str(source_distribution(tmp_path, name)) for name in ("old", "used", "new"))
    first = opened({"pip": (old,)})
    said(first, new_sandbox(), bash(READ.format("old")))
    first.close()
    second = opened({"pip": (used,)})
    kept = new_sandbox()
    said(second, kept, bash(READ.format("used")))
    month = time.time() - 31 * 24 * 3600
    for lock in (tmp_path / "data/packages").glob("*.lock"):
        os.utime(lock, (month, month))
    said(opened({"pip": (new,)}), new_sandbox(), bash(READ.format("new")))
    modules = {path.name for path in (tmp_path / "data/packages").glob("*/pip/*.py")}
    assert modules == {"used.py", "new.py"}
    said(second, kept, bash(READ.format("used")))


FAKE = """#!/bin/sh
{{ printf '%s' {name}; for word in "$@"; do printf '|%s' "$word"; done; echo; }} >> {log}
{more}
"""


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """Managers that note what they are asked, in front of all others."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def make(name, more="true"):
        (folder / name).write_text(FAKE.format(name=name, log=tmp_path / "log", more=more))
        (folder / name).chmod(0o755)

    for name in ("apt-get", "dpkg-deb", "cargo", "gem", "go", "npm", "python3"):
        make(name)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return make


def test_managers_run_in_order_and_a_package_is_one_argument(tmp_path, opened, fakes):
    fakes(
        "apt-get", "for last; do :; done; test $last = update || touch ${3#*=}/archives/$last.deb"
    )
    odd = "x; touch /tmp/$(whoami) `id` && 'y"
    lists = {
        "pip": ("pandas==2.2.0", odd),
        "npm": ("express@4",),
        "go": ("example.org/a@v1", "example.org/b"),
        "gem": ("rake:13.0",),
        "cargo": ("ripgrep@14",),
        "apt": ("jq=1.7",),
    }
    said(opened(lists), new_sandbox(), bash("true"))
    lines = [line.split("|") for line in (tmp_path / "log").read_text().splitlines()]
    programs = [line[0] for line in lines]
    assert programs == [
        *("apt-get", "apt-get", "dpkg-deb", "cargo", "gem", "go", "go", "npm", "python3")
    ]
    wanted = [
        *(["jq=1.7"], ["ripgrep@14"], ["rake:13.0"], ["example.org/a@v1"]),
        *(["example.org/b@latest"], ["express@4"], ["pandas==2.2.0", odd]),
    ]
    asked = [line for line in lines if line[0] != "dpkg-deb" and line[-1] != "update"]
    assert [line[-len(names) :] for line, names in zip(asked, wanted, strict=True)] == wanted


def test_a_manager_that_fails_is_the_last_and_says_why(tmp_path, opened, fakes):
    fakes("gem", "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13; do echo line $i; done; exit 7")
    with pytest.raises(SandboxLost) as lost:
        booted(opened({"gem": ("a",), "npm": ("b",)}), new_sandbox())
    assert str(lost.value).endswith(
        "gem: exit code 7\n" + "\n".join(f"line {n}" for n in range(2, 14))
    )
    assert "npm" not in (tmp_path / "log").read_text()


def test_a_closed_server_waits_for_no_installation(tmp_path, opened, fakes):
    fakes("gem", "sleep 4321.5")
    sandboxes = opened({"gem": ("a",)})
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(booted, sandboxes, new_sandbox())
        eventually(lambda: "sleep 4321.5" in _command_lines())
        sandboxes.close()
        with pytest.raises(SandboxLost):
            waiting.result(20)
    eventually(lambda: "sleep 4321.5" not in _command_lines())


def test_nobody_waits_for_an_installation_and_a_session_can_go_meanwhile(tmp_path, opened, fakes):
    fakes("gem", f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done")
    sandboxes = opened({"gem": ("a",)})
    gone, stays = new_sandbox(), new_sandbox()
    for sandbox in (gone, stays):
        with pytest.raises(SandboxStarting):
            sandboxes.boot(sandbox)
    begun = time.monotonic()
    sandboxes.remove(gone)
    assert time.monotonic() - begun < 2
    with pytest.raises(SandboxLost):
        sandboxes.boot(gone)
    (tmp_path / "go").touch()
    assert said(sandboxes, stays, bash("echo here")) == "here"
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_the_calls_of_a_session_say_why_there_is_no_sandbox(opened, fakes):
    fakes("npm", "echo no such package; exit 1")
    sandboxes = opened({"npm": ("b",)})
    sandboxes.prewarm(new_sandbox())
    with pytest.raises(SandboxLost, match="npm: exit code 1\nno such package"):
        failed(sandboxes, new_sandbox(), bash("true"))
