"""The agent of a session as it is overridden at its creation and changed later (BEHAVIOUR 5.1,
5.4).
"""

from __future__ import annotations

import json

import pytest

from freehold.errors import ApiError, InvalidRequest, NotYetSupported
from freehold.wire.agent_input import ModelConfigParams
from freehold.wire.parsing import parse_body
from freehold.wire.sessions import CreateSession, UpdateSession
from tests.protocol.sessions import asking_agent

TOOLSET = {"type": "agent_toolset_20260401"}


def body(**overrides):
    agent = {"type": "agent_with_overrides", "id": "agent_x", **overrides}
    return json.dumps({"agent": agent, "environment_id": "env_x"}).encode()


def overridden(agent, **overrides):
    return parse_body(CreateSession, body(**overrides)).agent.applied(agent)


def refusal(**overrides):
    with pytest.raises(ApiError) as refused:
        parse_body(CreateSession, body(**overrides))
    return refused.value


def agent_with(**changes):
    return asking_agent().model_copy(update=changes)


def test_what_is_not_overridden_is_the_agents_own():
    agent = agent_with(system="Be brief.")
    assert overridden(agent) == agent
    changed = overridden(agent, model="claude-haiku-5-5")
    assert changed == agent.model_copy(update={"model": changed.model})


@pytest.mark.parametrize("clear", [None, ""])
def test_a_system_prompt_is_cleared_or_replaced(clear):
    agent = agent_with(system="Be brief.")
    assert overridden(agent, system=clear).system is None
    assert overridden(agent, system="Be long.").system == "Be long."
    assert "at most 100000" in refusal(system="s" * 100_001).message


def test_tools_are_cleared_or_replaced_in_full_and_resolved():
    agent = asking_agent()
    assert overridden(agent, tools=None).tools == []
    assert overridden(agent, tools=[]).tools == []
    (toolset,) = overridden(agent, tools=[TOOLSET]).tools
    assert toolset.configs == []
    assert toolset.default_config.enabled is True


@pytest.mark.parametrize(
    ("model", "effort"),
    [
        ("claude-opus-5", "high"),
        ({"id": "claude-opus-5"}, "high"),
        ({"id": "claude-opus-5", "effort": "low"}, "low"),
        ({"id": "claude-opus-5-5"}, "medium"),
        ({"id": "claude-haiku-4-5"}, None),
    ],
)
def test_an_overridden_model_runs_at_its_own_effort_and_never_at_the_agents(model, effort):
    agent = agent_with(model=ModelConfigParams(id="claude-opus-5", effort="max").resolved())
    found = overridden(agent, model=model).model
    assert (found.effort and found.effort.type) == effort
    assert found.speed == "standard"


def test_an_effort_the_model_does_not_know_is_refused():
    refused = refusal(model={"id": "claude-haiku-4-5", "effort": "low"})
    assert refused.message == "agent.model: effort low is not supported by claude-haiku-4-5"


def test_a_model_cannot_be_cleared():
    refused = refusal(model=None)
    assert type(refused) is InvalidRequest
    assert refused.details == {"error_code": "agent_model_required"}
    assert "agent_model_required" in refused.message


@pytest.mark.parametrize("empty", [None, []])
def test_empty_lists_of_what_is_not_built_clear_nothing(empty):
    agent = asking_agent()
    assert overridden(agent, skills=empty, mcp_servers=empty) == agent


@pytest.mark.parametrize("feature", ["skills", "mcp_servers"])
def test_what_is_not_built_is_named(feature):
    refused = refusal(**{feature: [{}]})
    assert isinstance(refused, NotYetSupported)
    assert refused.feature == feature


@pytest.mark.parametrize("field", ["name", "description", "metadata", "multiagent"])
def test_nothing_else_can_be_overridden(field):
    expected = f'Failed to parse request body: unknown field "agent.{field}"'
    assert refusal(**{field: "x"}).message == expected


# ---------------------------------------------------------------- updates
def update(agent, **fields):
    request = parse_body(UpdateSession, json.dumps({"agent": fields}).encode())
    return request.apply(None, {}, agent)


def test_an_update_replaces_the_tools_in_full():
    agent = asking_agent()
    (toolset,) = update(agent, tools=[TOOLSET])["agent"].tools
    assert toolset.configs == []
    for empty in (None, []):
        assert update(agent, tools=empty)["agent"].tools == []


def test_an_update_to_the_same_tools_changes_nothing():
    agent = overridden(asking_agent(), tools=[TOOLSET])
    assert update(agent, tools=[TOOLSET]) == {}
    assert update(agent, tools=[{**TOOLSET, "configs": []}]) == {}
    assert update(agent) == {}


@pytest.mark.parametrize("field", ["model", "system", "skills", "name", "inference_geo"])
def test_an_update_cannot_change_the_rest_of_the_agent(field):
    with pytest.raises(InvalidRequest) as refused:
        update(asking_agent(), **{field: "x"})
    assert f'unknown field "agent.{field}"' in refused.value.message
