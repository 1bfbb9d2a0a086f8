"""Environments as answers show them: every setting present (BEHAVIOUR 0, 4)."""

from typing import Annotated, Literal

from pydantic import Field

from freehold.wire.base import Omittable, WireModel

Scope = Literal["organization", "account"]


class UnrestrictedNetwork(WireModel):
    """Everything but a safety blocklist."""

    type: Literal["unrestricted"] = "unrestricted"


class LimitedNetwork(WireModel):
    """Nothing but what is listed."""

    type: Literal["limited"] = "limited"
    allowed_hosts: list[str]
    allow_mcp_servers: bool
    allow_package_managers: bool


Networking = Annotated[UnrestrictedNetwork | LimitedNetwork, Field(discriminator="type")]


class Packages(WireModel):
    """Packages of the six managers."""

    type: Literal["packages"] = "packages"
    apt: list[str] = []
    cargo: list[str] = []
    gem: list[str] = []
    go: list[str] = []
    npm: list[str] = []
    pip: list[str] = []


class CloudConfig(WireModel):
    """A sandbox the server runs."""

    type: Literal["cloud"] = "cloud"
    networking: Networking
    packages: Packages


class SelfHostedConfig(WireModel):
    """A sandbox the customer's workers run."""

    type: Literal["self_hosted"] = "self_hosted"


EnvironmentConfig = Annotated[CloudConfig | SelfHostedConfig, Field(discriminator="type")]


class Environment(WireModel):
    """An environment."""

    id: str
    type: Literal["environment"] = "environment"
    name: str
    description: str | None
    config: EnvironmentConfig
    metadata: dict[str, str]
    scope: Omittable[Scope] = None
    created_at: str
    updated_at: str
    archived_at: str | None


class DeletedEnvironment(WireModel):
    """Answers a delete."""

    id: str
    type: Literal["environment_deleted"] = "environment_deleted"


class EnvironmentPage(WireModel):
    """A page of environments; `next_page` is null on the last one, not absent (WIRE_FACTS)."""

    data: list[Environment]
    next_page: str | None
