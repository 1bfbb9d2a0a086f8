"""Every model faces the same contract: the scripted one, and Claude's adapter before the double."""

from __future__ import annotations

from contextlib import closing

import pytest
from pydantic import SecretStr

from freehold.adapters.claude import ClaudeModel
from freehold.testing.messages_server import MessagesServer
from freehold.testing.model_contract import CONTRACT
from freehold.testing.scripted_model import ScriptedModel


@pytest.fixture(scope="module", params=["scripted", "claude"])
def model(request):
    if request.param == "scripted":
        yield ScriptedModel()
        return
    with (
        MessagesServer() as api,
        closing(ClaudeModel(SecretStr(api.api_key), api.url)) as claude,
    ):
        yield claude


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_contract(check, model):
    check(model)
