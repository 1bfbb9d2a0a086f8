"""What a sandbox may reach, in the words of `egress_proxy.policy`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freehold.adapters.egress.registries import Registries
    from freehold.ports import Network
    from freehold.toolset import JsonObject


def egress_policy(network: Network, registries: Registries) -> JsonObject:
    """Package managers get to these registries, where the network grants that."""
    return {
        "mode": "unrestricted" if network.hosts is None else "limited",
        "hosts": list(network.hosts or ()),
        "package_managers": list(registries.hosts if network.package_managers else ()),
        "mcp_hosts": list(network.mcp_hosts),
        "substitutions": [],
    }
