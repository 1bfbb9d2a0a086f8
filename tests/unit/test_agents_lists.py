"""Pages of agents and of their versions (BEHAVIOUR 1.5, 2)."""

from __future__ import annotations

import pytest

from freehold.errors import InvalidRequest
from freehold.services import agents
from freehold.wire.agents import AgentList, CreateAgent, UpdateAgent, VersionList
from tests.unit.apps import CALLER, app_on, memory_records


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


def every_page(app, **query):
    found, page = [], listed(app, **query)
    while True:
        found += [agent.id for agent in page.data]
        if page.next_page is None:
            return found
        page = listed(app, page=page.next_page, **query)


def test_agents_are_listed_newest_first_page_by_page(app):
    made = [create(app).id for _ in range(7)]
    for limit in (1, 3, 7, 100):
        assert every_page(app, limit=limit) == made[::-1]
    assert "next_page" not in listed(app, limit=7).model_dump()


def test_archived_agents_are_listed_only_when_asked_for(app):
    made = [create(app).id for _ in range(6)]
    for agent_id in made[1::2]:
        agents.archive_agent(app, CALLER, agent_id)
    assert every_page(app, limit=2) == made[0::2][::-1]
    assert every_page(app, limit=2, include_archived=True) == made[::-1]


def test_agents_are_listed_by_time_of_creation(app):
    made = [create(app) for _ in range(5)]
    bounds = {"created_at_gte": made[1].created_at, "created_at_lte": made[3].created_at}
    assert every_page(app, limit=2, **bounds) == [made[n].id for n in (3, 2, 1)]


def test_a_cursor_whose_position_the_filter_excludes_is_refused(app):
    made = [create(app) for _ in range(4)]
    cursor = listed(app, limit=2).next_page
    with pytest.raises(InvalidRequest, match="created_at"):
        listed(app, page=cursor, created_at_gte=made[3].created_at)
    assert listed(app, page=cursor, created_at_gte=made[2].created_at).data == []


def test_a_page_ends_at_four_megabytes(app):
    made = [create(app, system="x" * 90_000 + str(n)).id for n in range(60)]
    page = listed(app, limit=100)
    assert 40 < len(page.data) < 60
    rest = listed(app, limit=100, page=page.next_page)
    assert [a.id for a in (*page.data, *rest.data)] == made[::-1]


@pytest.mark.parametrize("cursor", ["x", "%%%", "ü", "ZGVzYw", "YXNjL2YvYWdlbnQ", "\x00"])
def test_a_cursor_nobody_made_is_refused(app, cursor):
    with pytest.raises(InvalidRequest, match="cursor"):
        listed(app, page=cursor)


def test_versions_are_listed_newest_first_page_by_page(app):
    agent = create(app)
    for n in range(2, 6):
        update(app, agent.id, name=str(n))
    found, cursor = [], None
    while True:
        query = VersionList(limit=2, page=cursor)
        page = agents.list_agent_versions(app, CALLER, agent.id, query)
        found += [version.version for version in page.data]
        cursor = page.next_page
        if cursor is None:
            break
    assert found == [5, 4, 3, 2, 1]
    with pytest.raises(InvalidRequest, match="agent ID"):
        agents.list_agent_versions(app, CALLER, "nope", VersionList())
