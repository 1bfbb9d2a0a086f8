"""What a supervisor is told when it starts: one JSON object, its only argument."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal

from freehold.toolset.egress_environment import RELAY


@dataclass(frozen=True, slots=True)
class Places:
    """Paths of one sandbox, as supervisor and tools both see them."""

    workspace: str = "/workspace"
    uploads: str = "/mnt/session/uploads"
    outputs: str = "/mnt/session/outputs"
    results: str = "/mnt/session/tool_results"
    """Results too long for the model. The supervisor writes it, the tools read it."""
    temporary: str = "/tmp"  # noqa: S108 - the sandbox's own


@dataclass(frozen=True, slots=True)
class Limits:
    """Of everything the tools of a session do together."""

    memory_bytes: int = 2 << 30
    processes: int = 512
    disk_bytes: int = 10 << 30
    """Of workspace and outputs."""
    files: int = 1_000_000
    temporary_bytes: int = 512 << 20
    """Of /tmp and /dev/shm, which are memory and count as such."""
    free_disk_bytes: int = 1 << 30
    """A command that brings the disk of the host below this is killed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`state` is a directory of the supervisor alone. `listen` is the path of a unix socket or
    `host:port`.

    `identity` says how the tools are kept apart from the supervisor: `bubblewrap` in namespaces of
    their own, `user` under another uid, `none` not at all.
    """

    session_id: str
    public_key: str
    state: str
    listen: str
    identity: Literal["bubblewrap", "user", "none"]
    tool_host: tuple[str, ...]
    """The command of `sandbox_task.tool_host`, without its argument."""
    readable: tuple[str, ...] = ()
    """Host directories the tools may read besides the system's (`bubblewrap`)."""
    scratch: str = ""
    """A file system of `temporary_bytes` that becomes /tmp and /dev/shm (`bubblewrap`)."""
    tools_uid: int = 10001
    boot_id: str = ""
    """Where whoever starts it has named this boot already; else it names itself."""
    ends_with: Literal["standard_input", "signal"] = "standard_input"
    """What says that it is over: the end of standard input, or SIGTERM where nobody holds that."""
    egress: str = ""
    """Directory that says where the egress proxy is: its socket, or the file that `PUT /egress`
    writes. Empty = no network.
    """
    relay: str = RELAY
    """Where the tools find the way there."""
    packages: str = ""
    """Where the environment's packages are; empty = it has none."""
    installs: bool = False
    """A sandbox that installs them there, and runs no tool; all others only read them."""
    installer_uid: int = 0
    """Where they may be installed in the session's own sandbox, before its first call: as this
    user, who is neither the tools' nor the supervisor's. 0 = not there.
    """
    install_seconds: float = 900.0
    environment: dict[str, str] = field(default_factory=dict)
    places: Places = field(default_factory=Places)
    limits: Limits = field(default_factory=Limits)


def parse(text: str) -> Settings:
    """Raises TypeError or ValueError for what is no such object."""
    given = json.loads(text)
    given["places"] = Places(**given.get("places", {}))
    given["limits"] = Limits(**given.get("limits", {}))
    for name in ("tool_host", "readable"):
        given[name] = tuple(given.get(name, ()))
    return Settings(**given)
