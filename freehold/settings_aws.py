"""What the environment tells each function on Lambda, validated once when the function starts.

The stacks fill in the same models, so a variable that a function reads and no stack sets is an
error of synthesis. A field `table_name` is the variable `FREEHOLD_TABLE_NAME`. No variable is a
secret: whoever may describe a function reads its environment.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from freehold.setting_types import CacheTtl, ModelProvider
from freehold.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "FREEHOLD_"
START = {"PYDANTIC_DISABLE_PLUGINS": "__all__"}
"""Set for every function: the layer has no plugin of pydantic's, and to look for one would read the
metadata of every distribution at each cold start.
"""
MAX_BODY_BYTES = 5 * 1024 * 1024
"""A request reaches the function inside an event of 6 MB at most, escaped as a JSON string."""

Name = Annotated[str, Field(min_length=1)]
"""Of a resource; an ARN where the field says so."""


class Environment(BaseModel):
    """The variables of one function."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, defer_build=True
    )

    installation: Name = "Freehold"
    """The context key `name`, a dimension of every metric: an account may hold two installations.
    The stacks set it for every function alike."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """From the variables of the process; others are none of its business.

        Raises ValidationError, which names each variable that is missing or empty.
        """
        found = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in environment.items()
            if name.startswith(PREFIX)
        }
        return cls.model_validate(found)

    def of(self, installation: str) -> Self:
        """The same for an installation of this name."""
        return self.model_copy(update={"installation": installation})

    def variables(self) -> dict[str, str]:
        """The variables that `read` takes; a field without a value is left out."""
        given = self.model_dump(exclude_none=True)
        return {PREFIX + field.upper(): str(value) for field, value in given.items()}


class FunctionEnvironment(Environment):
    """What a function needs that may start a run. `wake` does nothing else."""

    state_machine_arn: Name


class StoreEnvironment(FunctionEnvironment):
    """What a function needs that reads or writes sessions."""

    table_name: Name
    bucket_name: Name
    key_arn: Name
    """Of the KMS key that protects the installation's own secrets."""

    def settings(self) -> Settings:
        """This platform's numbers; the paths and ports of a laptop keep their defaults, unused."""
        return Settings(max_body_bytes=MAX_BODY_BYTES)


class SpendingEnvironment(StoreEnvironment):
    """What a function needs besides that books what sessions spend. Absent: the prices that ship,
    and no cap.
    """

    prices: Name | None = None
    """An operator's list prices, as JSON."""
    workspace_daily_cap: Name | None = None
    """US dollars of list cost that a workspace may spend in a UTC day."""

    def settings(self) -> Settings:
        """Raises ValidationError for prices or a cap that are none."""
        return Settings.model_validate({"max_body_bytes": MAX_BODY_BYTES, **self._spending()})

    def _spending(self) -> dict[str, object]:
        given = {"prices": self.prices, "workspace_daily_cap": self.workspace_daily_cap}
        return {name: value for name, value in given.items() if value is not None}


class ApiEnvironment(SpendingEnvironment):
    """What a function needs besides that answers clients. A limit that is absent is none."""

    create_requests_per_minute: PositiveInt | None = None
    read_requests_per_minute: PositiveInt | None = None
    cors_origins: str = ""
    """Of web pages that may read answers, one after a comma each; empty for none."""

    def settings(self) -> Settings:
        """Raises ValidationError for what is no origin, and what its base raises."""
        return Settings.model_validate(
            {
                "max_body_bytes": MAX_BODY_BYTES,
                "create_requests_per_minute": self.create_requests_per_minute,
                "read_requests_per_minute": self.read_requests_per_minute,
                "cors_origins": tuple(o for o in self.cors_origins.split(",") if o),
                **self._spending(),
            }
        )


class WebSocketEnvironment(ApiEnvironment):
    """What `websocket` needs besides."""

    connections_url: Name
    """Of the API that holds the connections, with its stage: `https://...`."""


class FanOutEnvironment(StoreEnvironment):
    """What `fan_out` needs besides."""

    connections_url: Name


class EgressEnvironment(Environment):
    """What starting the egress proxy takes. The first three are there or none is."""

    sandbox_egress_family: Name | None = None
    """Of its task definition."""
    sandbox_egress_subnets: Name | None = None
    """Their ids, with commas in between."""
    sandbox_egress_security_group: Name | None = None
    package_hosts: str = ""
    """Hosts of package managers besides the public ones, with commas in between."""
    refused_ranges: str = ""
    """Networks that no sandbox reaches, besides all that are not public."""

    @model_validator(mode="after")
    def _whole_proxy(self) -> Self:
        names = ("family", "subnets", "security_group")
        given = [getattr(self, f"sandbox_egress_{name}") for name in names]
        if any(given) and not all(given):
            raise ValueError("the egress proxy lacks its family, its subnets or its group")
        return self


class FleetEnvironment(EgressEnvironment):
    """What starting and calling sandboxes takes. Each of its own is there or none is."""

    sandbox_cluster_arn: Name | None = None
    sandbox_subnets: Name | None = None
    """Their ids, with commas in between."""
    sandbox_security_group: Name | None = None
    sandbox_dispatch_arn: Name | None = None
    sandbox_bucket_name: Name | None = None
    """For what is too large for a function, and for archives."""
    sandbox_family_prefix: Name | None = None
    sandbox_idle_minutes: PositiveInt | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        fields = FleetEnvironment.model_fields.keys() - EgressEnvironment.model_fields.keys()
        given = {name: getattr(self, name) for name in fields}
        missing = sorted(name for name, value in given.items() if value is None)
        if 0 < len(missing) < len(given):
            raise ValueError(f"sandboxes lack {', '.join(missing)}")
        return self


class SessionsEnvironment(SpendingEnvironment, FleetEnvironment):
    """What a function needs that has to do with a session's sandbox."""


class TurnEnvironment(SessionsEnvironment):
    """What a function needs besides that asks a model: `run_turn`, and `run_tools` for a search."""

    model: ModelProvider
    model_key_secret_arn: Name | None = None
    """Only `anthropic` is paid by a key; providers on AWS are paid by the account."""
    model_base_url: Name | None = None
    """An endpoint other than the provider's own."""
    model_region: Name | None = None
    model_workspace_id: Name | None = None
    model_ids: Name | None = None
    """A JSON object."""
    cache_ttl: CacheTtl = "5m"
    """How long the provider keeps the prefix of a conversation."""
    context_window: PositiveInt | None = None
    compact_at: float = 0.8
    clear_tool_results: PositiveInt | None = None

    @model_validator(mode="after")
    def _anthropic_has_a_place_for_its_key(self) -> Self:
        if self.model == "anthropic" and self.model_key_secret_arn is None:
            raise ValueError("FREEHOLD_MODEL_KEY_SECRET_ARN is not set")
        return self

    def settings(self) -> Settings:
        """Raises ValidationError when the URL is none, or the provider lacks what it needs."""
        return Settings.model_validate(
            {
                "max_body_bytes": MAX_BODY_BYTES,
                "model": self.model,
                "anthropic_base_url": self.model_base_url,
                "model_region": self.model_region,
                "model_workspace_id": self.model_workspace_id,
                "model_ids": self.model_ids or {},
                "cache_ttl": self.cache_ttl,
                "context_window": self.context_window,
                "compact_at": self.compact_at,
                "clear_tool_results": self.clear_tool_results,
                **self._spending(),
            }
        )


class LiveEnvironment(ApiEnvironment):
    """What a program needs that serves streams."""


class StreamEnvironment(LiveEnvironment):
    """What `stream` needs besides."""

    stream_seconds: float = Field(gt=0)
    """From the request on. Lambda and API Gateway end an invocation after 900 s, in mid-frame."""

    def settings(self) -> Settings:
        """As its base, with streams that end."""
        return super().settings().model_copy(update={"stream_seconds": self.stream_seconds})


class ServiceEnvironment(LiveEnvironment):
    """What the stream service needs besides. It is no function: nothing ends its streams, and a
    body has the size that it has on a laptop.
    """

    port: int = Field(gt=0, le=65535)
    keep_alive_seconds: int = Field(gt=0)
    """Longer than the load balancer keeps an idle connection, or a request is lost in between."""
    metrics_port: int | None = Field(default=None, gt=0, le=65535)
    """Of `/metrics`, on every address of the task; None: there is none."""

    def settings(self) -> Settings:
        """As its base, with a laptop's limit of bodies."""
        return super().settings().model_copy(update={"max_body_bytes": Settings().max_body_bytes})


class SlotsEnvironment(FleetEnvironment):
    """What `slots` needs, which makes what sandboxes are made of."""

    table_name: Name
    key_arn: Name
    sandbox_cluster_arn: Name
    sandbox_image: Name
    sandbox_cpu: PositiveInt
    sandbox_memory_mib: PositiveInt
    sandbox_disk_gib: PositiveInt
    sandbox_architecture: Name
    sandbox_execution_role_arn: Name
    sandbox_log_group: Name
    sandbox_region: Name
    sandbox_file_systems: Name
    """Their ids, with commas in between."""
    sandbox_workspaces_arns: Name
    """Of the functions that mount them, in the same order."""
    sandbox_pool: PositiveInt
    sandbox_started: NonNegativeInt
    sandbox_archive_days: PositiveInt


class DispatchEnvironment(Environment):
    """What `dispatch` needs: where supervisors are."""

    sandbox_bucket_name: Name
    sandbox_network: IPv4Network
    sandbox_egress_network: IPv4Network | None = None


class WorkspacesEnvironment(Environment):
    """What `workspaces` needs: where the file system is."""

    sandbox_bucket_name: Name
    mount_path: Name


FUNCTIONS: Mapping[str, type[Environment]] = {
    "api": ApiEnvironment,
    "run_turn": TurnEnvironment,
    "run_tools": TurnEnvironment,
    "reaper": SessionsEnvironment,
    "wake": FunctionEnvironment,
    "stream": StreamEnvironment,
    "websocket": WebSocketEnvironment,
    "fan_out": FanOutEnvironment,
    "slots": SlotsEnvironment,
    "dispatch": DispatchEnvironment,
    "workspaces": WorkspacesEnvironment,
}
"""What each function reads, by the name of its folder."""
SANDBOX_FUNCTIONS = frozenset({"slots", "dispatch", "workspaces"})
"""Those that are deployed only where there are sandboxes."""
SANDBOX_PORT = 8080
"""Where a supervisor listens in its task."""
EGRESS_PORT, EGRESS_CONTROL_PORT = 3128, 3129
"""Where the egress proxy listens to sandboxes, and to `dispatch`."""
TOOLS_UID = 10001
"""The user that tools are in a sandbox, to whom all its files belong."""
