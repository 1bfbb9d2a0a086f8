"""The container rung: docker or podman, for hosts without namespaces of their own (macOS).

Supervisor and tools are two users of one container, which has no network but the socket of the
egress proxy, a read-only root and no capability but those the supervisor needs to start tools as
another user and to kill them.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

from freehold.adapters.subprocess_sandbox import programs
from freehold.adapters.subprocess_sandbox.rungs import (
    CannotStart,
    RungName,
    Start,
    SupervisorProcess,
    end,
)
from freehold.toolset import image
from freehold.toolset.egress_environment import EGRESS

if TYPE_CHECKING:
    from pathlib import Path

    from freehold.toolset import JsonObject

IMAGE = "freehold-sandbox:1"
_BUILD = f"build -t {IMAGE} -f sandbox_task/Dockerfile ."
_ENGINES = ("docker", "podman")
_SECONDS = 10.0
_STATE = "/run/freehold"
_RESULTS = "/mnt/session/tool_results"
_TOOLS_UID = 10001


class Container:
    """Raises CannotStart where no engine answers or the image is missing."""

    name: RungName = "container"
    has_network_of_its_own = True
    has_apt = True

    def __init__(self, engine: str | None = None) -> None:
        self._engine = engine or _find_engine()
        self._uid = os.geteuid() or _TOOLS_UID
        if engine is None:
            _check_image(self._engine)
        self.owner = _TOOLS_UID if os.geteuid() == 0 else None

    def launch(self, start: Start) -> ContainerLaunched:
        name = f"freehold-{start.directories.state.name}"
        command = [self._engine, *run_arguments(name, start, self._uid)]
        try:
            with (start.directories.state / "stderr").open("wb") as stderr:
                process = subprocess.Popen(  # noqa: S603 - our own arguments
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env=engine_environment(),
                    start_new_session=True,  # Ctrl-C is for the server, which then ends this
                )
        except OSError as error:
            raise CannotStart(f"{self._engine} does not run: {error.strerror}") from error
        return ContainerLaunched(process, self._engine, name)

    def explain(self, said: str) -> CannotStart:
        return CannotStart(said or "the container ended without a word", f"{self._engine} info")


class ContainerLaunched:
    """A supervisor in a container. It has no port, and a socket in a mounted directory does not
    work across a virtual machine: a relay inside connects standard input and output to it.
    """

    def __init__(self, process: SupervisorProcess, engine: str, name: str) -> None:
        self.process = process
        self._engine = engine
        self._name = name
        self._relays: list[SupervisorProcess] = []

    def connect(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            relay = subprocess.Popen(  # noqa: S603 - our own arguments; ends with the connection
                [self._engine, *relay_arguments(self._name)],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                env=engine_environment(),
            )
        self._relays = [one for one in self._relays if one.poll() is None] + [relay]
        return ours

    def stop(self) -> None:
        subprocess.run(  # noqa: S603 - our own arguments
            [self._engine, "rm", "--force", self._name],
            check=False,
            capture_output=True,
            env=engine_environment(),
        )
        self.process.kill()
        end(self.process)
        for relay in self._relays:
            relay.kill()
            relay.wait()


def run_arguments(name: str, start: Start, tools_uid: int) -> list[str]:
    """`docker run` of one sandbox."""
    limits, directories = start.limits, start.directories
    scratch, processes = limits["temporary_bytes"], limits["processes"]
    assert isinstance(processes, int)
    arguments = ["run", "--rm", "--interactive", "--init", "--name", name, "--pull", "never"]
    arguments += ["--network", "none", "--read-only", "--ipc", "private", "--hostname", "sandbox"]
    arguments += ["--cap-drop", "ALL", "--cap-add", "SETUID", "--cap-add", "SETGID"]
    # The session's directories belong to the tools' user, and are counted by the supervisor.
    arguments += ["--cap-add", "KILL", "--cap-add", "DAC_READ_SEARCH"]
    arguments += ["--security-opt", "no-new-privileges"]
    arguments += ["--memory", str(limits["memory_bytes"]), "--memory-swap"]
    arguments += [str(limits["memory_bytes"]), "--pids-limit", str(processes + 256)]
    arguments += ["--user", "0:0", "--workdir", "/", "--env", "LANG=C.UTF-8"]
    arguments += ["--tmpfs", f"/tmp:rw,nosuid,nodev,mode=1777,size={scratch}"]  # noqa: S108 - its own
    arguments += ["--shm-size", str(scratch)]
    arguments += ["--tmpfs", f"{_STATE}:rw,nosuid,nodev,noexec,mode=0700,size=512m"]
    arguments += ["--tmpfs", f"{_RESULTS}:rw,nosuid,nodev,noexec,mode=0755,size=256m"]
    egress = [(start.egress.directory, EGRESS, ",readonly")] if start.egress else []
    for source, target, access in (
        *egress,
        *_prefix_mounts(start),
        (directories.workspace, "/workspace", ""),
        (directories.outputs, "/mnt/session/outputs", ""),
        (directories.uploads, "/mnt/session/uploads", ",readonly"),
    ):
        arguments += ["--mount", f"type=bind,source={source},target={target}{access}"]
    return [*arguments, IMAGE, json.dumps(_settings(start, tools_uid))]


def _prefix_mounts(start: Start) -> list[tuple[Path, str, str]]:
    prefix = start.prefix
    if prefix is None:
        return []
    return [(prefix.directory, image.PACKAGES, "" if prefix.is_writable else ",readonly")]


def relay_arguments(name: str) -> list[str]:
    """`docker exec` of one connection."""
    relay = programs.in_sandbox(image.PYTHON, "sandbox_task.relay")
    return ["exec", "--interactive", "--user", "0:0", name, *relay, f"{_STATE}/socket"]


def engine_environment() -> dict[str, str]:
    """What an engine's client needs to find its engine, and none of the server's secrets."""
    names = ("PATH", "HOME", "XDG_RUNTIME_DIR", "DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINER_HOST")
    return {name: os.environ[name] for name in names if name in os.environ}


def _settings(start: Start, tools_uid: int) -> JsonObject:
    return {
        "session_id": start.session_id,
        "public_key": start.public_key.hex(),
        "state": _STATE,
        "listen": f"{_STATE}/socket",
        "identity": "user",
        "tools_uid": tools_uid,
        "tool_host": [*programs.in_sandbox(image.PYTHON, "sandbox_task.tool_host")],
        "egress": EGRESS if start.egress else "",
        "environment": {
            **image.ENVIRONMENT,
            **programs.tool_environment(image.SEARCH_PATH, "/workspace", "/tmp", start),  # noqa: S108 - its own
        },
        "limits": start.limits,
        **programs.packages_settings(start),
    }


def _find_engine() -> str:
    """The first engine that answers. Raises CannotStart."""
    silent = []
    for engine in _ENGINES:
        program = shutil.which(engine)
        if program is None:
            continue
        if _succeeds([program, "info"]):
            return program
        silent.append(engine)
    if silent:
        raise CannotStart(
            f"{' and '.join(silent)} found, but nothing answers", f"start {silent[0]}"
        )
    raise CannotStart("there is no container engine", "install docker or podman")


def _check_image(engine: str) -> None:
    if not _succeeds([engine, "image", "inspect", IMAGE]):
        raise CannotStart(f"there is no image {IMAGE}", f"{engine} {_BUILD}")


def _succeeds(command: list[str]) -> bool:
    try:
        done = subprocess.run(  # noqa: S603 - an engine found on PATH, our arguments
            command, capture_output=True, timeout=_SECONDS, check=False, env=engine_environment()
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
