"""Where requests for replies go, what pays for them, and how a person is told what to put right."""

from __future__ import annotations

import ipaddress
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from freehold.adapters.claude.parameters import Call, call_of

if TYPE_CHECKING:
    import httpx2
    from pydantic import SecretStr

    from freehold.errors import ModelError
    from freehold.ports import ModelRequest

CLAUDE_API = "https://api.anthropic.com"


class Endpoint(ABC):
    """One provider of Claude. Immutable; making one imports nothing and sends nothing.

    The texts may use `{host}`, `{model}` and `{said}`, the endpoint's own words.
    """

    url_variable: ClassVar[str]
    """What an operator sets to reach another URL."""
    refused_credentials: ClassVar[str]
    forbidden: ClassVar[str]

    @property
    @abstractmethod
    def url(self) -> str: ...

    @property
    def host(self) -> str:
        """For messages: never the user or password that a URL may hold."""
        return urlsplit(self.url).hostname or "the model endpoint"

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def lack(self) -> str:
        """What is missing for any request to be sent; empty when nothing is."""
        return ""

    @abstractmethod
    def client(self, http: httpx2.Client) -> Any:
        """A client of the SDK on this connection, which repeats nothing. Imports `anthropic`."""

    def call_of(self, request: ModelRequest) -> Call:
        """The request in this provider's form. Raises ModelError for what it does not serve."""
        return call_of(request)

    def failure_of(self, error: Exception) -> ModelError | None:
        """What went wrong before a request was sent, where that is this provider's to know."""
        del error
        return None

    @abstractmethod
    def without_secrets(self, text: str) -> str:
        """Words of the endpoint, fit for a caller of ours."""


@dataclass(frozen=True, slots=True)
class ClaudeApi(Endpoint):
    """The Claude API, or with a `base_url` another endpoint of the Messages API, which may need no
    key.
    """

    key: SecretStr | None
    base_url: str | None = None

    url_variable = "ANTHROPIC_BASE_URL"
    refused_credentials = "{host} refuses the key: check ANTHROPIC_API_KEY."
    forbidden = "The key in ANTHROPIC_API_KEY may not use {model}: {said}"

    @property
    def url(self) -> str:
        return self.base_url or CLAUDE_API

    @property
    def lack(self) -> str:
        is_ready = self.key is not None or self.base_url is not None
        return "" if is_ready else "ANTHROPIC_API_KEY is not set."

    def client(self, http: httpx2.Client) -> Any:
        import anthropic  # noqa: PLC0415 - takes 2 s

        return anthropic.Anthropic(
            api_key=self.key.get_secret_value() if self.key else "none",
            base_url=self.url,
            max_retries=0,
            http_client=http,
        )

    def without_secrets(self, text: str) -> str:
        return without_key(text, self.key)


def without_key(text: str, key: SecretStr | None) -> str:
    """Without the key, however it came to be there."""
    return text if key is None else text.replace(key.get_secret_value(), "***")
