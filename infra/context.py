"""What an operator may choose: the context keys of `cdk.json`, validated.

`cdk deploy --context model=scripted` overrides one for a deployment.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from aws_cdk import App, RemovalPolicy
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from freehold.list_prices import read_own_prices
from freehold.setting_types import (
    CacheTtl,
    Host,
    ModelIds,
    ModelProvider,
    Origin,
    Range,
    Region,
    daily_cap,
)
from freehold.settings_aws import FUNCTIONS

ROOT = Path(__file__).resolve().parents[1]

_MOST_PRICES = 2000

SERVICE_PORT = 8080
"""Where tasks of the stream service answer the load balancer."""
RETENTION_DAYS = (7, 30, 90, 365)
PROCESSORS = (256, 512, 1024, 2048, 4096)
_IMAGE = (
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.(?P<suffix>[a-z.]+)"
    r"/(?P<repository>[a-z0-9._/-]+)(:[\w.-]+|@sha256:[0-9a-f]{64})"
)


def _retention(days: int) -> int:
    """A number given on the command line arrives as text, which a Literal would refuse."""
    if days not in RETENTION_DAYS:
        raise ValueError(f"must be one of {', '.join(map(str, RETENTION_DAYS))}")
    return days


def _json(given: object) -> object:
    """What is more than a word is JSON on the command line."""
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except ValueError:
        raise ValueError("must be JSON") from None


def _of_functions(numbers: dict[str, int]) -> dict[str, int]:
    unknown = sorted(set(numbers) - set(FUNCTIONS))
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: the functions are {', '.join(sorted(FUNCTIONS))}")
    return numbers


def _processor(units: int) -> int:
    if units not in PROCESSORS:
        raise ValueError(f"must be one of {', '.join(map(str, PROCESSORS))}")
    return units


def _own_prices(path: str) -> str:
    """What the functions are given travels in a variable, of which they have 4 KB in all."""
    if path and len(_compact(path)) > _MOST_PRICES:
        raise ValueError(
            f"{path} is longer than {_MOST_PRICES} characters: name the models alone that differ"
            " from those that ship"
        )
    return path


def _compact(path: str) -> str:
    read_own_prices(Path(path))
    return json.dumps(json.loads(Path(path).read_text("utf-8")), separators=(",", ":"))


def _text(given: object) -> object:
    """`cdk.json` may hold a number."""
    return str(given) if isinstance(given, int | float) else given


def _daily_cap(dollars: str) -> str:
    if dollars:
        daily_cap(dollars)
    return dollars


Positive = Annotated[int, Field(ge=1)]


class Context(BaseModel):
    """One installation. The defaults are those of `cdk.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="Freehold", pattern=r"^[A-Za-z][A-Za-z0-9-]{0,31}$")
    """Begins the names of the stacks; two installations of an account need two names."""
    architecture: Literal["arm64", "x86_64"] = "arm64"
    """Of the functions."""
    layer: Path = Path("build/layer")
    """Where `scripts/layer` left the dependencies, a folder for each architecture."""
    model: ModelProvider = "anthropic"
    """`bedrock` and `claude-platform-aws` are asked by the function's role and paid by the account;
    `scripted` answers from a script and needs no key: to try an installation out."""
    model_base_url: str = ""
    """Another endpoint of the Messages API; empty for the provider's own."""
    create_requests_per_minute: int = Field(default=0, ge=0)
    """Of each workspace: creates, updates, archivals and deletions; 0 for any number."""
    read_requests_per_minute: int = Field(default=0, ge=0)
    """Of each workspace: retrievals, lists and streams; 0 for any number."""
    prices: Annotated[str, AfterValidator(_own_prices)] = ""
    """A file of list prices that go before the shipped ones."""
    workspace_daily_cap: Annotated[str, BeforeValidator(_text), AfterValidator(_daily_cap)] = ""
    """US dollars of list cost that each workspace may spend in a UTC day; empty for any amount."""
    model_region: Region | Literal[""] = ""
    """Where a provider on AWS is asked; empty for the Region of the stacks."""
    model_workspace_id: str = ""
    """Of Claude Platform on AWS."""
    model_ids: ModelIds = {}
    """Ids of Bedrock for names of the API, where the built-in ones are wrong or missing."""
    cache_ttl: CacheTtl = "5m"
    """How long the provider keeps the prefix of a conversation."""
    context_window: int = Field(default=0, ge=0)
    """In tokens, of every model; 0 for what is known of each."""
    compact_at: float = Field(default=0.8, gt=0, le=0.95)
    """The share of the window that a prompt may fill before a conversation is summarized."""
    clear_tool_results: int = Field(default=0, ge=0)
    """Where there is no room, results of tools before the newest of so many tokens are cleared
    first; 0 for none."""
    snap_start: bool = True
    """Whether published versions of `run_turn` start from a snapshot."""
    log_retention_days: Annotated[int, AfterValidator(_retention)] = 30
    """7, 30, 90 or 365."""
    stream_seconds: int = Field(default=870, ge=30, le=870)
    """After which a stream ends and its client opens another; API Gateway cuts it after 900."""
    stream_service: bool = False
    """Whether API and streams are served by two tasks behind a load balancer as well."""
    stream_service_certificate_arn: str = ""
    """Of the service's HTTPS, in Certificate Manager. Required with `stream_service`."""
    stream_service_metrics_port: int = Field(default=0, ge=0, le=65535)
    """Where its tasks answer scrapes, once a rule of the operator's lets somebody in; 0 for
    nowhere."""
    alarm_email: str = Field(default="", pattern=r"^([^@\s]+@[^@\s]+)?$")
    """Who is written to when an alarm goes off; AWS asks that address to confirm."""
    cors_origins: Annotated[list[Origin], BeforeValidator(_json)] = []
    """Of web pages that may read answers; of API Gateway's own refusals the first alone."""
    reserved_concurrency: Annotated[
        dict[str, Positive], BeforeValidator(_json), AfterValidator(_of_functions)
    ] = {}
    """By function. What is reserved is taken from the other functions of the account and is the
    most that the function gets: a cap on `run_turn` keeps busy sessions from starving `api`. None
    is reserved by default, since a new account has ten in all, and those may not be reserved.
    """
    sandbox: Literal["none", "fargate"] = "none"
    """`fargate` deploys what runs tools; `none` answers every call of one with an error."""
    build_images: Literal["none", "codebuild"] = "none"
    """`codebuild` deploys a stack by which the images are built in the account."""
    sandbox_image: str = Field(default="", pattern=rf"^({_IMAGE})?$")
    """The image of sandboxes, in a repository of ECR in this account and Region, which is the only
    one that they reach."""
    sandbox_s3_prefix_list: str = Field(default="", pattern=r"^(pl-[0-9a-f]+)?$")
    """The id of the prefix list of S3 in the Region. It cannot be referred to in a template."""
    egress_image: str = Field(default="", pattern=rf"^({_IMAGE})?$")
    """The image of the egress proxy, likewise. Without it no sandbox has a network."""
    package_hosts: Annotated[list[Host], BeforeValidator(_json)] = []
    """That `allow_package_managers` lets sandboxes reach, besides the public registries."""
    refused_ranges: Annotated[list[Range], BeforeValidator(_json)] = []
    """Networks that no sandbox reaches, besides all that are not public."""
    sandbox_cpu: Annotated[int, AfterValidator(_processor)] = 512
    """Of each sandbox, in 1/1024 of a processor."""
    sandbox_memory_mib: int = Field(default=1024, ge=512, le=30720)
    sandbox_disk_gib: int = Field(default=21, ge=21, le=200)
    """Besides the workspace, which is a file system of its own."""
    sandbox_pool: int = Field(default=4, ge=1, le=90)
    """Free slots to keep for new sessions; they cost nothing."""
    sandbox_started: int = Field(default=0, ge=0, le=90)
    """Of them, how many have a task that runs already, and costs what it would cost in use."""
    sandbox_idle_minutes: int = Field(default=15, ge=5)
    sandbox_archive_days: int = Field(default=30, ge=1)
    sandbox_zones: int = Field(default=2, ge=1, le=3)
    sandbox_file_systems: int = Field(default=1, ge=1, le=20)
    """For 4,000 slots each."""
    retain_data: bool = True
    """Whether table, bucket and key outlive the stack. False deletes every session with it."""

    @model_validator(mode="after")
    def _the_service_has_a_certificate(self) -> Self:
        if self.stream_service and not self.stream_service_certificate_arn:
            raise ValueError("stream_service needs stream_service_certificate_arn")
        return self

    @model_validator(mode="after")
    def _metrics_have_a_port_of_their_own(self) -> Self:
        if self.stream_service_metrics_port == SERVICE_PORT:
            raise ValueError(f"stream_service_metrics_port: {SERVICE_PORT} is the service's own")
        return self

    @model_validator(mode="after")
    def _a_platform_has_a_workspace(self) -> Self:
        if self.model == "claude-platform-aws" and not self.model_workspace_id:
            raise ValueError("model claude-platform-aws needs model_workspace_id")
        if self.model_ids and self.model != "bedrock":
            raise ValueError("model_ids are for the model bedrock")
        return self

    @model_validator(mode="after")
    def _sandboxes_are_described(self) -> Self:
        if self.sandbox == "fargate":
            for name in ("sandbox_image", "sandbox_s3_prefix_list"):
                if not getattr(self, name):
                    raise ValueError(f"{name} is needed where sandbox is fargate")
        elif self.egress_image:
            raise ValueError("egress_image is for sandboxes, and sandbox is none")
        return self

    @property
    def sandbox_registry(self) -> str:
        """The host of the image's registry."""
        return self.sandbox_image.partition("/")[0]

    @property
    def removal_policy(self) -> RemovalPolicy:
        """Of what holds sessions."""
        return RemovalPolicy.RETAIN if self.retain_data else RemovalPolicy.DESTROY

    def spending(self) -> dict[str, str | None]:
        """Of `SpendingEnvironment`."""
        return {
            "prices": _compact(self.prices) if self.prices else None,
            "workspace_daily_cap": self.workspace_daily_cap or None,
        }

    @classmethod
    def of(cls, app: App) -> Context:
        """From the CDK's context. Raises ValidationError, which names each key that is wrong."""
        given = {name: app.node.try_get_context(name) for name in cls.model_fields}
        return cls.model_validate({k: v for k, v in given.items() if v is not None})


def repository_arn(image: str) -> str:
    """Of the repository of an image of the context."""
    found = re.fullmatch(_IMAGE, image)
    assert found is not None
    partition = "aws-cn" if found["suffix"].endswith(".cn") else "aws"
    owner = f"{found['region']}:{found['account']}"
    return f"arn:{partition}:ecr:{owner}:repository/{found['repository']}"
