"""What each function is told, besides those that make sandboxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, PositiveInt, model_validator

from freehold.setting_types import CacheTtl, ModelProvider
from freehold.settings import Settings
from freehold.settings_aws.environment import Environment, Name
from freehold.settings_aws.sandboxes import (
    DispatchEnvironment,
    FleetEnvironment,
    SlotsEnvironment,
    WorkspacesEnvironment,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BODY_BYTES = 5 * 1024 * 1024
"""A request reaches the function inside an event of 6 MB at most, escaped as a JSON string."""


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
