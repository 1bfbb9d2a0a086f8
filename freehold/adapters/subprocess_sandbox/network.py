"""The network of sandboxes: each one's way to the egress proxy, or none at all."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from freehold.ports import Network

if TYPE_CHECKING:
    from collections.abc import Callable

    from freehold.ports import Egress, EgressSocket, SandboxRef

_log = logging.getLogger("freehold.sandboxes")

PROBE = (
    "exec 3<>/dev/tcp/127.0.0.1/3128 && printf 'OPTIONS * HTTP/1.1\\r\\n"
    "Host: freehold.invalid\\r\\n\\r\\n' >&3 && read -r -t 10 line <&3 && echo ${line:9:3}"
)
PROBED = "204"
"""The proxy is there. It is asked for nothing, so it resolves, refuses and notes nothing."""


class Networks:
    """`network_of` says what a sandbox may reach, when it is started. `no_network` is why there is
    none, in words for operators; empty while there is one.
    """

    def __init__(
        self, egress: Egress | None, network_of: Callable[[SandboxRef], Network] | None
    ) -> None:
        self._egress = egress
        self._network_of = network_of or (lambda _: Network())
        self.no_network = "" if egress else "it is turned off"

    def probe(self, session_id: str) -> EgressSocket | None:
        """For a sandbox that tries out whether the proxy can be reached; it may reach nothing."""
        if self._egress is None:
            return None
        try:
            return self._egress.open(session_id, Network())
        except OSError as error:
            self.give_up(str(error))
            return None

    def open(self, sandbox: SandboxRef) -> EgressSocket | None:
        """None where there is no network. Raises ToolError when the session is gone."""
        if self._egress is None or self.no_network:
            return None
        return self._open(sandbox.session_id, self._network_of(sandbox))

    def open_registries(self, session_id: str) -> EgressSocket | None:
        """For a sandbox that installs packages, and needs nothing else."""
        return self._open(session_id, Network(package_managers=True))

    def _open(self, session_id: str, network: Network) -> EgressSocket | None:
        if self._egress is None or self.no_network:
            return None
        try:
            return self._egress.open(session_id, network)
        except OSError as error:
            # The sandbox is of use without: tools that want the network say that there is none.
            fields = {"session_id": session_id, "reason": str(error)}
            _log.warning("egress_failed", extra=fields)
            return None

    def shut(self, session_id: str) -> None:
        if self._egress is not None:
            self._egress.shut(session_id)

    def give_up(self, reason: str) -> None:
        """No sandbox gets a network from now on."""
        self.no_network = self.no_network or reason

    def close(self) -> None:
        end = getattr(self._egress, "close", None)
        if end is not None:
            end()
