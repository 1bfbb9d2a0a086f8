"""The image of sandboxes without an engine: rules that its Dockerfile keeps, and a supervisor that
runs from exactly the files that it copies.
"""

from __future__ import annotations

import fnmatch
import importlib.metadata
import json
import os
import re
import shutil
import socket
import subprocess
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from freehold.adapters.local_secrets import LocalSecrets
from freehold.adapters.subprocess_sandbox import programs
from freehold.adapters.subprocess_sandbox.client import SupervisorClient
from freehold.toolset import ToolCall, image
from tests.dockerfile import instructions, stages

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "sandbox_task/Dockerfile").read_text()
ALL = instructions(TEXT)
RUNS = [one.text for one in ALL if one.word == "RUN"]
ARGUMENTS = dict(one.text.partition("=")[::2] for one in ALL if one.word == "ARG")
SHA256 = re.compile(r"[0-9a-f]{64}")


# ---------------------------------------------------------------- rules
def test_the_base_is_one_image_for_both_machines_and_never_another():
    first, *others = stages(TEXT)
    assert re.fullmatch(r"ubuntu:24\.04@sha256:[0-9a-f]{64} AS small", first[0].text)
    assert [stage[0].text for stage in others] == ["small AS full", "${TOOLS}"]
    assert ARGUMENTS["TOOLS"] in {"small", "full"}
    assert "--platform" not in TEXT


def test_no_instruction_does_what_it_does_not_say():
    words = {one.word for one in ALL}
    assert words <= {"ARG", "COPY", "ENTRYPOINT", "FROM", "RUN", "SHELL", "USER", "WORKDIR"}
    for run in RUNS:
        assert "sudo" not in run
        assert not re.search(r"(curl|wget)[^&|]*\|", run), (
            "what is fetched is looked at before it runs"
        )
        assert not re.search(r"\bapt\s", run)
        assert " cd " not in run
    for one in ALL:
        assert not re.search(r"(?i)(password|secret|token|credential)", one.text)


def test_a_command_that_fails_in_the_middle_fails():
    (shell,) = [one for one in ALL if one.word == "SHELL"]
    assert json.loads(shell.text) == ["/bin/bash", "-euo", "pipefail", "-c"]
    assert ALL.index(shell) < min(ALL.index(one) for one in ALL if one.word == "RUN")
    for run in RUNS:
        assert ";" not in re.sub(r"\bcase .* esac\b|\"[^\"]*\"|'[^']*'", "", run)


def test_packages_of_ubuntu_leave_no_lists():
    fetching = [run for run in RUNS if "apt-get update" in run]
    assert len(fetching) == 3
    for run in fetching:
        assert run.endswith(("rm -rf /var/lib/apt/lists/*", " /root/.npm"))
        assert "rm -rf /var/lib/apt/lists/*" in run
    for run in (run for run in RUNS if "apt-get install" in run):
        assert run.startswith("apt-get update && ")
        assert "DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends" in run


def test_what_is_downloaded_has_a_version_and_a_checksum_for_each_machine():
    fetching = [run for run in RUNS if "curl -" in run]
    assert len(fetching) == 3
    for run in fetching:
        assert 'case "$(dpkg --print-architecture)"' in run
        assert all(f"{machine}) " in run for machine in ("amd64", "arm64", "*"))
        assert "*) exit 1" in run
        assert "sha256sum --check --strict" in run
        assert run.index("sha256sum") < min(
            run.index(use) for use in ("tar -x", "chmod +x") if use in run
        )
        for url in re.findall(r'"(http[^"]*)"', run):
            assert url.startswith("https://")
            assert "$machine" in url
        assert run.count("curl ") == run.count("--proto =https")
        for name in re.findall(r"\$(\w+_SHA256_\w+)", run):
            assert SHA256.fullmatch(ARGUMENTS[name])
    sums = [name for name in ARGUMENTS if "SHA256" in name]
    assert {name.rpartition("_")[2] for name in sums} == {"AMD64", "ARM64"}
    assert len({ARGUMENTS[name] for name in sums}) == len(sums) == 8


def test_packages_of_other_managers_are_pinned():
    for run in RUNS:
        for line in re.findall(r"pip install [^&]*", run):
            assert "--require-hashes" in line
            assert re.search(r"-r \S+\.lock", line)
        for line in re.findall(r"npm install [^&]*", run):
            assert re.search(r'"\w+@\$[A-Z]+"', line)
    versions = [name for name in ARGUMENTS if "SHA256" not in name and name != "TOOLS"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", ARGUMENTS[name]) for name in versions)


def test_the_runtimes_are_there():
    whole = " ".join(RUNS)
    for wanted in (
        *("3.10 3.11 3.13", "python3 ", "openjdk-21-jdk", "ruby-full", "php-cli", "clang"),
        *("build-essential", "postgresql-16", "redis-server", "git ", "jq ", "ripgrep"),
        *("libreoffice", "install --with-deps chromium", "dl.google.com/go"),
    ):
        assert wanted in whole, wanted
    assert (ARGUMENTS["NODE_20"].split(".")[0], ARGUMENTS["NODE_22"].split(".")[0]) == ("20", "22")
    assert int(ARGUMENTS["RUST"].split(".")[0]) == 1
    (playwright,) = [run for run in RUNS if "playwright install" in run]
    place = image.ENVIRONMENT["PLAYWRIGHT_BROWSERS_PATH"]
    assert f"PLAYWRIGHT_BROWSERS_PATH={place} " in playwright


def test_a_changed_supervisor_makes_no_toolchain_anew():
    *tools, last = stages(TEXT)
    copied = {one.text.split()[0] for stage in tools for one in stage if one.word == "COPY"}
    assert copied == {"requirements-toolchain.lock"}
    words = [one.word for one in last]
    installs = next(i for i, one in enumerate(last) if "pip install" in one.text)
    assert installs < min(i for i, one in enumerate(last) if one.text.startswith("sandbox_task"))
    assert words[-3:] == ["WORKDIR", "USER", "ENTRYPOINT"]


def test_the_tools_user_owns_nothing_but_what_is_mounted():
    (people,) = [run for run in RUNS if "useradd" in run]
    assert "--uid 10001" in people
    assert "mkdir -m 0700 /run/freehold" in people
    assert re.findall(r"chown \S+ ([^&]*)", people) == ["/workspace /mnt/session/outputs"]
    assert not [run for run in RUNS if run != people and "chown" in run]
    users = [one.text for one in ALL if one.word == "USER"]
    assert users == ["0:0"]  # root, who becomes the tools' user for each of them


def test_the_entry_is_the_supervisor_as_those_who_start_it_know_it():
    last = ALL[-1]
    assert last.word == "ENTRYPOINT"
    assert json.loads(last.text) == programs.in_sandbox(image.PYTHON, "sandbox_task.__main__")


def test_the_engine_is_sent_what_the_images_copy_and_nothing_else():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    shown = [line[1:] for line in rules if line.startswith("!")]
    egress = instructions((ROOT / "egress_proxy/Dockerfile").read_text())
    copied = [one.text.split()[0] for one in (*ALL, *egress) if one.word == "COPY"]
    for source in copied:
        assert (ROOT / source).exists()
        assert any(fnmatch.fnmatch(source, rule) for rule in shown), source
    for rule in shown:
        assert any(fnmatch.fnmatch(source, rule) for source in copied), rule


# ---------------------------------------------------------------- it runs
@pytest.fixture
def layout(tmp_path):
    """The image's file system as far as the last stage makes it, below a directory of the test."""
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)  # the tools' user goes there
    for one in stages(TEXT)[-1]:
        if one.word != "COPY":
            continue
        source, target = one.text.split()
        place = tmp_path / target.lstrip("/")
        if target.endswith("/"):
            place /= Path(source).name
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, place)
    lock = (tmp_path / "opt/freehold/requirements-sandbox.lock").read_text()
    for name in re.findall(r"^([\w-]+)==", lock, re.MULTILINE):
        _install(name, tmp_path / "opt/freehold/packages")
    for name in ("run/freehold", "workspace", "uploads", "outputs", "results"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def _install(name, target):
    """What `pip install --target` of a locked distribution leaves there."""
    for file in importlib.metadata.files(name) or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            place = target / file
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file.locate(), place)


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def running(layout, keys, **changed):
    """A client of the supervisor that the image's entry starts; `changed` are settings."""
    secrets = LocalSecrets(keys / "secret.key")
    port = _free_port()
    uid = 10001 if os.geteuid() == 0 else os.geteuid()
    (layout / "run/freehold").chmod(0o700)
    for name in ("workspace", "outputs"):
        os.chown(layout / name, uid, uid)
        (layout / name).chmod(0o700)
    (layout / "tmp").mkdir()
    (layout / "tmp").chmod(0o1777)
    tool_host = programs.in_sandbox(image.PYTHON, "sandbox_task.tool_host")
    places = {name: str(layout / name) for name in ("workspace", "uploads", "outputs", "results")}
    settings = {
        "identity": "user" if os.geteuid() == 0 else "none",
        "tools_uid": uid,
        "session_id": "slot_1",
        "public_key": secrets.public_key().hex(),
        "state": str(layout / "run/freehold"),
        "listen": f"127.0.0.1:{port}",
        "tool_host": [image.PYTHON, *_moved(tool_host, layout)],
        "environment": {"PATH": image.SEARCH_PATH, **image.ENVIRONMENT},
        "places": {**places, "temporary": str(layout / "tmp")},
        **changed,
    }
    # What the lock names was built for the interpreter of the tests.
    entry = _moved(json.loads(ALL[-1].text), layout)
    command = [str(programs.interpreter()), *entry, json.dumps(settings)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={}, cwd="/"
    ) as supervisor:
        boot_id = json.loads(supervisor.stdout.readline())["boot_id"]
        client = SupervisorClient(
            lambda: socket.create_connection(("127.0.0.1", port)), secrets, "slot_1", boot_id
        )
        with closing(client):
            yield client
        supervisor.stdin.close()
    assert supervisor.returncode == 0


needs_python = pytest.mark.skipif(
    not Path(image.PYTHON).exists(), reason="needs the image's interpreter"
)


@needs_python
def test_the_supervisor_runs_from_what_the_image_copies(layout, tmp_path_factory):
    with running(layout, tmp_path_factory.mktemp("keys")) as client:
        said = _run(client, "bash", {"command": "id -u; echo made > file; pwd"})
        uid = 10001 if os.geteuid() == 0 else os.geteuid()
        assert said == f"{uid}\n{layout}/workspace"
        assert _run(client, "read", {"file_path": "file"}) == "made\n"


_INSTALL = """#!/bin/sh
# $4 is the prefix of gem.
mkdir -p "$4/bin"
for path in run/freehold/journal run/freehold workspace; do
    { cat LAYOUT/$path || ls LAYOUT/$path; } >/dev/null 2>&1 && echo "reached $path" >> "$4/found"
    touch LAYOUT/$path/x 2>/dev/null && echo "wrote $path" >> "$4/found"
done
setsid sleep 4321.0625 >/dev/null 2>&1 &
id -u >> "$4/found"
"""


@needs_python
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for three users")
def test_packages_are_installed_by_a_user_who_is_neither_the_tools_nor_the_supervisors(
    layout, tmp_path_factory
):
    prefix = layout / "opt/packages"
    prefix.mkdir()
    (layout / "bin").mkdir()
    (layout / "bin/gem").write_text(_INSTALL.replace("LAYOUT", str(layout)))
    (layout / "bin/gem").chmod(0o755)
    environment = {"PATH": f"{layout}/bin:{image.SEARCH_PATH}"}
    changed = {"packages": str(prefix), "installer_uid": 10003, "environment": environment}
    with running(layout, tmp_path_factory.mktemp("keys"), **changed) as client:
        asked = {"packages": {"gem": ["rake"]}, "wait": 20}
        assert client.post("/install", asked) == (200, {"status": "done", "error": ""})
        assert (prefix / "gem/found").read_text() == "10003\n"
        command = f"cat {prefix}/gem/found; touch {prefix}/gem/bin/x; rm -r {prefix}/gem; id -u"
        said = _run(client, "bash", {"command": command + "; pgrep -f 4321.0625 || echo none"})
        assert said.splitlines()[0] == "10003"
        assert said.count("Permission denied") >= 2
        assert said.endswith("10001\nnone")
        assert client.post("/install", {**asked, "packages": {"npm": ["x"]}})[0] == 409


def _moved(command, layout):
    """Without its interpreter, and with the image's files where they are here."""
    assert command[0] == image.PYTHON
    return [part.replace("/opt/freehold", f"{layout}/opt/freehold") for part in command[1:]]


def _run(client, name, given):
    call = ToolCall("sthr_1", f"sevt_{name}", name, given)
    request = {
        "thread_id": call.thread_id,
        "event_id": call.event_id,
        "digest": call.digest,
        "name": name,
        "input": given,
        "wait": 20,
    }
    status, answer = client.post("/execute", request)
    assert (status, answer["status"], answer["is_error"]) == (200, "done", False), answer
    return answer["content"][0]["text"]
