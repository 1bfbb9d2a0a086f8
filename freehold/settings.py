"""Every environment variable and number the server can be told, validated once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_HTTP_URL = TypeAdapter(AnyHttpUrl, config=ConfigDict(defer_build=True))


def _sendable(key: SecretStr) -> SecretStr:
    """A key travels in a header; one that cannot would fail each request, and not say why."""
    text = key.get_secret_value()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be printable ASCII without spaces")
    return key


def _http_url(url: str) -> str:
    try:
        _HTTP_URL.validate_python(url)
    except ValidationError:
        raise ValueError("must be an http:// or https:// URL") from None
    return url.rstrip("/")


def _search_url(url: str) -> str:
    if "@" in urlsplit(_http_url(url)).netloc:
        raise ValueError("must hold no user name or password; FREEHOLD_SEARCH_KEY is sent along")
    return url


HeaderSecret = Annotated[SecretStr, AfterValidator(_sendable)]


class Settings(BaseModel):
    """Built by `from_environment`, passed inside `App`, never read from the environment again."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    data_dir: Path = Path(".freehold")
    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8700, ge=0, le=65535)
    """0 = any free port; the start line says which."""
    model: Literal["anthropic", "scripted"] = "scripted"
    sandbox: Literal["auto", "bubblewrap", "container", "none"] = "auto"
    api_key: HeaderSecret | None = None
    """`FREEHOLD_API_KEY`: accepted as a key of the default workspace."""
    anthropic_api_key: HeaderSecret | None = None
    anthropic_base_url: Annotated[str, AfterValidator(_http_url)] | None = None
    search_url: Annotated[str, AfterValidator(_search_url)] | None = None
    """`FREEHOLD_SEARCH_URL`: an endpoint that answers as SearXNG does (`freehold.adapters.web`).
    Without one the Claude API searches, where it is the model; else there is no `web_search`."""
    search_key: HeaderSecret | None = None
    """`FREEHOLD_SEARCH_KEY`: sent to it as a bearer token."""
    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    """SQLite's durability. NORMAL may lose commits at a power cut; only benchmarks use it."""

    create_requests_per_minute: int | None = Field(default=None, ge=1)
    """`FREEHOLD_CREATE_REQUESTS_PER_MINUTE`: creates, updates, archivals and deletions a workspace
    may ask for; sends are not among them. Unset: any number."""
    read_requests_per_minute: int | None = Field(default=None, ge=1)
    """`FREEHOLD_READ_REQUESTS_PER_MINUTE`: retrievals, lists and streams."""

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
    max_parallel_tools: int = Field(default=16, ge=1)
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

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **given: object) -> Settings:
        """Settings from the environment; `given`, the options of the command line, wins unless
        None.

        Raises ValidationError, which `explain` puts in words.
        """
        key = environment.get("ANTHROPIC_API_KEY") or None
        found: dict[str, object] = {
            "anthropic_api_key": key,
            "anthropic_base_url": environment.get("ANTHROPIC_BASE_URL") or None,
            "api_key": environment.get("FREEHOLD_API_KEY") or None,
            "search_url": environment.get("FREEHOLD_SEARCH_URL") or None,
            "search_key": environment.get("FREEHOLD_SEARCH_KEY") or None,
            "model": "anthropic" if key else "scripted",
            **{name: environment.get(_VARIABLES[name]) or None for name in _LIMITS},
        }
        return cls.model_validate({**found, **{k: v for k, v in given.items() if v is not None}})


_LIMITS = ("create_requests_per_minute", "read_requests_per_minute")
_VARIABLES = {
    "api_key": "FREEHOLD_API_KEY",
    "search_url": "FREEHOLD_SEARCH_URL",
    "search_key": "FREEHOLD_SEARCH_KEY",
    "anthropic_api_key": "ANTHROPIC_API_KEY",
    "anthropic_base_url": "ANTHROPIC_BASE_URL",
    **{name: f"FREEHOLD_{name.upper()}" for name in _LIMITS},
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
