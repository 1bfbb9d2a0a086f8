"""What a session may reach (DESIGN 7, BEHAVIOUR 4). Nothing, unless something says so."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from egress_proxy.host_names import is_allowed_host, is_local_name, parse_pattern

METADATA_HOSTS = frozenset(
    {
        "metadata.google.internal",
        "metadata.goog",
        "instance-data.ec2.internal",
        "metadata.azure.internal",
        "metadata.tencentyun.com",
        "metadata.oraclecloud.com",
    }
)
"""Names under which clouds hand out credentials, wherever they resolve to. Their addresses are no
public ones."""
_MOST_HOSTS = 2000
_LISTS = ("hosts", "package_managers", "mcp_hosts")


@dataclass(frozen=True, slots=True)
class Policy:
    """`unrestricted` reaches every public host, `limited` what one of the lists has: exact names,
    `*.` and what lies below, plain addresses.
    """

    mode: Literal["limited", "unrestricted"]
    hosts: tuple[str, ...] = ()
    package_managers: tuple[str, ...] = ()
    mcp_hosts: tuple[str, ...] = ()
    substitutions: tuple[object, ...] = ()
    """Credentials to put in place of placeholders. None can be taken yet: see `parse`."""

    def refusal(self, host: str) -> str | None:
        """Why a plain host is not reached; None where its addresses decide. Resolves nothing."""
        if host in METADATA_HOSTS or is_local_name(host):
            return "no public name"
        if self.mode == "unrestricted":
            return None
        if is_allowed_host(host, (*self.hosts, *self.package_managers, *self.mcp_hosts)):
            return None
        return "not among the hosts that this environment allows"


def parse(given: object) -> Policy:
    """From JSON. Raises ValueError, whose text may be shown, for everything that is not understood:
    a policy is kept as it was meant or not at all.
    """
    if not isinstance(given, dict):
        raise ValueError("policy: an object is expected")  # noqa: TRY004 - one kind of refusal
    unknown = sorted(set(given) - {field.name for field in fields(Policy)})
    if unknown:
        raise ValueError(f"policy.{unknown[0]}: unknown")
    if given.get("mode") not in ("limited", "unrestricted"):
        raise ValueError('policy.mode: "limited" or "unrestricted" is expected')
    if given.get("substitutions", []) != []:
        raise ValueError("policy.substitutions: this proxy does not open TLS, so it takes none")
    return Policy(given["mode"], *(_hosts(name, given.get(name, [])) for name in _LISTS))


def _hosts(name: str, given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or len(given) > _MOST_HOSTS:
        raise ValueError(f"policy.{name}: a list of at most {_MOST_HOSTS} hosts is expected")
    try:
        return tuple(parse_pattern(entry) for entry in given)
    except (AttributeError, ValueError):
        raise ValueError(f"policy.{name}: a host, or `*.` and a name, is expected") from None
