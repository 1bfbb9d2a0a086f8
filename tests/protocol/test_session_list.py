"""Pages of sessions: filters, orders, cursors, and how much a page reads (BEHAVIOUR 1.5, 5.5)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freehold import keys
from freehold.errors import InvalidRequest
from freehold.ids import new_id
from freehold.keys import SessionKey
from freehold.ports import Write
from freehold.services import agents, environments, sessions
from freehold.services.events import list_events, send_events
from freehold.services.paging import MAX_EXAMINED, Cursor
from freehold.services.session_list import list_sessions
from freehold.services.threads import list_threads
from freehold.testing.script import script
from freehold.wire.agents import AgentList, CreateAgent, UpdateAgent
from freehold.wire.environments import CreateEnvironment, EnvironmentList
from freehold.wire.event_input import SendEvents
from freehold.wire.lists import EventList, ThreadList
from freehold.wire.sessions import CreateSession, SessionList
from tests.unit.sessions import Bench


class Counting:
    """A store that counts what is read of it."""

    def __init__(self, records):
        self._records = records
        self.reads = 0

    def __getattr__(self, name):
        return getattr(self._records, name)

    def get(self, places):
        self.reads += 1
        return self._records.get(places)

    def query(self, pk, **bounds):
        self.reads += 1
        return self._records.query(pk, **bounds)


class Workspace:
    """A workspace of its own, with an environment, and sessions of as many agents as are named."""

    def __init__(self, directory):
        self.bench = Bench(directory)
        self.records = Counting(self.bench.records)
        self.app = replace(self.bench.app, records=self.records)
        self.caller = replace(self.bench.caller, workspace_id="wrkspc_lists")
        body = CreateEnvironment.model_validate({"name": "e"})
        self.environment = environments.create_environment(self.app, self.caller, body).id

    def agent(self):
        body = CreateAgent.model_validate({"name": "A", "model": "claude-sonnet-5-5"})
        return agents.create_agent(self.app, self.caller, body)

    def create(self, agent_id, text=None):
        body = {"agent": agent_id, "environment_id": self.environment}
        if text is not None:
            content = [{"type": "text", "text": text}]
            body["initial_events"] = [{"type": "user.message", "content": content}]
        return sessions.create_session(self.app, self.caller, CreateSession.model_validate(body))

    def page(self, **query):
        return list_sessions(self.app, self.caller, SessionList(**query))

    def ids(self, **query):
        """Over all pages."""
        found, cursor = [], None
        while True:
            page = self.page(page=cursor, **query)
            found += [session.id for session in page.data]
            cursor = page.next_page
            if cursor is None:
                return found


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


@pytest.fixture
def nine(workspace):
    """Nine sessions of one agent, oldest first."""
    agent = workspace.agent()
    return [workspace.create(agent.id) for _ in range(9)]


# ---------------------------------------------------------------- orders and neighbours
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 4, 9, 100])
def test_every_session_is_on_one_page_in_the_order_asked(workspace, nine, order, limit):
    made = [session.id for session in nine]
    assert workspace.ids(order=order, limit=limit) == (made if order == "asc" else made[::-1])


def test_the_newest_come_first_unless_asked_otherwise(workspace, nine):
    assert workspace.page().data[0].id == nine[-1].id
    created = [session.created_at for session in workspace.page().data]
    assert created == sorted(created, reverse=True)


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_the_previous_page_is_the_one_before(workspace, nine, order):
    pages = [workspace.page(order=order, limit=4)]
    assert pages[0].prev_page is None
    assert "prev_page" not in pages[0].model_dump()
    while pages[-1].next_page:
        pages.append(workspace.page(order=order, limit=4, page=pages[-1].next_page))
    assert [len(page.data) for page in pages] == [4, 4, 1]
    back = pages[-1]
    for expected in reversed(pages[:-1]):
        back = workspace.page(order=order, limit=4, page=back.prev_page)
        assert [s.id for s in back.data] == [s.id for s in expected.data]
    assert back.prev_page is None
    again = workspace.page(order=order, limit=4, page=back.next_page)
    assert [s.id for s in again.data] == [s.id for s in pages[1].data]


def test_a_page_that_became_empty_still_leads_back(workspace, nine):
    cursor = workspace.page(limit=6).next_page
    for session in nine[:3]:
        sessions.delete_session(workspace.app, workspace.caller, session.id)
    empty = workspace.page(limit=6, page=cursor)
    assert (empty.data, empty.next_page) == ([], None)
    back = workspace.page(limit=100, page=empty.prev_page)
    assert [s.id for s in back.data] == [s.id for s in reversed(nine[3:])]


def test_a_limit_may_change_between_pages(workspace, nine):
    first = workspace.page(limit=2)
    rest = workspace.page(limit=100, page=first.next_page)
    assert len(first.data) + len(rest.data) == 9


# ---------------------------------------------------------------- cursors that are refused
def test_a_cursor_of_another_order_is_refused(workspace, nine):
    cursor = workspace.page(order="asc", limit=2).next_page
    with pytest.raises(InvalidRequest, match="another `order`"):
        workspace.page(order="desc", page=cursor)


@pytest.mark.parametrize(
    ("order", "excluding", "including"),
    [
        ("asc", {"created_at_gt": 3}, {"created_at_gte": 3}),
        ("asc", {"created_at_lt": 3}, {"created_at_lte": 3}),
        ("desc", {"created_at_gt": 5}, {"created_at_gte": 5}),
        ("desc", {"created_at_lt": 5}, {"created_at_lte": 5}),
    ],
)
def test_a_changed_range_may_not_exclude_the_cursor(workspace, nine, order, excluding, including):
    cursor = workspace.page(order=order, limit=4).next_page
    at = {name: nine[n].created_at for name, n in excluding.items()}
    with pytest.raises(InvalidRequest, match="excludes the position"):
        workspace.page(order=order, page=cursor, **at)
    at = {name: nine[n].created_at for name, n in including.items()}
    workspace.page(order=order, page=cursor, **at)


def test_a_cursor_of_another_list_is_refused(workspace, nine):
    agents_page = AgentList(limit=1)
    workspace.agent()
    foreign = agents.list_agents(workspace.app, workspace.caller, agents_page).next_page
    with pytest.raises(InvalidRequest, match="cursor"):
        workspace.page(page=foreign)


@pytest.mark.parametrize("position", ["", "sesn_", "agent_" + "0" * 26, "version/1", "1.2", "~"])
@pytest.mark.parametrize("backward", [False, True])
def test_a_cursor_nobody_made_is_refused_by_every_list(workspace, nine, position, backward):
    app, caller, session_id = workspace.app, workspace.caller, nine[0].id
    agent_id = nine[0].agent.id
    lists = {
        "desc": (
            lambda page: agents.list_agent_versions(app, caller, agent_id, AgentList(page=page)),
            lambda page: environments.list_environments(app, caller, EnvironmentList(page=page)),
        ),
        "asc": (
            lambda page: list_events(app, caller, session_id, EventList(page=page)),
            lambda page: list_threads(app, caller, session_id, ThreadList(page=page)),
        ),
    }
    for order, found in lists.items():
        for turn in found:
            for page in (Cursor(position, order, backward).text(), "", "%%%", "ü"):
                with pytest.raises(InvalidRequest, match="cursor"):
                    turn(page)


# ---------------------------------------------------------------- filters
def test_sessions_are_filtered_by_time_of_creation(workspace, nine):
    at = [session.created_at for session in nine]
    ids = [session.id for session in nine]
    for query, expected in (
        ({"created_at_gte": at[3]}, ids[3:]),
        ({"created_at_gt": at[3]}, ids[4:]),
        ({"created_at_lte": at[3]}, ids[:4]),
        ({"created_at_lt": at[3]}, ids[:3]),
        ({"created_at_gt": at[2], "created_at_gte": at[1], "created_at_lt": at[7]}, ids[3:7]),
        ({"created_at_gt": at[5], "created_at_lt": at[5]}, []),
    ):
        assert workspace.ids(order="asc", limit=2, **query) == expected
        assert workspace.ids(order="desc", limit=2, **query) == expected[::-1]


def test_sessions_are_filtered_by_agent_and_version(workspace):
    one, other = workspace.agent(), workspace.agent()
    first = [workspace.create(one.id).id for _ in range(3)]
    workspace.create(other.id)
    changed = UpdateAgent(version=1, name="B")
    agents.update_agent(workspace.app, workspace.caller, one.id, changed)
    second = [workspace.create(one.id).id for _ in range(2)]
    assert workspace.ids(agent_id=one.id, order="asc", limit=2) == [*first, *second]
    assert workspace.ids(agent_id=one.id, agent_version=1, order="asc", limit=1) == first
    assert workspace.ids(agent_id=one.id, agent_version=2, order="asc", limit=1) == second
    assert workspace.ids(agent_id=new_id("agent")) == []
    sessions.delete_session(workspace.app, workspace.caller, first[0])
    assert workspace.ids(agent_id=one.id, order="asc") == [*first[1:], *second]


def test_sessions_are_filtered_by_status_and_archival(workspace, nine):
    busy = [workspace.create(nine[0].agent.id, script({"say": "x"})).id for _ in range(2)]
    archived = nine[4].id
    sessions.archive_session(workspace.app, workspace.caller, archived)
    idle = [s.id for s in nine if s.id != archived]
    assert workspace.ids(statuses=["running"], order="asc", limit=1) == busy
    assert workspace.ids(statuses=["idle"], order="asc", limit=3) == idle
    assert workspace.ids(statuses=["terminated"]) == []
    assert workspace.ids(statuses=["terminated"], include_archived=True) == [archived]
    both = {"statuses": ["idle", "running"], "order": "asc"}
    assert workspace.ids(**both) == [*idle, *busy]
    workspace.bench.runs.drain(workspace.app)
    assert workspace.ids(statuses=["running"]) == []


def test_what_no_session_has_yet_finds_none(workspace, nine):
    assert workspace.ids(deployment_id=new_id("depl")) == []
    assert workspace.ids(memory_store_id=new_id("memstore"), agent_id=nine[0].agent.id) == []


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"agent_id": "agent_x/y"}, "Invalid agent ID."),
        ({"deployment_id": "x"}, "Invalid deployment ID."),
        ({"memory_store_id": ""}, "Invalid memory store ID."),
    ],
)
def test_an_id_that_is_none_is_refused(workspace, query, text):
    with pytest.raises(InvalidRequest) as refused:
        workspace.page(**query)
    assert refused.value.message == text


def test_another_workspace_s_sessions_are_not_listed(workspace, nine):
    stranger = replace(workspace.caller, workspace_id="wrkspc_other")
    for query in (SessionList(), SessionList(agent_id=nine[0].agent.id)):
        assert list_sessions(workspace.app, stranger, query).data == []


# ---------------------------------------------------------------- how much a page reads
def rows(workspace, count):
    """Index rows whose sessions are gone: nothing of them passes a filter."""
    for first in range(0, count, 100):
        places = [
            SessionKey(workspace.caller.workspace_id, new_id("sesn")).index()
            for _ in range(first, min(count, first + 100))
        ]
        workspace.bench.records.write([Write(place, put={"agent_version": 1}) for place in places])


def test_a_page_reads_no_more_than_its_bound_and_the_walk_still_finds_all(workspace):
    agent = workspace.agent()
    first = workspace.create(agent.id).id
    rows(workspace, 2 * MAX_EXAMINED + 50)
    last = workspace.create(agent.id).id
    workspace.records.reads = 0
    page = workspace.page(limit=2)
    assert [s.id for s in page.data] == [last]
    assert page.next_page is not None
    assert workspace.records.reads <= 48
    assert workspace.ids(limit=2) == [last, first]
    empty = workspace.page(limit=2, page=page.next_page)
    assert empty.data == []
    back = workspace.page(limit=2, page=empty.prev_page)
    assert back.next_page is not None


def test_an_agent_s_sessions_are_found_without_looking_at_the_others(workspace):
    agent = workspace.agent()
    mine = workspace.create(agent.id)
    rows(workspace, 3 * MAX_EXAMINED)
    workspace.records.reads = 0
    assert [s.id for s in workspace.page(agent_id=agent.id).data] == [mine.id]
    assert workspace.records.reads == 4
    workspace.records.reads = 0
    found = workspace.page(created_at_lte=mine.created_at, order="desc")
    assert [s.id for s in found.data] == [mine.id]
    assert found.next_page is None
    assert workspace.records.reads == 4


# ---------------------------------------------------------------- events
def events_of(workspace, session_id, **query):
    found, cursor = [], None
    while True:
        listed = EventList(page=cursor, **query)
        page = list_events(workspace.app, workspace.caller, session_id, listed)
        found += page.data
        cursor = page.next_page
        if cursor is None:
            return found


@pytest.fixture
def talk(workspace):
    """A session after three turns."""
    session = workspace.create(workspace.agent().id)
    for n in range(3):
        content = [{"type": "text", "text": script({"say": str(n)})}]
        body = {"events": [{"type": "user.message", "content": content}]}
        send_events(workspace.app, workspace.caller, session.id, SendEvents.model_validate(body))
        workspace.bench.runs.drain(workspace.app)
    return session.id


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_events_are_filtered_by_type_and_time_on_every_page(workspace, talk, order, limit):
    everything = events_of(workspace, talk)
    at = [event["processed_at"] for event in everything]
    kinds = ["user.message", "agent.message"]
    for query, is_wanted in (
        ({"types": kinds}, lambda e: e["type"] in kinds),
        ({"created_at_gt": at[9]}, lambda e: e["processed_at"] > at[9]),
        ({"created_at_gte": at[9]}, lambda e: e["processed_at"] >= at[9]),
        ({"created_at_lt": at[9]}, lambda e: e["processed_at"] < at[9]),
        ({"created_at_lte": at[9]}, lambda e: e["processed_at"] <= at[9]),
        (
            {"created_at_gte": at[2], "created_at_lt": at[12], "types": kinds},
            lambda e: at[2] <= e["processed_at"] < at[12] and e["type"] in kinds,
        ),
    ):
        expected = [event for event in everything if is_wanted(event)]
        found = events_of(workspace, talk, order=order, limit=limit, **query)
        assert found == (expected if order == "asc" else expected[::-1])


def test_a_changed_range_may_not_exclude_the_cursor_s_event(workspace, talk):
    everything = events_of(workspace, talk)

    def page(**query):
        return list_events(workspace.app, workspace.caller, talk, EventList(**query))

    cursor = page(limit=5).next_page
    with pytest.raises(InvalidRequest, match="excludes the position"):
        page(page=cursor, created_at_gt=everything[4]["processed_at"])
    page(page=cursor, created_at_gte=everything[4]["processed_at"])
    with pytest.raises(InvalidRequest, match="another `order`"):
        page(page=cursor, order="desc")


def test_a_page_of_events_looks_at_no_more_than_its_bound(workspace, talk, monkeypatch):
    everything = events_of(workspace, talk)
    monkeypatch.setattr("freehold.services.events.MAX_SCANNED", 4)
    listed = EventList(types=["agent.message"])
    page = list_events(workspace.app, workspace.caller, talk, listed)
    assert page.data == []
    assert page.next_page is not None
    expected = [event for event in everything if event["type"] == "agent.message"]
    assert len(expected) == 3
    assert events_of(workspace, talk, types=["agent.message"]) == expected
    late = {"created_at_gte": everything[10]["processed_at"]}
    assert events_of(workspace, talk, **late) == everything[10:]


def test_index_rows_go_with_their_session(workspace, nine):
    for session in nine:
        sessions.delete_session(workspace.app, workspace.caller, session.id)
    workspace_id, agent_id = workspace.caller.workspace_id, nine[0].agent.id
    for partition in (
        keys.collection(workspace_id, "sessions"),
        keys.sessions_by(workspace_id, "agent", agent_id),
    ):
        assert workspace.bench.records.query(partition).items == ()
