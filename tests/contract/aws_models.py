"""The doubles of the providers on AWS, with the adapter in front of them."""

from __future__ import annotations

from contextlib import closing, contextmanager

import pytest

from freehold.adapters.claude import Bedrock, ClaudeModel, ClaudePlatformAws
from freehold.testing import aws_dialects
from freehold.testing.messages_server import MessagesServer

REGION = "eu-west-1"
WORKSPACE = "wrkspc_01ABC"
ACCESS_KEY, SECRET_KEY = "AKIAEXAMPLE", "a-very-secret-signing-key"


@contextmanager
def aws_credentials(**more):
    """In the environment, where the SDK finds them as on Lambda; nothing else is asked."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK"):
            patch.delenv(name, raising=False)
        given = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        for name, value in {"AWS_EC2_METADATA_DISABLED": "true", **given, **more}.items():
            patch.setenv(name, value)
        yield


@contextmanager
def bedrock(**given):
    """The double and the model."""
    signer = aws_dialects.Signer(ACCESS_KEY, SECRET_KEY, REGION, "bedrock")
    with MessagesServer(dialect=aws_dialects.Bedrock(signer)) as api:
        endpoint = Bedrock(given.pop("region", REGION), api.url, **given)
        with closing(ClaudeModel(endpoint)) as model:
            yield api, model


@contextmanager
def claude_platform(**given):
    """The double and the model."""
    signer = aws_dialects.Signer(ACCESS_KEY, SECRET_KEY, REGION, "aws-external-anthropic")
    dialect = aws_dialects.ClaudePlatform(signer, WORKSPACE)
    with MessagesServer(dialect=dialect) as api:
        endpoint = ClaudePlatformAws(REGION, given.pop("workspace", WORKSPACE), api.url, **given)
        with closing(ClaudeModel(endpoint)) as model:
            yield api, model


PROVIDERS = {"bedrock": bedrock, "claude-platform-aws": claude_platform}
