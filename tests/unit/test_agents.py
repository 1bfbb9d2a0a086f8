"""Agents over the real store: versions, the no-op rule, conflicts, pages (BEHAVIOUR 2)."""

from __future__ import annotations

import json

import pytest

from freehold import keys
from freehold.errors import Conflict, InvalidRequest, NotFound
from freehold.ids import new_id
from freehold.ports import Write
from freehold.services import agents
from freehold.services.agents import session_agent
from freehold.wire.agents import AgentList, CreateAgent, UpdateAgent, VersionList
from tests.unit.apps import CALLER, STRANGER, Interloper, UnsureRecords, app_on, memory_records

TOOLSET = {"type": "agent_toolset_20260401"}


@pytest.fixture
def records():
    records = memory_records()
    yield records
    records.close()


@pytest.fixture
def app(records, tmp_path):
    return app_on(records, tmp_path)


def create(app, caller=CALLER, **fields):
    body = CreateAgent.model_validate({"name": "A", "model": "claude-sonnet-5-5", **fields})
    return agents.create_agent(app, caller, body)


def update(app, agent_id, caller=CALLER, **fields):
    return agents.update_agent(app, caller, agent_id, UpdateAgent.model_validate(fields))


def listed(app, caller=CALLER, **query):
    return agents.list_agents(app, caller, AgentList(**query))


# ---------------------------------------------------------------- create and retrieve
def test_a_new_agent_is_version_one_with_every_default_resolved(app):
    agent = create(app, tools=[TOOLSET], system="", description="")
    assert agents.retrieve_agent(app, CALLER, agent.id) == agent
    answer = agent.model_dump(mode="json")
    assert answer["version"] == 1
    assert answer["model"] == {
        "id": "claude-sonnet-5-5",
        "effort": {"type": "high"},
        "speed": "standard",
    }
    assert (answer["system"], answer["description"], answer["archived_at"]) == (None, None, None)
    assert answer["execution_identity"] == {"type": "service_account"}
    always = {"enabled": True, "permission_policy": {"type": "always_allow"}}
    assert answer["tools"] == [{**TOOLSET, "default_config": always, "configs": []}]


def test_an_agent_larger_than_an_item_is_kept_in_a_blob(app, records):
    agent = create(app, system="\U0001f600" * 100_000)
    item = records.get([keys.agent(CALLER.workspace_id, agent.id)])[0]
    assert item["doc"] is None
    assert agents.retrieve_agent(app, CALLER, agent.id) == agent
    newer = update(app, agent.id, name="B")
    assert agents.retrieve_agent(app, CALLER, agent.id, 1) == agent
    assert agents.retrieve_agent(app, CALLER, agent.id, 2) == newer


@pytest.mark.parametrize("agent_id", ["agent_1", "", "x/../y", new_id("env"), "agent_" + "u" * 26])
def test_a_malformed_id_is_a_400(app, agent_id):
    with pytest.raises(InvalidRequest, match=r"^Invalid agent ID\.$"):
        agents.retrieve_agent(app, CALLER, agent_id)


def test_an_unknown_id_and_an_unknown_version_are_not_found(app):
    agent = create(app)
    with pytest.raises(NotFound):
        agents.retrieve_agent(app, CALLER, new_id("agent"))
    for version in (2, 10**12):
        with pytest.raises(NotFound):
            agents.retrieve_agent(app, CALLER, agent.id, version)


def test_a_stored_agent_may_have_fields_of_a_later_program(app, records):
    agent = create(app)
    place = keys.agent(CALLER.workspace_id, agent.id)
    body = json.loads(records.get([place])[0]["doc"])
    body["later"] = body["model"]["later"] = True
    records.write([Write(place, set={"doc": json.dumps(body).encode()})])
    assert agents.retrieve_agent(app, CALLER, agent.id) == agent


def test_another_workspace_sees_nothing(app):
    agent = create(app)
    assert listed(app, STRANGER).data == []
    for attempt in (
        lambda: agents.retrieve_agent(app, STRANGER, agent.id),
        lambda: agents.retrieve_agent(app, STRANGER, agent.id, 1),
        lambda: agents.archive_agent(app, STRANGER, agent.id),
        lambda: agents.list_agent_versions(app, STRANGER, agent.id, VersionList()),
        lambda: update(app, agent.id, STRANGER, name="mine"),
    ):
        with pytest.raises(NotFound):
            attempt()


def test_metadata_out_of_bounds_is_refused(app):
    for bag in ({"k" * 65: ""}, {"": "v"}, {"k": "v" * 513}, {str(n): "" for n in range(17)}):
        with pytest.raises(InvalidRequest, match="metadata") as refused:
            create(app, metadata=bag)
        assert refused.value.details == {"error_code": "invalid_metadata"}
    assert create(app, metadata={"k" * 64: "v" * 512}).metadata == {"k" * 64: "v" * 512}


# ---------------------------------------------------------------- update
def test_an_update_makes_a_version_and_leaves_the_one_before(app):
    first = create(app, system="S", description="D", metadata={"a": "1", "b": "2"})
    second = update(app, first.id, name="B", system=None, metadata={"a": None, "c": "3"})
    assert (second.version, second.name, second.system) == (2, "B", None)
    assert (second.description, second.metadata) == ("D", {"b": "2", "c": "3"})
    assert second.created_at == first.created_at < second.updated_at
    assert agents.retrieve_agent(app, CALLER, first.id, 1) == first
    assert agents.retrieve_agent(app, CALLER, first.id) == second


def test_an_update_that_changes_nothing_makes_no_version(app):
    agent = create(app, system="S", tools=[TOOLSET], metadata={"a": "1"})
    same = {
        "name": "A",
        "model": "claude-sonnet-5-5",
        "system": "S",
        "description": "",
        "tools": [{**TOOLSET, "default_config": {"enabled": True}}],
        "metadata": {"a": "1", "gone": None},
        "mcp_servers": None,
        "skills": [],
        "multiagent": None,
        "execution_identity": {"type": "service_account"},
    }
    assert update(app, agent.id, **same) == agent
    assert update(app, agent.id) == agent
    assert len(agents.list_agent_versions(app, CALLER, agent.id, VersionList()).data) == 1


def test_null_clears_the_tools(app):
    agent = create(app, tools=[TOOLSET])
    assert update(app, agent.id, tools=None).tools == []


def test_a_stale_version_is_a_conflict_that_no_repeat_can_help_even_for_a_no_op(app):
    agent = create(app)
    update(app, agent.id, version=1, name="B")
    for fields in ({"name": "C"}, {"name": "B"}, {}):
        with pytest.raises(Conflict, match="Concurrent modification detected") as refused:
            update(app, agent.id, version=1, **fields)
        assert refused.value.should_retry is False
    assert agents.retrieve_agent(app, CALLER, agent.id).version == 2


def test_a_bag_may_not_grow_out_of_bounds_by_patches(app):
    agent = create(app, metadata={str(n): "" for n in range(16)})
    with pytest.raises(InvalidRequest, match="16 pairs"):
        update(app, agent.id, metadata={"more": ""})
    assert len(update(app, agent.id, metadata={"0": None, "more": ""}).metadata) == 16


@pytest.mark.parametrize(
    ("before", "given", "after"),
    [
        ({"id": "claude-opus-5", "effort": "low"}, {"id": "claude-opus-5"}, "low"),
        ({"id": "claude-opus-5", "effort": "low"}, "claude-opus-5", "low"),
        ({"id": "claude-opus-5", "effort": "low"}, "claude-opus-4-8", "high"),
        ({"id": "claude-opus-5", "effort": "low"}, "claude-opus-5-5", "medium"),
        ({"id": "claude-opus-5", "effort": "low"}, {"id": "claude-opus-5", "effort": "max"}, "max"),
        ({"id": "claude-opus-5", "effort": "low"}, "claude-haiku-4-5", None),
        ("claude-haiku-4-5-20251001", "claude-sonnet-5", "high"),
        ("my-own-model", "another", None),
    ],
)
def test_effort_is_kept_with_the_model_and_falls_back_with_another(app, before, given, after):
    agent = create(app, model=before)
    changed = update(app, agent.id, model=given).model
    assert (changed.effort and changed.effort.type) == after


def test_speed_is_part_of_the_model_and_replaced_with_it(app):
    agent = create(app, model={"id": "claude-opus-5", "speed": "fast"})
    assert update(app, agent.id, model="claude-opus-5").model.speed == "standard"


def test_without_a_version_the_last_write_wins_on_what_it_sets(records, tmp_path):
    between = Interloper(records)
    app, other = app_on(between, tmp_path), app_on(records, tmp_path)
    agent = create(app)
    between.act = lambda: update(other, agent.id, system="theirs", name="theirs")
    mine = update(app, agent.id, name="mine")
    assert (mine.version, mine.name, mine.system) == (3, "mine", "theirs")


def test_with_a_version_the_one_who_came_second_is_refused(records, tmp_path):
    between = Interloper(records)
    app, other = app_on(between, tmp_path), app_on(records, tmp_path)
    agent = create(app)
    between.act = lambda: update(other, agent.id, name="theirs")
    with pytest.raises(Conflict):
        update(app, agent.id, version=1, name="mine")
    assert agents.retrieve_agent(app, CALLER, agent.id).name == "theirs"


@pytest.mark.parametrize("fates", [["landed"], ["never"], ["late"], ["never", "late"]])
def test_a_lost_answer_neither_loses_an_update_nor_makes_it_twice(records, tmp_path, fates):
    unsure = UnsureRecords(records)
    app = app_on(unsure, tmp_path)
    unsure.fates = list(fates)
    agent = create(app)
    unsure.fates = list(fates)
    assert update(app, agent.id, version=1, name="B").version == 2
    unsure.fates = list(fates)
    assert agents.archive_agent(app, CALLER, agent.id).archived_at is not None
    assert [a.id for a in listed(app, include_archived=True).data] == [agent.id]
    assert len(agents.list_agent_versions(app, CALLER, agent.id, VersionList()).data) == 2


# ---------------------------------------------------------------- archive
def test_archiving_is_one_way_and_ends_updates(app):
    agent = create(app)
    archived = agents.archive_agent(app, CALLER, agent.id)
    assert archived.archived_at is not None
    assert archived.version == 1
    assert agents.archive_agent(app, CALLER, agent.id) == archived
    with pytest.raises(InvalidRequest, match="archived"):
        update(app, agent.id, name="B")
    assert agents.retrieve_agent(app, CALLER, agent.id) == archived


def test_past_versions_of_an_archived_agent_say_so(app):
    agent = create(app)
    update(app, agent.id, name="B")
    archived = agents.archive_agent(app, CALLER, agent.id)
    assert agents.retrieve_agent(app, CALLER, agent.id, 1).archived_at == archived.archived_at
    versions = agents.list_agent_versions(app, CALLER, agent.id, VersionList()).data
    assert {v.archived_at for v in versions} == {archived.archived_at}


def test_a_sessions_snapshot_is_the_agent_without_its_history(app):
    agent = create(app, tools=[TOOLSET], metadata={"a": "1"})
    snapshot = session_agent(agent).model_dump()
    dropped = {"metadata", "created_at", "updated_at", "archived_at"}
    assert snapshot == {k: v for k, v in agent.model_dump().items() if k not in dropped}
