"""Every model faces the same contract: the scripted one, and Claude's adapter before the double of
each provider.
"""

from __future__ import annotations

from contextlib import closing

import pytest
from pydantic import SecretStr

from freehold.adapters.claude import ClaudeApi, ClaudeModel
from freehold.testing.messages_server import MessagesServer
from freehold.testing.model_contract import CONTRACT
from freehold.testing.scripted_model import ScriptedModel
from tests.contract.aws_models import PROVIDERS, aws_credentials


@pytest.fixture(scope="module", params=["scripted", "claude", *PROVIDERS])
def model(request):
    if request.param == "scripted":
        yield ScriptedModel()
        return
    if request.param == "claude":
        with (
            MessagesServer() as api,
            closing(ClaudeModel(ClaudeApi(SecretStr(api.api_key), api.url))) as claude,
        ):
            yield claude
        return
    with aws_credentials(), PROVIDERS[request.param]() as (_, claude):
        yield claude


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_contract(check, model):
    check(model)
