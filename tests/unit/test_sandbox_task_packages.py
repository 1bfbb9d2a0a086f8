"""What the supervisor of an installation does, with managers of the test and, where there is one,
the machine's apt.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from freehold.testing.sandbox_calls import eventually
from freehold.toolset.packages import in_order, is_package, parse
from sandbox_task.gate import Gate
from sandbox_task.http_server import Refused, Request
from sandbox_task.installation import Installation, OtherPackages
from sandbox_task.launch import make_launcher
from sandbox_task.managers import steps, tool_environment
from sandbox_task.routes import InstallRoutes
from sandbox_task.settings import Places, Settings
from sandbox_task.toolbox import Toolbox
from sandbox_task.trees import Spawner
from sandbox_task.watchdog import Watchdog

PUBLIC = b"\1" * 32


@pytest.fixture(scope="module")
def spawner():
    made = Spawner()
    threading.Thread(target=made.run, daemon=True).start()
    return made


class Workshop:
    """An installation whose managers are the shell scripts that the test puts on its path."""

    def __init__(self, directory, spawner):
        self.directory = directory
        for name in ("bin", "prefix", "workspace", "outputs"):
            (directory / name).mkdir()
        self.spawner = spawner

    def manager(self, name, script):
        path = self.directory / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def installation(self, **changed):
        settings = Settings(
            session_id="pkgs_1",
            public_key=PUBLIC.hex(),
            state="",
            listen="",
            identity="none",
            tool_host=(),
            packages=str(self.directory / "prefix"),
            installs=True,
            environment={"PATH": f"{self.directory}/bin:/usr/bin:/bin"},
            places=Places(
                workspace=str(self.directory / "workspace"), outputs=str(self.directory / "outputs")
            ),
            **changed,
        )
        launcher = make_launcher(settings, self.spawner)
        toolbox = Toolbox(settings, launcher, Watchdog(settings, 0))
        return Installation(settings, launcher, Watchdog(settings, 0), toolbox.environment)


@pytest.fixture
def workshop(tmp_path, spawner):
    return Workshop(tmp_path, spawner)


GEM = {"gem": ("rake",)}


def test_an_installation_is_begun_once_and_joined(workshop):
    workshop.manager("gem", "echo >> ran; while [ ! -e go ]; do sleep 0.02; done")
    installation = workshop.installation()
    assert installation.join(GEM, 0.0) is None
    assert installation.join(GEM, 0.01) is None
    with pytest.raises(OtherPackages):
        installation.join({"gem": ("rake", "rack")}, 0.0)
    (workshop.directory / "workspace/go").touch()
    assert installation.join(GEM, 10.0) == ""
    assert installation.join(GEM, 0.0) == ""
    assert (workshop.directory / "workspace/ran").read_text() == "\n"


def test_an_installation_has_a_time_limit_and_its_processes_end_with_it(workshop):
    workshop.manager("gem", "echo begun; sleep 4321.25 & sleep 4321.25")
    error = workshop.installation(install_seconds=0.3).join(GEM, 10.0)
    assert error == "gem: not installed within 0.3 s\nbegun"
    eventually(lambda: "4321.25" not in _command_lines())


def test_what_a_manager_leaves_in_the_background_is_not_waited_for(workshop):
    workshop.manager("gem", "sleep 4321.125 & echo done")
    begun = time.monotonic()
    assert workshop.installation().join(GEM, 20.0) == ""
    assert time.monotonic() - begun < 10
    eventually(lambda: "4321.125" not in _command_lines())


def _command_lines():
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def test_of_what_a_manager_says_the_end_is_kept(workshop):
    workshop.manager("gem", "yes | head -c 4000000; echo; echo the reason; exit 3")
    error = workshop.installation().join(GEM, 20.0)
    assert error.startswith("gem: exit code 3\ny\n")
    assert error.endswith("\nthe reason")
    assert len(error) < 2000


def test_a_manager_that_is_not_there_is_named(workshop):
    error = workshop.installation().join({"cargo": ("ripgrep",)}, 10.0)
    assert error.startswith("cargo: exit code 127\n")
    assert "cargo: not found" in error or "cargo: command not found" in error


def test_later_managers_find_what_earlier_ones_installed(workshop):
    root = workshop.directory / "prefix"
    tool = f"mkdir -p {root}/cargo/bin; printf '#!/bin/sh\\nexit 0' > {root}/cargo/bin/tool"
    workshop.manager("cargo", f"{tool}; chmod +x {root}/cargo/bin/tool")
    workshop.manager("gem", "tool")
    assert workshop.installation().join({"cargo": ("tool",), **GEM}, 10.0) == ""


# ---------------------------------------------------------------- requests
class Admitted:
    """A gate that lets everything pass; the real one is in test_sandbox_task_requests."""

    def admit(self, request):
        pass

    def check_body(self, request):
        pass


def install(workshop, body, path="/install"):
    routes = InstallRoutes(Admitted(), workshop.installation(), {})
    request = Request("POST", path, {}, json.dumps(body).encode())
    return json.loads(routes.handle(request).body)


def test_a_sandbox_that_installs_packages_answers_nothing_else(workshop):
    workshop.manager("gem", "true")
    asked = {"packages": {"gem": ["rake"]}, "wait": 10}
    assert install(workshop, asked) == {"status": "done", "error": ""}
    for path in ("/execute", "/cancel", "/files"):
        with pytest.raises(Refused, match="no such route"):
            install(workshop, {}, path)
    signed = InstallRoutes(Gate(PUBLIC, "pkgs_1", "boot_1"), workshop.installation(), {})
    with pytest.raises(Refused, match="signature"):
        signed.admit(Request("POST", "/install", {}, b"{}"))


@pytest.mark.parametrize(
    "packages",
    [None, [], {}, {"gem": []}, {"gem": "rake"}, {"gem": [1]}, {"brew": ["x"]}, {"gem": ["-r"]}],
    ids=str,
)
def test_what_are_no_packages_is_refused(workshop, packages):
    with pytest.raises(Refused) as refused:
        install(workshop, {"packages": packages, "wait": 0})
    assert refused.value.status == 400


# ---------------------------------------------------------------- words and places
def test_a_package_is_no_option_and_one_line():
    for good in ("six", "pandas==2.2.0", "@types/node@20", "a @ https://x/y.whl", "é"):
        assert is_package(good)
        assert parse({"pip": [good]}) == {"pip": (good,)}
    for bad in ("", "-r", "--index-url=x", " six", "a\nb", "a\0b", "\t", "a" * 501, "a\x7f"):
        assert not is_package(bad), bad
        with pytest.raises(ValueError):
            parse({"pip": [bad]})


def test_packages_are_installed_in_the_order_of_their_managers():
    lists = {"pip": ["a"], "apt": ["b"], "gem": [], "cargo": ["c"]}
    assert list(in_order(lists).items()) == [("apt", ("b",)), ("cargo", ("c",)), ("pip", ("a",))]


def test_tools_find_what_is_there_and_still_what_the_image_has(tmp_path):
    given = {"PATH": "/usr/bin", "PYTHONPATH": "/image"}
    assert tool_environment("", given) == tool_environment(str(tmp_path), given) == given
    for manager in ("apt", "gem", "npm", "pip"):
        (tmp_path / manager).mkdir()
    found = tool_environment(str(tmp_path), given)
    assert found["PATH"].startswith(f"{tmp_path}/pip/bin:{tmp_path}/npm/bin:{tmp_path}/gem/bin:")
    assert found["PATH"].endswith(f"{tmp_path}/apt/bin:/usr/bin")
    assert found["PYTHONPATH"] == f"{tmp_path}/pip:/image"
    assert found["NODE_PATH"] == f"{tmp_path}/npm/lib/node_modules"
    assert found["GEM_PATH"] == f"{tmp_path}/gem:"  # an empty entry: Ruby's own places
    assert "" not in found["LD_LIBRARY_PATH"].split(":")
    assert f"{tmp_path}/cargo" not in found["PATH"]


# ---------------------------------------------------------------- apt
def _deb(directory, name, depends=""):
    root = directory / name
    (root / "DEBIAN").mkdir(parents=True)
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin" / name).write_text(f"#!/bin/sh\necho {name} here\n")
    (root / "usr/bin" / name).chmod(0o755)
    fields = f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: t <t@example.com>\n"
    needs = f"Depends: {depends}\n" if depends else ""
    (root / "DEBIAN/control").write_text(f"{fields}{needs}Description: {name}\n")
    (root / "DEBIAN/postinst").write_text(f"#!/bin/sh\ntouch {directory}/ran\n")
    (root / "DEBIAN/postinst").chmod(0o755)
    archive = directory / "repository" / f"{name}.deb"
    subprocess.run(["dpkg-deb", "--build", root, archive], check=True, capture_output=True)
    size = f"Filename: ./{name}.deb\nSize: {archive.stat().st_size}\n"
    digest = subprocess.run(["sha256sum", archive], check=True, capture_output=True, text=True)
    return f"{fields}{needs}{size}SHA256: {digest.stdout.split()[0]}\nDescription: {name}\n\n"


@pytest.mark.skipif(
    not (shutil.which("apt-get") and shutil.which("dpkg-deb")), reason="needs apt and dpkg"
)
def test_apt_unpacks_a_package_with_what_it_needs_and_changes_nothing_else(tmp_path):
    (tmp_path / "repository").mkdir()
    index = _deb(tmp_path, "first-of-tests", "second-of-tests (= 1.0)") + _deb(
        tmp_path, "second-of-tests"
    )
    (tmp_path / "repository/Packages").write_text(index)
    (tmp_path / "sources").write_text(f"deb [trusted=yes] copy:{tmp_path}/repository ./\n")
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::SourceList "{tmp_path}/sources";\nDir::Etc::SourceParts "/dev/null";\n'
    )
    prefix = tmp_path / "prefix"
    environment = {"PATH": os.environ["PATH"], "APT_CONFIG": str(tmp_path / "apt.conf")}
    before = _installed()
    for step in steps("apt", ("first-of-tests=1.0",), str(prefix), str(tmp_path / "scratch")):
        done = subprocess.run(
            step.command, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    path = tool_environment(str(prefix), environment)["PATH"]
    for name in ("first-of-tests", "second-of-tests"):
        said = subprocess.run(
            [name], env={"PATH": path}, capture_output=True, text=True, check=True
        )
        assert said.stdout == f"{name} here\n"
    assert _installed() == before
    assert not (tmp_path / "ran").exists()


def _installed():
    status = Path("/var/lib/dpkg/status")
    return status.stat().st_mtime_ns if status.exists() else None
