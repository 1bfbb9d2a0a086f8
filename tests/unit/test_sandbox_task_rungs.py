"""The adapter's edges: what comes out of a sandbox is untrusted, and how an engine is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from freehold import toolset
from freehold.adapters.subprocess_sandbox import cgroups, container, network, programs
from freehold.adapters.subprocess_sandbox.directories import SessionDirectories
from freehold.adapters.subprocess_sandbox.rungs import CannotStart, Directories, Prefix, Start
from freehold.errors import SandboxLost
from freehold.ports import EgressSocket
from freehold.toolset import TOOLS, ToolResult
from freehold.toolset.egress_environment import RELAY
from freehold.toolset.results import parse_result
from sandbox_task.settings import parse

# ---------------------------------------------------------------- results


def text(content):
    return {"type": "text", "text": content}


def image(media_type="image/png", data="aGk=", kind="image", source="base64"):
    return {"type": kind, "source": {"type": source, "media_type": media_type, "data": data}}


def answer(*content, is_error=False):
    return {"status": "done", "content": list(content), "is_error": is_error}


def test_a_result_is_rebuilt_from_what_is_known():
    given = answer({**text("hi"), "cache_control": {"type": "ephemeral"}}, image(), is_error=True)
    assert parse_result(given) == ToolResult((text("hi"), image()), is_error=True)
    assert parse_result(answer(image("application/pdf", kind="document"))).content


def test_half_a_surrogate_pair_does_not_reach_the_log():
    result = parse_result(
        json.loads('{"content": [{"type": "text", "text": "a\\ud800b"}], "is_error": false}')
    )
    assert result == ToolResult.text("a?b")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"content": [], "is_error": "false"},
        {"content": "text", "is_error": False},
        answer("text"),
        answer(text(3)),
        answer(text("x" * 200_000)),
        answer({"type": "tool_use", "id": "x"}),
        answer({"type": "text"}),
        answer(image("image/svg+xml")),
        answer(image("text/html", kind="document")),
        answer(image(kind="document")),
        answer(image(data="<script>")),
        answer(image(data=None)),
        answer({"type": "image", "source": {"type": "url", "url": "https://example.com"}}),
        answer({"type": "image", "source": "base64"}),
        answer({"type": ["image"], "source": {}}),
        answer(image(media_type=["image/png"])),
        answer(*[text("x")] * 17),
    ],
    ids=lambda given: json.dumps(given)[:40],
)
def test_what_is_no_result_is_a_lost_sandbox(given):
    with pytest.raises(SandboxLost):
        parse_result(given)


# ---------------------------------------------------------------- container


@pytest.fixture
def start(tmp_path):
    kept = [tmp_path / name for name in ("workspace", "outputs", "uploads", "state")]
    limits = {"memory_bytes": 1 << 30, "processes": 100, "temporary_bytes": 1 << 20}
    return Start("sesn_1", b"\1" * 32, Directories(*kept), limits)


def test_a_container_has_nothing_it_does_not_need(start, tmp_path):
    arguments = container.run_arguments("name", start, 1000)
    options, command = (
        arguments[: arguments.index(container.IMAGE)],
        arguments[arguments.index(container.IMAGE) + 1 :],
    )
    joined = " ".join(options)
    for wanted in (
        "--network none",
        "--read-only",
        "--cap-drop ALL",
        "--security-opt no-new-privileges",
        f"--memory {1 << 30} --memory-swap {1 << 30}",
        "--pids-limit 356",
        "--pull never",
        "--rm",
        "--interactive",
        f"type=bind,source={tmp_path}/workspace,target=/workspace",
        f"type=bind,source={tmp_path}/uploads,target=/mnt/session/uploads,readonly",
    ):
        assert wanted in joined, wanted
    added = {options[i + 1] for i, option in enumerate(options) if option == "--cap-add"}
    assert added == {"SETUID", "SETGID", "KILL", "DAC_READ_SEARCH"}
    for unwanted in ("--privileged", "docker.sock", "--publish", str(tmp_path / "state"), "host"):
        assert unwanted not in joined.replace("--hostname", "")
    settings = parse(command[-1])
    assert settings.identity == "user"
    assert settings.tools_uid == 1000
    assert settings.public_key == "01" * 32


def test_a_container_with_a_network_has_the_socket_of_its_session_and_no_other_way(start, tmp_path):
    egress = EgressSocket(tmp_path / "egress", "t0ken", {"PIP_INDEX_URL": "https://pip.corp"})
    arguments = container.run_arguments("name", replace(start, egress=egress), 1000)
    joined = " ".join(arguments[: arguments.index(container.IMAGE)])
    assert "--network none" in joined
    assert f"type=bind,source={tmp_path}/egress,target=/run/egress,readonly" in joined
    assert "t0ken" not in joined
    settings = parse(arguments[-1])
    assert settings.egress == "/run/egress"
    proxy = "http://sesn_1:t0ken@127.0.0.1:3128"
    for name in ("HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        assert settings.environment[name] == proxy
    assert settings.environment["PIP_INDEX_URL"] == "https://pip.corp"
    assert parse(container.run_arguments("name", start, 1000)[-1]).egress == ""
    assert f"@{RELAY}" in proxy
    assert network.PROBE.count(RELAY.replace(":", "/") + " ") == 1


def test_a_container_reads_packages_and_writes_them_only_while_it_installs(start, tmp_path):
    def arguments(prefix):
        found = container.run_arguments("name", replace(start, prefix=prefix), 1000)
        mounts = [part for part in found if "target=/opt/packages" in part]
        return mounts, parse(found[-1])

    mounts, told = arguments(Prefix(tmp_path / "kept"))
    assert mounts == [f"type=bind,source={tmp_path}/kept,target=/opt/packages,readonly"]
    assert (told.packages, told.installs) == ("/opt/packages", False)
    mounts, told = arguments(Prefix(tmp_path / "new", is_writable=True))
    assert mounts == [f"type=bind,source={tmp_path}/new,target=/opt/packages"]
    assert (told.packages, told.installs) == ("/opt/packages", True)
    mounts, told = arguments(None)
    assert (mounts, told.packages, told.installs) == ([], "", False)


def test_an_engine_gets_no_secret(start, tmp_path, monkeypatch):
    """What it is asked, and in which environment, by an engine that writes it down."""
    engine = tmp_path / "docker"
    engine.write_text(
        "#!/bin/sh\n"
        f'env > {tmp_path}/environment.$1; echo "$@" > {tmp_path}/arguments.$1\n'
        'echo \'{"boot_id": "boot_1"}\'\n'
    )
    engine.chmod(0o755)
    (tmp_path / "state").mkdir()
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sesame")
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/docker.sock")
    launched = container.Container(str(engine)).launch(start)
    assert launched.process.stdout.readline() == b'{"boot_id": "boot_1"}\n'
    with launched.connect() as connection:
        assert connection.recv(100) == b'{"boot_id": "boot_1"}\n'
    launched.stop()
    for command in ("run", "exec", "rm"):
        environment = (tmp_path / f"environment.{command}").read_text()
        assert "sesame" not in environment
        assert "DOCKER_HOST=" in environment
    assert "name=" not in (tmp_path / "arguments.rm").read_text()
    assert "freehold-state" in (tmp_path / "arguments.rm").read_text()
    assert "relay" in (tmp_path / "arguments.exec").read_text()


def test_without_an_engine_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotStart) as failed:
        container.Container()
    assert failed.value.remedy == "install docker or podman"


def test_a_silent_engine_and_a_missing_image_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    engine = tmp_path / "docker"
    engine.write_text("#!/bin/sh\nexit 1\n")
    engine.chmod(0o755)
    with pytest.raises(CannotStart, match="nothing answers"):
        container.Container()
    engine.write_text('#!/bin/sh\ntest "$1" = info\n')
    with pytest.raises(CannotStart, match="there is no image") as failed:
        container.Container()
    assert "build -t" in failed.value.remedy


# ---------------------------------------------------------------- directories


def test_what_a_sandbox_left_is_removed_however_it_is_nested(tmp_path):
    directories = SessionDirectories(tmp_path)
    prepared = directories.prepare("sesn_1", None)
    nest = "for ((i = 0; i < 1500; i++)); do mkdir $0 && cd $0; done; mkdir -m 000 closed"
    subprocess.run(["bash", "-c", nest, "d" * 50], check=True, cwd=prepared.workspace)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    (prepared.workspace / "link").symlink_to(outside)
    directories.end_boot(prepared)
    directories.remove("sesn_1")
    assert not prepared.workspace.exists()
    assert not prepared.state.exists()
    assert (outside / "file").exists()


def test_a_sweep_spares_what_a_living_server_uses(tmp_path):
    living = SessionDirectories(tmp_path).prepare("sesn_1", None)
    theirs = SessionDirectories(tmp_path)
    kept = theirs.prepare("sesn_2", None)
    theirs.end_boot(kept)
    (tmp_path / "sandboxes" / "left").mkdir()
    SessionDirectories(tmp_path).sweep()
    assert list((tmp_path / "sandboxes").iterdir()) == [living.state]


@pytest.mark.parametrize("session_id", ["", "..", "a/b", "a\n", "x" * 101])
def test_a_session_id_is_no_path(tmp_path, session_id):
    with pytest.raises(ValueError, match="session id"):
        SessionDirectories(tmp_path).prepare(session_id, None)


# ---------------------------------------------------------------- programs and tools


def test_a_supervisor_imports_little():
    """A cold sandbox waits for it; pydantic alone would double that."""
    script = (
        "import sys; import sandbox_task.__main__, sandbox_task.tool_host;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    run = [str(programs.interpreter()), "-I", "-S", "-c"]
    path = f"import sys; sys.path[:0] = {[p for p in sys.path if p]!r}; "
    loaded = subprocess.run(
        [*run, path + script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={},
    ).stdout.split()
    assert "sandbox_task" in loaded
    assert not {"pydantic", "anthropic", "boto3", "asyncio", "http", "email"} & set(loaded)
    freehold = [name for name in loaded if name == "freehold"]
    assert freehold == ["freehold"]


def test_the_tools_are_offered_in_one_order_and_never_change_by_themselves():
    everything = toolset.tool_definitions(TOOLS)
    assert [tool["name"] for tool in everything] == list(TOOLS)
    assert toolset.tool_definitions(["web_search", "bash"]) == (everything[0], everything[-1])
    first = json.dumps(everything)
    everything[0]["input_schema"]["properties"].clear()
    assert json.dumps(toolset.tool_definitions(TOOLS[::-1])) == first
    for tool in toolset.tool_definitions(TOOLS):
        assert list(tool) == ["name", "description", "input_schema"]
        assert tool["input_schema"]["additionalProperties"] is False
    with pytest.raises(KeyError):
        toolset.tool_definitions(["rm"])


def test_the_bytes_of_the_tools_are_the_same_in_every_process():
    script = "from freehold import toolset as t; print(t.tool_definitions(t.TOOLS))"
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            check=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


# ---------------------------------------------------------------- cgroups


def cgroup_tree(tmp_path, members="42", controllers="cpu memory pids", path="/user/scope"):
    """What a process sees of its cgroup, as plain files."""
    parent = tmp_path / "cgroup" / path.strip("/")
    parent.mkdir(parents=True)
    (parent / "cgroup.controllers").write_text(controllers)
    (parent / "cgroup.procs").write_text(f"{members}\n")
    process = tmp_path / "process"
    process.mkdir()
    (process / "cgroup").write_text(f"1:name=systemd:/x\n0::{path}\n")
    mount = f"30 23 0:26 / {tmp_path}/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw"
    (process / "mountinfo").write_text(f"22 1 8:1 / / rw - ext4 /dev/sda rw\n{mount}\n")
    return process, parent


def test_a_delegated_cgroup_becomes_the_parent_of_sandboxes(tmp_path):
    process, parent = cgroup_tree(tmp_path)
    made = cgroups.delegated(process, 42)
    assert made is not None
    assert (parent / "server" / "cgroup.procs").read_text() == "42"
    assert (parent / "cgroup.subtree_control").read_text() == "+memory +pids"
    own = made.create("one", {"memory_bytes": 1 << 30, "processes": 100})
    assert own.parent == parent
    assert (own / "memory.max").read_text() == str((1 << 30) + (256 << 20))
    assert (own / "memory.swap.max").read_text() == "0"
    assert (own / "pids.max").read_text() == "356"


def test_a_process_starts_inside_its_cgroup_or_not_at_all(tmp_path):
    done = subprocess.run(
        cgroups.inside(tmp_path, ["/bin/sh", "-c", "echo $$"]),
        capture_output=True,
        text=True,
        check=True,
    )
    assert (tmp_path / "cgroup.procs").read_text() == done.stdout
    missing = cgroups.inside(tmp_path / "missing", ["/bin/echo", "ran"])
    done = subprocess.run(missing, capture_output=True, text=True, check=False)
    assert (done.returncode != 0, done.stdout) == (True, "")


@pytest.mark.parametrize(
    "given", [{"members": "42\n43"}, {"controllers": "cpu"}, {"members": "1"}], ids=str
)
def test_a_cgroup_that_is_not_ours_alone_is_left_as_it_is(tmp_path, given):
    process, parent = cgroup_tree(tmp_path, **given)
    assert cgroups.delegated(process, 42) is None
    assert not (parent / "server").exists()


def test_without_cgroups_of_version_2_there_are_none(tmp_path):
    process, _ = cgroup_tree(tmp_path)
    (process / "cgroup").write_text("4:memory:/x\n")
    assert cgroups.delegated(process, 42) is None
    assert cgroups.delegated(tmp_path / "nothing", 42) is None
