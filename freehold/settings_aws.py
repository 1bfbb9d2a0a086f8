"""What the environment tells each function on Lambda, validated once when the function starts.

The stacks fill in the same models, so a variable that a function reads and no stack sets is an
error of synthesis. A field `table_name` is the variable `FREEHOLD_TABLE_NAME`. No variable is a
secret: whoever may describe a function reads its environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from freehold.settings import ModelIds, ModelProvider, Region, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FUNCTIONS",
    "MAX_BODY_BYTES",
    "PREFIX",
    "START",
    "FunctionEnvironment",
    "ModelIds",
    "ModelProvider",
    "Name",
    "Region",
    "StoreEnvironment",
    "TurnEnvironment",
]

PREFIX = "FREEHOLD_"
START = {"PYDANTIC_DISABLE_PLUGINS": "__all__"}
"""Set for every function: the layer has no plugin of pydantic's, and to look for one would read the
metadata of every distribution at each cold start.
"""
MAX_BODY_BYTES = 5 * 1024 * 1024
"""A request reaches the function inside an event of 6 MB at most, escaped as a JSON string."""

Name = Annotated[str, Field(min_length=1)]
"""Of a resource; an ARN where the field says so."""


class FunctionEnvironment(BaseModel):
    """What every function needs: each of them may start a run. `wake` does nothing else."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    state_machine_arn: Name
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


class StoreEnvironment(FunctionEnvironment):
    """What a function needs that reads or writes sessions."""

    table_name: Name
    bucket_name: Name
    key_arn: Name
    """Of the KMS key that protects the installation's own secrets."""

    def settings(self) -> Settings:
        """This platform's numbers; the paths and ports of a laptop keep their defaults, unused."""
        return Settings(max_body_bytes=MAX_BODY_BYTES)


class ApiEnvironment(StoreEnvironment):
    """What a function needs besides that answers clients. A limit that is absent is none."""

    create_requests_per_minute: PositiveInt | None = None
    read_requests_per_minute: PositiveInt | None = None
    cors_origins: str = ""
    """Of web pages that may read answers, one after a comma each; empty for none."""

    def settings(self) -> Settings:
        """Raises ValidationError for what is no origin."""
        return Settings(
            max_body_bytes=MAX_BODY_BYTES,
            create_requests_per_minute=self.create_requests_per_minute,
            read_requests_per_minute=self.read_requests_per_minute,
            cors_origins=tuple(origin for origin in self.cors_origins.split(",") if origin),
        )


class WebSocketEnvironment(ApiEnvironment):
    """What `websocket` needs besides."""

    connections_url: Name
    """Of the API that holds the connections, with its stage: `https://...`."""


class FanOutEnvironment(StoreEnvironment):
    """What `fan_out` needs besides."""

    connections_url: Name


class TurnEnvironment(StoreEnvironment):
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


FUNCTIONS: Mapping[str, type[FunctionEnvironment]] = {
    "api": ApiEnvironment,
    "run_turn": TurnEnvironment,
    "run_tools": TurnEnvironment,
    "reaper": StoreEnvironment,
    "wake": FunctionEnvironment,
    "stream": StreamEnvironment,
    "websocket": WebSocketEnvironment,
    "fan_out": FanOutEnvironment,
}
"""What each function reads, by the name of its folder."""
