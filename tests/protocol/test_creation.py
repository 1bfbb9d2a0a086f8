"""A session is created once, whole, and answered, whatever becomes of the transaction's answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freehold import keys
from freehold.errors import InvalidRequest, StaleRead, Unavailable
from freehold.event_log import EventLog
from freehold.services import agents, environments, sessions
from freehold.services.session_list import list_sessions
from freehold.testing.faulty_records import Fault, FaultyRecords
from freehold.testing.script import script
from freehold.wire.agents import CreateAgent
from freehold.wire.environments import CreateEnvironment
from freehold.wire.sessions import CreateSession, SessionList
from tests.unit.sessions import Bench


class Creation:
    """An agent and an environment, and the store between a create and the disk."""

    def __init__(self, tmp_path, plan=None, **settings):
        self.bench = Bench(tmp_path, write_backoff_seconds=0.0, **settings)
        self.caller = replace(self.bench.caller, workspace_id="wrkspc_create")
        app = self.bench.app
        agent = CreateAgent.model_validate({"name": "A", "model": "claude-sonnet-5-5"})
        self.agent = agents.create_agent(app, self.caller, agent)
        environment = CreateEnvironment.model_validate({"name": "e"})
        self.environment = environments.create_environment(app, self.caller, environment)
        self.use(FaultyRecords(self.bench.records, plan))

    def use(self, records):
        app = self.bench.app
        log = EventLog(records, app.blobs, app.secrets)
        self.records, self.app = records, replace(app, records=records, log=log)

    def create(self, *texts):
        messages = [
            {"type": "user.message", "content": [{"type": "text", "text": text}]} for text in texts
        ]
        body = {
            "agent": self.agent.id,
            "environment_id": self.environment.id,
            "initial_events": messages,
        }
        return sessions.create_session(self.app, self.caller, CreateSession.model_validate(body))

    @property
    def listed(self):
        return list_sessions(self.app, self.caller, SessionList()).data

    @property
    def in_use(self):
        place = keys.environment(self.caller.workspace_id, self.environment.id)
        return self.bench.records.get([place])[0].get("sessions", 0)


@pytest.mark.parametrize("fault", [Fault.UNANSWERED, Fault.LOST])
def test_a_create_whose_answer_was_lost_makes_one_session_and_starts_it(tmp_path, fault):
    given = Creation(tmp_path, {("write", 1): fault})
    session = given.create(script({"say": "Hello."}))
    assert [found.id for found in given.listed] == [session.id]
    assert session.status == "running"
    assert given.in_use == 1
    assert len(given.bench.runs.waiting) == 1
    given.bench.runs.drain(given.app)
    assert sessions.retrieve_session(given.app, given.caller, session.id).status == "idle"


def test_a_create_that_lands_after_its_repetition_makes_no_second_session(tmp_path):
    given = Creation(tmp_path, {("write", 1): Fault.HELD})
    session = given.create("Hello.")
    assert not given.records.land()
    assert [found.id for found in given.listed] == [session.id]
    assert given.in_use == 1


def test_a_create_that_lands_before_its_repetition_is_found(tmp_path):
    given = Creation(tmp_path)
    given.use(_LandsFirst(given.bench.records))
    session = given.create("Hello.")
    assert [found.id for found in given.listed] == [session.id]
    assert given.in_use == 1


def test_a_create_that_met_another_one_is_repeated_and_not_refused(tmp_path):
    """The environment counts its sessions, so creates that run together collide there."""
    given = Creation(tmp_path)
    given.use(_Collides(given.bench.records, times=3))
    session = given.create()
    assert session.status == "idle"
    assert given.in_use == 1


def test_an_agent_archived_under_a_create_is_named(tmp_path):
    given = Creation(tmp_path)
    given.use(_Collides(given.bench.records, times=1, act=lambda: _archive(given)))
    with pytest.raises(InvalidRequest, match="archived"):
        given.create("Hello.")
    assert given.listed == []
    assert given.in_use == 0
    assert given.bench.runs.waiting == []


def test_a_store_that_takes_nothing_is_503_and_leaves_nothing(tmp_path):
    given = Creation(tmp_path, write_attempts=3)
    given.use(_Collides(given.bench.records, times=99))
    with pytest.raises(Unavailable) as refused:
        given.create("Hello.")
    assert refused.value.retry_after is not None
    assert given.listed == []


def test_several_first_events_are_one_commit_in_order_and_one_turn(tmp_path):
    given = Creation(tmp_path)
    session = given.create("One.", "Two.", script({"say": "All three."}))
    log, key = given.app.log, keys.SessionKey(given.caller.workspace_id, session.id)
    thread_id = log.read(key).session.primary_id
    first = log.history(key, thread_id)
    assert [event["type"] for entry in first for event in entry.events] == [
        "user.message",
        "session.status_running",
        "session.thread_status_running",
        "user.message",
        "user.message",
    ]
    assert len(first) == 1
    given.bench.runs.drain(given.app)
    events = [event for entry in log.history(key, thread_id) for event in entry.events]
    sent = [event["id"] for event in events if event["type"] == "user.message"]
    assert sent == sent[:3] * 2
    assert [e["type"] for e in events].count("agent.message") == 1
    assert log.read(key).primary.status == "idle"


def _archive(given):
    agents.archive_agent(given.bench.app, given.caller, given.agent.id)


class _Collides:
    """The store, whose first transactions are refused for a reason that passes."""

    def __init__(self, records, times, act=lambda: None):
        self._records = records
        self._left = times
        self._act = act

    def __getattr__(self, name):
        return getattr(self._records, name)

    def write(self, writes):
        if self._left:
            self._left -= 1
            self._act()
            raise StaleRead
        self._records.write(writes)


class _LandsFirst(FaultyRecords):
    """A held transaction lands right before the repetition of it, after it was looked for."""

    def __init__(self, records):
        super().__init__(records, {("write", 1): Fault.HELD})

    def write(self, writes):
        if self.held:
            assert self.land()
        super().write(writes)
