"""What the sandbox of a session may reach (BEHAVIOUR 4)."""

from __future__ import annotations

from urllib.parse import urlsplit

from freehold.domain.web_rules import allowed_hosts
from freehold.ports import Network
from freehold.wire.environments import CloudConfig, Environment, LimitedNetwork
from freehold.wire.sessions import SessionAgent


def network_of(environment: Environment | None, agent: SessionAgent) -> Network:
    """An environment that is gone allows nothing: what it allowed is not known any more."""
    if environment is None:
        return Network()
    config = environment.config
    if not isinstance(config, CloudConfig) or not isinstance(config.networking, LimitedNetwork):
        return Network(hosts=allowed_hosts(environment))
    limited = config.networking
    servers = agent.mcp_servers if limited.allow_mcp_servers else ()
    return Network(
        hosts=tuple(limited.allowed_hosts),
        package_managers=limited.allow_package_managers,
        mcp_hosts=tuple(urlsplit(server.url).hostname or "" for server in servers),
    )
