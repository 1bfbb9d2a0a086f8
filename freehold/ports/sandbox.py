"""Where the model's code runs, and what it reaches from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from freehold.toolset import ToolCall, ToolResult

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SandboxRef:
    """The sandbox of one session. At most one boot of it runs at a time; its files outlive every
    boot.
    """

    workspace_id: str
    session_id: str


@dataclass(frozen=True, slots=True)
class Network:
    """What a sandbox may reach: `hosts`, exact names or `*.` and what lies below, None = all that
    is public; the hosts of package managers; hosts of MCP servers.
    """

    hosts: tuple[str, ...] | None = ()
    package_managers: bool = False
    mcp_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EgressSocket:
    """A sandbox's way out on this machine: a proxy behind the socket `socket` in `directory`, which
    stays in its place when the proxy is another. `variables` are for the tools' environment.
    """

    directory: Path
    token: str
    variables: Mapping[str, str] = field(default_factory=dict)


class Egress(Protocol):
    """Ways out of sandboxes on this machine."""

    def open(self, session_id: str, network: Network) -> EgressSocket:
        """A way with a new token. The one that the session had before is closed. Raises OSError
        when there is no proxy.
        """

    def shut(self, session_id: str) -> None:
        """Its connections are closed. Never raises."""


class Sandboxes(Protocol):
    """Where the model's code runs. Everything that comes back is untrusted.

    A call is identified by (thread, event id) and the SHA-256 of its name and input; within a boot
    it is executed at most once however often `execute` is called.
    """

    def prewarm(self, sandbox: SandboxRef) -> None:
        """Begins to start it, if it is not running, and returns at once. Never raises."""

    def boot(self, sandbox: SandboxRef) -> str:
        """The boot id of the running sandbox, started if need be.

        Raises SandboxStarting where that takes longer than a caller should be kept, SandboxLost
        when none can be had.
        """

    def execute(self, sandbox: SandboxRef, boot_id: str, call: ToolCall) -> ToolResult | None:
        """Starts the call or joins it; None when it still runs after about 25 s (call again).

        Raises SandboxLost when `boot_id` is not the running boot or the sandbox died: the outcome
        is then unknown.
        """

    def cancel(self, sandbox: SandboxRef, boot_id: str, calls: Sequence[ToolCall]) -> None:
        """Kills the calls' process groups; a call not seen yet is recorded as cancelled. Never
        raises.
        """

    def remove(self, sandbox: SandboxRef) -> None:
        """Stops it and deletes its files."""
