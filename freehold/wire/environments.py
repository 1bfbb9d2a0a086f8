"""Environments: what clients send, and answers with every setting present (BEHAVIOUR 0, 4)."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field

from egress_proxy.host_names import parse_pattern
from freehold.toolset.packages import MAX_PACKAGE, MAX_PACKAGES, is_package
from freehold.wire.base import Omittable, WireModel
from freehold.wire.metadata import Metadata, MetadataPatch
from freehold.wire.queries import Query, QueryBool, QueryInt
from freehold.wire.refusals import not_yet_types

MAX_NAME = 256
MAX_ALLOWED_HOSTS = 1000

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
    apt: list[str]
    cargo: list[str]
    gem: list[str]
    go: list[str]
    npm: list[str]
    pip: list[str]

    @classmethod
    def none(cls) -> Self:
        return cls(apt=[], cargo=[], gem=[], go=[], npm=[], pip=[])


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


def _organization_only(scope: Scope | None) -> Scope | None:
    if scope == "account":
        raise ValueError('only "organization" is supported')
    return scope


def _package(entry: str) -> str:
    if not is_package(entry):
        raise ValueError(
            f"expected a package as its manager names it, of 1 to {MAX_PACKAGE} characters on one"
            ' line, not beginning with "-" or a space'
        )
    return entry


_PackageList = (
    Annotated[list[Annotated[str, AfterValidator(_package)]], Field(max_length=MAX_PACKAGES)] | None
)


class PackagesParams(WireModel):
    """Packages of the six managers, each pinned as its manager writes it. Whether there are such
    packages is not looked at.
    """

    type: Literal["packages"] | None = None
    apt: _PackageList = None
    cargo: _PackageList = None
    gem: _PackageList = None
    go: _PackageList = None
    npm: _PackageList = None
    pip: _PackageList = None

    def resolved(self, stored: Packages) -> Packages:
        """A list that is omitted or null is as in `stored`."""
        given = self.model_dump(exclude_none=True, exclude={"type"})
        return stored.model_copy(update=given)


def _allowed_host(entry: str) -> str:
    """As it was sent: whoever compares does so in any case."""
    try:
        if entry.endswith("."):
            raise ValueError  # noqa: TRY301 - a name of its own form, which no comparison expects
        parse_pattern(entry)
    except ValueError:
        raise ValueError(
            'expected a hostname like "example.com", or "*.example.com" for its subdomains; no'
            " scheme, port or path"
        ) from None
    return entry


class LimitedNetworkParams(WireModel):
    """Nothing reachable but what is listed."""

    type: Literal["limited"]
    allowed_hosts: (
        Annotated[
            list[Annotated[str, AfterValidator(_allowed_host)]], Field(max_length=MAX_ALLOWED_HOSTS)
        ]
        | None
    ) = None
    allow_mcp_servers: bool | None = None
    allow_package_managers: bool | None = None

    def resolved(self, stored: Networking | None) -> LimitedNetwork:
        """What is omitted or null is as in `stored`, where that is limited too."""
        before = stored
        if not isinstance(before, LimitedNetwork):
            before = LimitedNetwork(
                allowed_hosts=[], allow_mcp_servers=False, allow_package_managers=False
            )
        given = self.model_dump(exclude_none=True, exclude={"type"})
        return before.model_copy(update=given)


class UnrestrictedNetworkParams(WireModel):
    """Everything but a safety blocklist."""

    type: Literal["unrestricted"]


class CloudConfigParams(WireModel):
    """A sandbox the server runs; what is omitted or null keeps its value on update."""

    type: Literal["cloud"]
    networking: (
        Annotated[UnrestrictedNetworkParams | LimitedNetworkParams, Field(discriminator="type")]
        | None
    ) = None
    packages: PackagesParams | None = None

    def resolved(self, stored: CloudConfig | None = None) -> CloudConfig:
        """With every setting present: from here, else from `stored`, else the default."""
        network: UnrestrictedNetwork | LimitedNetwork = (
            stored.networking if stored else UnrestrictedNetwork()
        )
        if isinstance(self.networking, UnrestrictedNetworkParams):
            network = UnrestrictedNetwork()
        elif isinstance(self.networking, LimitedNetworkParams):
            network = self.networking.resolved(network)
        packages = stored.packages if stored else Packages.none()
        if self.packages is not None:
            packages = self.packages.resolved(packages)
        return CloudConfig(networking=network, packages=packages)


ConfigParams = Annotated[CloudConfigParams | SelfHostedConfig, Field(discriminator="type")]


class CreateEnvironment(WireModel):
    """The body of a create."""

    name: str = Field(min_length=1, max_length=MAX_NAME)
    description: str | None = None
    config: Annotated[
        CloudConfigParams | None, not_yet_types({"self_hosted": "self_hosted environments"})
    ] = None
    scope: Annotated[Scope | None, AfterValidator(_organization_only)] = None
    metadata: Metadata = Field(default_factory=dict)


class UpdateEnvironment(WireModel):
    """An update. A field not in `model_fields_set` keeps its value; so does a null name."""

    name: Annotated[str | None, Field(min_length=1, max_length=MAX_NAME)] = None
    description: str | None = None
    config: ConfigParams | None = None
    scope: Annotated[Scope | None, AfterValidator(_organization_only)] = None
    metadata: MetadataPatch = Field(default_factory=dict)


class EnvironmentList(Query):
    """Environments, newest first."""

    limit: Annotated[QueryInt, Field(ge=1, le=100)] = 20
    page: str | None = None
    include_archived: QueryBool = False
