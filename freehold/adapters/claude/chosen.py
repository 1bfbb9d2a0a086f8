"""The endpoint that the settings choose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.adapters.claude.aws_endpoints import Bedrock, ClaudePlatformAws
from freehold.adapters.claude.endpoint import ClaudeApi

if TYPE_CHECKING:
    from pydantic import SecretStr

    from freehold.adapters.claude.endpoint import Endpoint
    from freehold.settings import Settings


def endpoint_of(settings: Settings, key: SecretStr | None) -> Endpoint:
    """`key` pays for requests to the Claude API; the providers on AWS are paid by their account.

    `Settings` sees to it that what a provider needs is there.
    """
    region, url = settings.model_region or "", settings.anthropic_base_url
    if settings.model == "bedrock":
        return Bedrock(region, url, settings.model_ids, settings.aws_api_key)
    if settings.model == "claude-platform-aws":
        workspace = settings.model_workspace_id or ""
        return ClaudePlatformAws(region, workspace, url, settings.aws_api_key)
    return ClaudeApi(key, url)
