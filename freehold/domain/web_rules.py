"""What the web tools of a session may reach: the lists of the tool, and the environment's network
(BEHAVIOUR 3.5). Hosts come in their ASCII form, without a port.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from posixpath import normpath
from urllib.parse import unquote, urlsplit

from egress_proxy.host_names import is_allowed_host
from freehold.errors import InvalidRequest
from freehold.toolset import WEB_TOOLS
from freehold.wire.environments import CloudConfig, Environment, LimitedNetwork
from freehold.wire.tools import (
    AgentToolConfig,
    AgentToolset20260401,
    AgentToolsetDefaultConfig,
    Tool,
    WebFetchToolConfig,
    WebSearchToolConfig,
)

_ADDRESS = re.compile(r"[\d.]+\Z|.*:")


@dataclass(frozen=True, slots=True)
class WebRules:
    """Null lists restrict nothing; `hosts` are the environment's `allowed_hosts`, null where its
    network is unrestricted.
    """

    allowed: tuple[str, ...] | None = None
    blocked: tuple[str, ...] | None = None
    hosts: tuple[str, ...] | None = None

    def permits(self, url: str) -> bool:
        """Whether all that is set lets the URL through.

        A list of the tool is about names, so it lets no address through: it could be the address of
        a name that the list refuses.
        """
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        named = not _ADDRESS.match(host)
        place = f"{host}{normpath('/' + unquote(parts.path).lstrip('/'))}"
        if self.hosts is not None and not is_allowed_host(host, self.hosts):
            return False
        if self.allowed is not None:
            return named and any(_covers(entry, place) for entry in self.allowed)
        if self.blocked is not None:
            return named and not any(_covers(entry, place) for entry in self.blocked)
        return True


def _covers(entry: str, place: str) -> bool:
    """A domain matches itself and its subdomains in any case; a path, what lies below it."""
    domain, _, path = entry.partition("/")
    host, _, rest = place.partition("/")
    if host != domain.lower() and not host.endswith("." + domain.lower()):
        return False
    below = unquote(path).strip("/")
    return not below or rest == below or rest.startswith(below + "/")


def rules_of(
    config: AgentToolsetDefaultConfig | AgentToolConfig | None, environment: Environment | None
) -> WebRules:
    """The rules of one tool. An environment that is gone allows nothing: what it allowed is not
    known any more.
    """
    hosts = () if environment is None else allowed_hosts(environment)
    if not isinstance(config, WebFetchToolConfig | WebSearchToolConfig):
        return WebRules(hosts=hosts)
    return WebRules(
        allowed=_listed(config.allowed_domains),
        blocked=_listed(config.blocked_domains),
        hosts=hosts,
    )


def _listed(domains: list[str] | None) -> tuple[str, ...] | None:
    return None if domains is None else tuple(domains)


def allowed_hosts(environment: Environment) -> tuple[str, ...] | None:
    """The only hosts its sessions may reach; null = no such limit."""
    config = environment.config
    if isinstance(config, CloudConfig) and isinstance(config.networking, LimitedNetwork):
        return tuple(config.networking.allowed_hosts)
    return None


def check_within(tools: Sequence[Tool], environment: Environment) -> None:
    """That a limited environment lets an agent with these tools reach what its enabled web tools
    are allowed to.

    Raises InvalidRequest naming the first entry that it does not.
    """
    hosts = allowed_hosts(environment)
    if hosts is None:
        return
    for config in _enabled_web_tools(tools):
        for n, entry in enumerate(config.allowed_domains or ()):
            if not is_allowed_host(entry.partition("/")[0], hosts):
                raise InvalidRequest(
                    f"{config.name}: allowed_domains.{n}: {entry} is not within the allowed_hosts"
                    f" of environment {environment.id}"
                )


def _enabled_web_tools(tools: Sequence[Tool]) -> Iterator[WebFetchToolConfig | WebSearchToolConfig]:
    for toolset in tools:
        if not isinstance(toolset, AgentToolset20260401):
            continue
        for name in WEB_TOOLS:
            config = toolset.config_of(name)
            if isinstance(config, WebFetchToolConfig | WebSearchToolConfig) and config.enabled:
                yield config
