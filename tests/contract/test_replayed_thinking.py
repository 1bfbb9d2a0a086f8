"""Thinking is sent back whatever became of the conversation before it, and fails no turn."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from freehold.services.session_updates import update_session
from freehold.testing.messages_server import MessagesServer
from freehold.testing.script import script
from freehold.wire.sessions import UpdateSession
from tests.contract.claude_endpoint import model_at
from tests.contract.test_hostile_results import Hostile, image
from tests.images import png
from tests.protocol.sessions import asking_agent
from tests.unit.sessions import Bench

MODELS = ("claude-opus-5-5", "claude-fable-5-1", "claude-opus-5", "claude-haiku-4-5")


@pytest.fixture
def api():
    with MessagesServer() as server:
        yield server


@pytest.fixture
def bench(api, tmp_path, request):
    with model_at(api.url, api.api_key) as model:
        yield Bench(tmp_path, model=model, agent=asking_agent(request.param), max_model_retries=0)


def thinking(recorded):
    return json.dumps(recorded.json["messages"]).count('"type": "thinking"')


def statuses(api):
    return {recorded.status for recorded in api.requests}


ROUND = {"think": "Hm.", "say": "Look.", "tool": "bash", "input": {"command": "x"}}


@pytest.mark.parametrize("bench", MODELS, indirect=True)
def test_every_thought_comes_back_in_every_later_request(bench, api):
    for _ in range(3):
        bench.say(script(ROUND, {"think": "So.", "say": "Seen."}))
    assert statuses(api) == {200}
    assert [thinking(recorded) for recorded in api.requests] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("bench", MODELS, indirect=True)
def test_tools_that_change_in_mid_session_fail_no_turn(bench, api):
    bench.say(script(ROUND, {"think": "So.", "say": "Seen."}))
    update = UpdateSession.model_validate({"agent": {"tools": []}})
    update_session(bench.app, bench.caller, bench.key.session_id, update)
    bench.say(script({"say": "Without tools."}))
    assert "tools" not in api.requests[-1].json
    assert statuses(api) == {200}
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}


@pytest.mark.parametrize("bench", MODELS, indirect=True)
def test_images_that_give_way_fail_no_turn(bench, api):
    large = image(png(3000, 2000))
    bench.app = replace(bench.app, sandboxes=Hostile((large,), is_error=False))
    bench.say(script(*[ROUND] * 25, {"say": "All seen."}))
    assert statuses(api) == {200}
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}
    sent = json.dumps(api.requests[-1].json["messages"])
    assert "is left out by now" in sent
    assert 10 <= sent.count('"type": "image"') <= 20
