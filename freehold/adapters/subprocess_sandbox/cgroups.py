"""A wall around a whole sandbox where the host gives the server a part of its cgroups (v2).

That is so under `systemd-run --user --scope --property=Delegate=yes freehold serve`, in a service
with `Delegate=yes`, and in some containers. The watchdog inside speaks first, because a kill by the
kernel takes the supervisor along; this is what holds when the watchdog is too slow.
"""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freehold.toolset import JsonObject

_CONTROLLERS = {"memory", "pids"}
_SPARE_BYTES = 256 << 20
_SPARE_PROCESSES = 256
_REMOVAL_SECONDS = 2.0
_JOIN_AND_RUN = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


class Cgroups:
    """The server's own cgroup, turned into a parent of sandboxes'."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent

    def create(self, name: str, limits: JsonObject) -> Path:
        """A cgroup with room for what the watchdog allows and the supervisor. Raises OSError."""
        memory, processes = limits["memory_bytes"], limits["processes"]
        assert isinstance(memory, int)
        assert isinstance(processes, int)
        made = self._parent / f"sandbox-{name}"
        made.mkdir()
        (made / "memory.max").write_text(str(memory + _SPARE_BYTES))
        with suppress(FileNotFoundError):  # a kernel without swap accounting
            (made / "memory.swap.max").write_text("0")
        (made / "pids.max").write_text(str(processes + _SPARE_PROCESSES))
        return made


def inside(cgroup: Path, command: Sequence[str]) -> list[str]:
    """`command`, started as a member of `cgroup`: it never runs outside."""
    return ["/bin/sh", "-c", _JOIN_AND_RUN, str(cgroup), *command]


def remove(cgroup: Path) -> None:
    """Of a sandbox that was killed; the kernel may need a moment for the last of it."""
    deadline = time.monotonic() + _REMOVAL_SECONDS
    while time.monotonic() < deadline:
        try:
            cgroup.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.01)


def delegated(process: Path = Path("/proc/self"), own_id: int | None = None) -> Cgroups | None:
    """The cgroups this server may divide, tried out; None where there are none.

    Only where it is alone in its cgroup: the server moves into a child of its own, since a cgroup
    with members cannot limit children, and has no business moving others.
    """
    pid = os.getpid() if own_id is None else own_id
    try:
        parent = _own(process)
        if parent is None:
            return None
        available = set((parent / "cgroup.controllers").read_text().split())
        members = (parent / "cgroup.procs").read_text().split()
        if not available >= _CONTROLLERS or members != [str(pid)]:
            return None
        leaf = parent / "server"
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(pid))
        (parent / "cgroup.subtree_control").write_text("+memory +pids")
        return _tried(Cgroups(parent))
    except OSError:
        return None


def _tried(cgroups: Cgroups) -> Cgroups | None:
    """Whether a process can really be started in one. Raises OSError."""
    trial = cgroups.create("trial", {"memory_bytes": 64 << 20, "processes": 16})
    done = subprocess.run(inside(trial, ["/bin/true"]), check=False, env={})  # noqa: S603 - our own
    remove(trial)
    return cgroups if done.returncode == 0 else None


def _own(process: Path) -> Path | None:
    """The directory of a process's cgroup; None without cgroups of version 2."""
    lines = (process / "cgroup").read_text().splitlines()
    path = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), None)
    for line in (process / "mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 ") and path is not None:
            root, mounted_on = before.split()[3:5]
            if path.startswith(root):
                return Path(mounted_on + path.removeprefix(root.rstrip("/")))
    return None
