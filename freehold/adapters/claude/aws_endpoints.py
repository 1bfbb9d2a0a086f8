"""Claude in an AWS account: Amazon Bedrock, and Claude Platform on AWS.

Requests are signed with the credentials of the process, on Lambda those of the function's role; no
key is stored. Bedrock serves replies of its own `InvokeModel`, as frames of AWS's event stream;
Claude Platform on AWS is the Claude API behind IAM.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from freehold import bedrock_models
from freehold.adapters.claude.endpoint import Endpoint, without_key
from freehold.errors import ModelError

if TYPE_CHECKING:
    import httpx2
    from pydantic import SecretStr

    from freehold.adapters.claude.parameters import Call
    from freehold.ports import ModelRequest

_FAILED = "model_request_failed"
_BEDROCK_VERSION = "bedrock-2023-05-31"
"""Of the Messages API on `InvokeModel`; the SDK's own default is the Claude API's."""
_ARN = re.compile(r"\barn:[\w-]+:[^\s\"',]+")
_ACCOUNT = re.compile(r"\b\d{12}\b")


class _SignedEndpoint(Endpoint):
    """What signing brings with it."""

    api_key: SecretStr | None
    refused_credentials = (
        "AWS refuses the credentials: check them with `aws sts get-caller-identity`, and the clock."
    )

    def failure_of(self, error: Exception) -> ModelError | None:
        """Credentials that cannot be found or renewed, and frames that are none."""
        from botocore.eventstream import (  # type: ignore[import-untyped]  # noqa: PLC0415 - 0.3 s, and the module publishes no types
            ParserError,
        )
        from botocore.exceptions import (  # type: ignore[import-untyped]  # noqa: PLC0415 - as above
            BotoCoreError,
            CredentialRetrievalError,
            MetadataRetrievalError,
        )

        if isinstance(error, ParserError):
            text = f"{self.host} sent what is no message stream."
            return ModelError(_FAILED, text, retryable=True)
        if isinstance(error, CredentialRetrievalError | MetadataRetrievalError):
            return ModelError(_FAILED, "The AWS credentials cannot be renewed.", retryable=True)
        # The SDK says that there are none by a RuntimeError.
        if isinstance(error, BotoCoreError) or "AWS credentials" in str(error):
            text = "There are no AWS credentials: check the role or AWS_PROFILE."
            return ModelError(_FAILED, text, retryable=False)
        return None

    def without_secrets(self, text: str) -> str:
        """AWS names roles and accounts in its refusals, which are no business of a caller."""
        return _ACCOUNT.sub("***", _ARN.sub("(an ARN)", without_key(text, self.api_key)))


@dataclass(frozen=True, slots=True)
class Bedrock(_SignedEndpoint):
    """Amazon Bedrock in one Region. `ids` name models that `bedrock_models` does not know, or
    otherwise. `api_key` is a Bedrock API key, in place of a signature.
    """

    region: str
    base_url: str | None = None
    ids: Mapping[str, str] = field(default_factory=dict)
    api_key: SecretStr | None = None

    url_variable = "ANTHROPIC_BEDROCK_BASE_URL"
    forbidden = (
        "Bedrock does not let this role use {model}: enable the model in this Region's console and"
        " allow bedrock:InvokeModelWithResponseStream on it and its profile. {said}"
    )

    @property
    def url(self) -> str:
        return self.base_url or f"https://bedrock-runtime.{self.region}.amazonaws.com"

    def client(self, http: httpx2.Client) -> Any:
        import anthropic  # noqa: PLC0415 - takes 2 s

        return anthropic.AnthropicBedrock(
            aws_region=self.region,
            api_key=self.api_key.get_secret_value() if self.api_key else None,
            base_url=self.url,
            max_retries=0,
            http_client=http,
        )

    def call_of(self, request: ModelRequest) -> Call:
        """Raises ModelError for fast mode and for a model without an id."""
        if request.speed == "fast":
            text = "Bedrock has no fast mode: set the agent's model.speed to standard."
            raise ModelError(_FAILED, text, retryable=False)
        identifier = bedrock_models.model_id(request.model, self.region, self.ids)
        if identifier is None:
            text = f"No id of {request.model!r} on Bedrock is known: name it in FREEHOLD_MODEL_IDS."
            raise ModelError(_FAILED, text, retryable=False)
        call = Endpoint.call_of(self, request)
        body = {**call.body, "model": identifier, "anthropic_version": _BEDROCK_VERSION}
        return replace(call, body=body)


@dataclass(frozen=True, slots=True)
class ClaudePlatformAws(_SignedEndpoint):
    """Claude Platform on AWS: one workspace in one Region. `api_key` is one of that platform, in
    place of a signature.
    """

    region: str
    workspace_id: str
    base_url: str | None = None
    api_key: SecretStr | None = None

    url_variable = "ANTHROPIC_AWS_BASE_URL"
    forbidden = (
        "Claude Platform on AWS does not let this role use {model}: allow"
        " aws-external-anthropic:CreateInference on the workspace. {said}"
    )

    @property
    def url(self) -> str:
        return self.base_url or f"https://aws-external-anthropic.{self.region}.api.aws"

    def client(self, http: httpx2.Client) -> Any:
        import anthropic  # noqa: PLC0415 - takes 2 s

        return anthropic.AnthropicAWS(
            aws_region=self.region,
            workspace_id=self.workspace_id,
            api_key=self.api_key.get_secret_value() if self.api_key else None,
            base_url=self.url,
            max_retries=0,
            http_client=http,
        )
