"""No isolation: the tools are processes of this user, and can do whatever this user can.

For a machine that is itself a sandbox. Never chosen automatically.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.adapters.subprocess_sandbox import programs
from freehold.adapters.subprocess_sandbox.rungs import CannotStart, RungName, SupervisorProcess, end

if TYPE_CHECKING:
    from freehold.adapters.subprocess_sandbox.rungs import Start
    from freehold.toolset import JsonObject


_GRACE_SECONDS = 5.0


class Plain:
    """`/workspace` and its like do not exist here; the shell starts in the session's directory."""

    name: RungName = "none"
    has_network_of_its_own = False
    has_apt = True
    owner: int | None = None

    def launch(self, start: Start) -> PlainLaunched:
        command = [*programs.on_host("sandbox_task.__main__"), json.dumps(_settings(start))]
        try:
            with (start.directories.state / "stderr").open("wb") as stderr:
                process = subprocess.Popen(  # noqa: S603 - our own arguments
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env={"LANG": "C.UTF-8"},
                    cwd="/",
                    start_new_session=True,  # Ctrl-C is for the server, which then ends this
                )
        except OSError as error:
            raise CannotStart(f"{command[0]} does not run: {error.strerror}") from error
        return PlainLaunched(process, start.directories.state)

    def explain(self, said: str) -> CannotStart:
        return CannotStart(said or "the supervisor ended without a word")


class PlainLaunched:
    """A supervisor that ends, and kills what it started, when its standard input does."""

    def __init__(self, process: SupervisorProcess, state: Path) -> None:
        self.process = process
        self._state = state

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        state = os.open(self._state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            connection.connect(_reachable(self._state, state))
        except OSError:
            connection.close()
            raise
        finally:
            os.close(state)
        return connection

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
        end(self.process)


def _reachable(state: Path, opened: int) -> str:
    """A socket's address holds about 100 bytes. The path of a descriptor is short; where there is
    none (macOS), a path relative to here may be shorter.
    """
    short = Path(f"/proc/self/fd/{opened}/socket")
    if short.exists():
        return str(short)
    path = state / "socket"
    relative = os.path.relpath(path)
    return min(str(path), relative, key=len)


def _settings(start: Start) -> JsonObject:
    directories = start.directories
    search_path = os.environ.get("PATH", os.defpath) + os.pathsep + str(Path(sys.executable).parent)
    return {
        "session_id": start.session_id,
        "public_key": start.public_key.hex(),
        "state": str(directories.state),
        "listen": str(directories.state / "socket"),
        "identity": "none",
        "tool_host": [*programs.on_host("sandbox_task.tool_host")],
        "environment": {
            **programs.tool_environment(search_path, str(directories.workspace), "/tmp")  # noqa: S108 - shared, as all is here
        },
        "places": {
            "workspace": str(directories.workspace),
            "outputs": str(directories.outputs),
            "uploads": str(directories.uploads),
            "results": str(directories.state / "results"),
        },
        "limits": start.limits,
        **programs.packages_settings(start, str(start.prefix.directory) if start.prefix else ""),
    }
