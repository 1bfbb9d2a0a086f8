"""The ladder of isolation: what a rung is, and what the probe found out about each (DESIGN 7)."""

from __future__ import annotations

import select
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from freehold.ports import EgressSocket
    from freehold.toolset import JsonObject

RungName: TypeAlias = Literal["bubblewrap", "container", "none"]
SupervisorProcess: TypeAlias = "subprocess.Popen[bytes]"


_END_SECONDS = 5.0


class CannotStart(Exception):
    """A sandbox did not come up. `remedy` is a command or an action, or empty."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Finding:
    """What the probe of one rung found. An empty `reason` means that it can be used."""

    rung: RungName
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """The rung that sandboxes will use, or None, and what was found of each rung that was tried."""

    rung: RungName | None
    findings: tuple[Finding, ...] = ()
    no_network: str = ""
    """Why no sandbox has a network; empty when each has what its environment grants."""

    @property
    def advice(self) -> str:
        """Why there is no sandbox and what to do, in one line."""
        found = [f"{one.rung}: {one.reason} ({one.remedy})" for one in self.findings if one.reason]
        return "; ".join(found)

    @property
    def remedies(self) -> str:
        """What to do, without the reasons: those may name paths of this host."""
        return "; or ".join(found.remedy for found in self.findings if found.remedy)


@dataclass(frozen=True, slots=True)
class Directories:
    """Host directories of one sandbox. `state` is this boot's alone; the others outlive it."""

    workspace: Path
    outputs: Path
    uploads: Path
    state: Path


@dataclass(frozen=True, slots=True)
class Prefix:
    """Host directory of an environment's packages; written only while they are installed."""

    directory: Path
    is_writable: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """What every rung is told. `limits` are fields of the supervisor's own settings."""

    session_id: str
    public_key: bytes
    directories: Directories
    limits: JsonObject
    egress: EgressSocket | None = None
    """None: a sandbox without network."""
    prefix: Prefix | None = None
    """None: a sandbox without packages of its environment."""


class Launched(Protocol):
    """A supervisor that was started, and the ways to it."""

    @property
    def process(self) -> SupervisorProcess:
        """Its standard output says when it listens; the end of its standard input ends it."""

    def connect(self) -> socket.socket:
        """A connection to it. Raises OSError."""

    def stop(self) -> None:
        """Kills it with everything in it, and waits."""


class Rung(Protocol):
    """One way to isolate."""

    @property
    def name(self) -> RungName: ...

    @property
    def owner(self) -> int | None:
        """The uid that must own a sandbox's directories; None for the server's own."""

    @property
    def has_network_of_its_own(self) -> bool:
        """Whether its sandboxes are cut off from this machine's network."""

    @property
    def has_apt(self) -> bool:
        """Whether apt in its sandboxes knows what the system has."""

    def launch(self, start: Start) -> Launched:
        """Called on a thread that lives as long as the server. Raises CannotStart."""

    def explain(self, said: str) -> CannotStart:
        """What the last words of a supervisor that did not come up mean here."""


def end(process: SupervisorProcess) -> None:
    """Waits for a killed supervisor, and for all it started that still holds its output."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.wait()
    process.stdin.close()
    deadline = time.monotonic() + _END_SECONDS
    while select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
        if not process.stdout.read1(4096):  # type: ignore[attr-defined] # a pipe is buffered
            break
    process.stdout.close()
