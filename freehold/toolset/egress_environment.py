"""What programs in a sandbox find in their environment of the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

RELAY = "127.0.0.1:3128"
"""Where `sandbox_task.egress_relay` listens, in a network of the sandbox's own."""
EGRESS = "/run/egress"
"""The directory in a sandbox that says where the relay leads."""
_LOCAL = "127.0.0.1,localhost,::1"


def egress_environment(
    session_id: str, token: str, variables: Mapping[str, str], relay: str = RELAY
) -> dict[str, str]:
    """What package managers, git and curl read; `variables` are of registries besides. The token
    is good for this sandbox alone.
    """
    proxy = f"http://{session_id}:{token}@{relay}"
    named = {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "ALL_PROXY": proxy, "NO_PROXY": _LOCAL}
    return {
        **variables,
        **named,
        **{name.lower(): value for name, value in named.items()},
        "NODE_USE_ENV_PROXY": "1",
    }
