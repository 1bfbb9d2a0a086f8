"""Every environment variable and number the server can be told, validated once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from freehold.list_prices import shipped_prices
from freehold.setting_types import (
    CacheTtl,
    DailyCap,
    HeaderSecret,
    Host,
    HttpUrl,
    ModelIds,
    ModelProvider,
    Origin,
    Prices,
    Range,
    Region,
    SearchUrl,
)


class Settings(BaseModel):
    """Built by `from_environment`, passed inside `App`, never read from the environment again."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    data_dir: Path = Path(".freehold")
    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8700, ge=0, le=65535)
    """0 = any free port; the start line says which."""
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Of `/metrics`, on loopback; None: there is none. 0 = any free port."""
    otlp_endpoint: HttpUrl | None = None
    """`OTEL_EXPORTER_OTLP_ENDPOINT`: a collector's base URL, which spans are sent to."""
    otel_content: bool = False
    """`FREEHOLD_OTEL_CONTENT`: whether spans hold what was said."""
    model: ModelProvider = "scripted"
    sandbox: Literal["auto", "bubblewrap", "container", "none"] = "auto"
    api_key: HeaderSecret | None = None
    """`FREEHOLD_API_KEY`: accepted as a key of the default workspace."""
    anthropic_api_key: HeaderSecret | None = None
    anthropic_base_url: HttpUrl | None = None
    """Of the provider that `model` names; each has a variable of its own, which is the SDK's."""
    model_region: Region | None = None
    """`FREEHOLD_MODEL_REGION`, else the Region of the environment: where `bedrock` and
    `claude-platform-aws` are asked."""
    model_workspace_id: Annotated[str, Field(pattern=r"^[\w-]+$")] | None = None
    """`ANTHROPIC_AWS_WORKSPACE_ID`: whose requests these are on Claude Platform on AWS."""
    model_ids: ModelIds = Field(default_factory=dict)
    """`FREEHOLD_MODEL_IDS`, a JSON object: ids of Bedrock for names of the API."""
    aws_api_key: HeaderSecret | None = None
    """`AWS_BEARER_TOKEN_BEDROCK` or `ANTHROPIC_AWS_API_KEY`: in place of AWS credentials."""
    search_url: SearchUrl | None = None
    """`FREEHOLD_SEARCH_URL`: an endpoint that answers as SearXNG does (`freehold.adapters.web`).
    Without one the Claude API searches, where it is the model; else there is no `web_search`."""
    search_key: HeaderSecret | None = None
    """`FREEHOLD_SEARCH_KEY`: sent to it as a bearer token."""
    network: Literal["on", "off"] = "on"
    """`off`: no sandbox has a network, whatever its environment says."""
    package_hosts: tuple[Host, ...] = ()
    """`FREEHOLD_PACKAGE_HOSTS`, separated by commas: what `allow_package_managers` reaches besides
    the registries that the package managers of this machine are configured for."""
    refused_ranges: tuple[Range, ...] = ()
    """`FREEHOLD_REFUSED_RANGES`, separated by commas: networks that no sandbox reaches, besides all
    that are not the public internet's."""
    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    """SQLite's durability. NORMAL may lose commits at a power cut; only benchmarks use it."""

    create_requests_per_minute: int | None = Field(default=None, ge=1)
    """`FREEHOLD_CREATE_REQUESTS_PER_MINUTE`: creates, updates, archivals and deletions a workspace
    may ask for; sends are not among them. Unset: any number."""
    read_requests_per_minute: int | None = Field(default=None, ge=1)
    """`FREEHOLD_READ_REQUESTS_PER_MINUTE`: retrievals, lists and streams."""

    prices: Prices = Field(default_factory=shipped_prices)
    """`FREEHOLD_PRICES`, a file of list prices that go before the shipped ones."""

    workspace_daily_cap: Annotated[DailyCap, Field(ge=1)] | None = None
    """`FREEHOLD_WORKSPACE_DAILY_CAP`, in US dollars of list cost: what each workspace may spend in
    a UTC day; here in units of `money`. Unset: any amount."""

    cors_origins: tuple[Origin, ...] = ()
    """Of web pages that may read answers (`functions/cors.py`)."""
    max_body_bytes: int = 32 * 1024 * 1024
    lease_seconds: float = 45.0
    """A claim not renewed for this long may be taken over. More than twice `renew_seconds`."""
    renew_seconds: float = 15.0
    leg_turns: int = 400
    """Turns of one execution before a successor takes over. A turn has four transitions, and
    Step Functions ends an execution at 25,000 events."""
    max_model_retries: int = 5
    retry_base_seconds: float = 1.0
    retry_cap_seconds: float = 60.0
    max_tool_rounds: int = Field(default=1000, ge=1)
    """Replies with tool calls, or paused ones, in one run; the next is its last (BEHAVIOUR 9)."""
    context_window: int | None = Field(default=None, ge=1000)
    """`FREEHOLD_CONTEXT_WINDOW`, in tokens: of every model, in place of what is known of each."""
    compact_at: float = Field(default=0.8, gt=0, le=0.95)
    """`FREEHOLD_COMPACT_AT`: the share of the window that a prompt may fill before the conversation
    is summarized."""
    clear_tool_results: int | None = Field(default=None, ge=1)
    """`FREEHOLD_CLEAR_TOOL_RESULTS`: where there is no room, results before the newest ones, of so
    many tokens together, are cleared first. Unset: they stay."""
    max_compactions: int = Field(default=3, ge=1)
    """In a row, without a reply between them (BEHAVIOUR 9)."""
    max_parallel_tools: int = Field(default=16, ge=1)
    cache_ttl: CacheTtl = "5m"
    """How long the model's provider keeps the prefix of a conversation after its last use. An hour
    costs more to write, and pays where people take longer than five minutes to answer."""
    write_attempts: int = 20
    write_backoff_seconds: float = 0.005
    """First ceiling of the jittered pause between a transaction's attempts; doubles to 0.2 s."""
    ping_seconds: float = 10.0
    stream_seconds: float | None = None
    """How long a stream may last; its client opens another. None: as long as the client."""

    @property
    def model_searches(self) -> bool:
        """Whether the model's provider has a `web_search` of its own: of another endpoint than the
        Claude API nobody knows.
        """
        return self.model == "anthropic" and self.anthropic_base_url is None

    @model_validator(mode="after")
    def _one_missed_renewal_loses_no_claim(self) -> Self:
        if self.lease_seconds <= 2 * self.renew_seconds:
            raise ValueError("lease_seconds must exceed twice renew_seconds")
        return self

    @model_validator(mode="after")
    def _a_provider_on_aws_has_its_place(self) -> Self:
        if self.model in _VARIABLES_OF and self.model_region is None:
            raise ValueError(f"--model {self.model} needs a Region: set AWS_REGION")
        if self.model == "claude-platform-aws" and self.model_workspace_id is None:
            raise ValueError("--model claude-platform-aws needs ANTHROPIC_AWS_WORKSPACE_ID")
        return self

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **given: object) -> Settings:
        """Settings from the environment; `given`, the options of the command line, wins unless
        None.

        Raises ValidationError, which `explain` puts in words.
        """
        key = environment.get("ANTHROPIC_API_KEY") or None
        prices = environment.get("FREEHOLD_PRICES")
        model = given.get("model") or ("anthropic" if key else "scripted")
        found: dict[str, object] = {
            "anthropic_api_key": key,
            **_provider(environment, str(model)),
            "api_key": environment.get("FREEHOLD_API_KEY") or None,
            "search_url": environment.get("FREEHOLD_SEARCH_URL") or None,
            "search_key": environment.get("FREEHOLD_SEARCH_KEY") or None,
            "otlp_endpoint": environment.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None,
            "otel_content": environment.get("FREEHOLD_OTEL_CONTENT") or False,
            "model": model,
            **{name: _listed(environment.get(_VARIABLES[name])) for name in _LISTS},
            **{name: value for name in _LIMITS if (value := environment.get(_VARIABLES[name]))},
            **({"prices": Path(prices)} if prices else {}),
        }
        return cls.model_validate({**found, **{k: v for k, v in given.items() if v is not None}})


_VARIABLES_OF = {
    "bedrock": ("ANTHROPIC_BEDROCK_BASE_URL", "AWS_BEARER_TOKEN_BEDROCK"),
    "claude-platform-aws": ("ANTHROPIC_AWS_BASE_URL", "ANTHROPIC_AWS_API_KEY"),
}
"""Of the providers on AWS: URL and key, under the names that the SDK gives them."""


def _provider(environment: Mapping[str, str], model: str) -> dict[str, object]:
    """Where the model is asked, and as whom."""
    url, key = _VARIABLES_OF.get(model, ("ANTHROPIC_BASE_URL", ""))
    regions = ("FREEHOLD_MODEL_REGION", "AWS_REGION", "AWS_DEFAULT_REGION")
    found: dict[str, object] = {"anthropic_base_url": environment.get(url) or None}
    if not key:
        return found
    return {
        **found,
        "aws_api_key": environment.get(key) or None,
        "model_region": next(filter(None, map(environment.get, regions)), None),
        "model_workspace_id": environment.get("ANTHROPIC_AWS_WORKSPACE_ID") or None,
        "model_ids": environment.get("FREEHOLD_MODEL_IDS") or {},
    }


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(part for word in (text or "").split(",") if (part := word.strip()))


_LISTS = ("package_hosts", "refused_ranges")
_LIMITS = (
    "create_requests_per_minute",
    "read_requests_per_minute",
    "context_window",
    "compact_at",
    "clear_tool_results",
    "workspace_daily_cap",
)
_VARIABLES = {
    "api_key": "FREEHOLD_API_KEY",
    "search_url": "FREEHOLD_SEARCH_URL",
    "search_key": "FREEHOLD_SEARCH_KEY",
    "anthropic_api_key": "ANTHROPIC_API_KEY",
    "anthropic_base_url": "ANTHROPIC_BASE_URL",
    "aws_api_key": "AWS_BEARER_TOKEN_BEDROCK or ANTHROPIC_AWS_API_KEY",
    "model_region": "FREEHOLD_MODEL_REGION or AWS_REGION",
    "model_workspace_id": "ANTHROPIC_AWS_WORKSPACE_ID",
    "model_ids": "FREEHOLD_MODEL_IDS",
    "prices": "FREEHOLD_PRICES",
    "otlp_endpoint": "OTEL_EXPORTER_OTLP_ENDPOINT",
    "otel_content": "FREEHOLD_OTEL_CONTENT",
    **{name: f"FREEHOLD_{name.upper()}" for name in (*_LIMITS, *_LISTS)},
}


def explain(error: ValidationError) -> str:
    """What is wrong on one line, in the words of the command line.

    The values are left out: one of them may be a secret.
    """
    return "; ".join(
        f"{_spelling(str(found['loc'][0]))}: {found['msg'].removeprefix('Value error, ')}"
        if found["loc"]
        else found["msg"].removeprefix("Value error, ")
        for found in error.errors(include_input=False, include_url=False)
    )


def _spelling(field: str) -> str:
    return _VARIABLES.get(field) or "--" + field.replace("_", "-")
