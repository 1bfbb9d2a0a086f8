"""Sessions: create, retrieve, list, update, archive, delete (BEHAVIOUR 5)."""

from __future__ import annotations

from dataclasses import dataclass

from freehold import keys
from freehold.documents import unpack
from freehold.domain import append, web_rules
from freehold.domain.draft import Draft, Snapshot
from freehold.domain.session import Head, SessionState
from freehold.engine.commit import Done, Transaction, perform
from freehold.errors import InvalidRequest, NotFound
from freehold.ids import is_id, new_id, timestamp
from freehold.keys import SessionKey
from freehold.ports import App, Condition, Item, Value, Write
from freehold.services import changes
from freehold.services.agents import load_agent, session_agent
from freehold.services.budgets import require_list_prices
from freehold.services.changes import Change
from freehold.services.idempotency import Once
from freehold.services.keys import Caller
from freehold.services.session_view import render
from freehold.session_doc import SessionDoc, read_doc, write_doc
from freehold.wire.agents import Agent
from freehold.wire.environments import Environment
from freehold.wire.sessions import (
    CreateSession,
    DeletedSession,
    Session,
)


def locate_session(app: App, caller: Caller, session_id: str) -> tuple[SessionKey, Snapshot]:
    """The session of the caller's workspace. Raises NotFound, also for a deleted one."""
    if not is_id("sesn", session_id):
        raise NotFound(f"Session {session_id} not found.")
    key = SessionKey(caller.workspace_id, session_id)
    snapshot = app.log.read(key)
    if snapshot.session.dead:
        raise NotFound(f"Session {session_id} not found.")
    return key, snapshot


def create_session(
    app: App, caller: Caller, request: CreateSession, once: Once | None = None
) -> Session:
    """Session, primary thread, index rows and first events in one transaction; a listing right
    after shows it. Answers it as that transaction leaves it.

    With `initial_events` it is created running and its run is started. Raises InvalidRequest,
    NotFound, Repeated, Unavailable. Every id is minted before the first attempt, so that an attempt
    whose answer was lost is found, and a second one cannot make a second session.
    """
    now = app.clock()
    key, thread_id = SessionKey(caller.workspace_id, new_id("sesn", now)), new_id("sthr")
    events = [event.accepted() for event in request.initial_events or ()]

    def plan() -> Change[_Created]:
        agent = _usable_agent(app, caller, request)
        environment, revision = _usable_environment(app, caller, request.environment_id)
        doc = _doc(key, timestamp(now), agent, request)
        web_rules.check_within(doc.agent.tools, environment)
        draft = _first_commit(app, caller, key, thread_id, agent.name)
        if request.budget is not None:
            require_list_prices(app, doc.agent)
            draft.set_session(cap=request.budget.cap)
        if events:
            append.append_events(draft, events)
        session = render(app, doc, draft.session, draft.primary)
        draft.extra += [
            write_doc(app.blobs, key, doc, revision=0),
            *_index(key, agent),
            *_references(caller, agent, request.environment_id, revision),
            *(once.writes(key.partition, session) if once else ()),
        ]
        return Change(_Created(session, draft), app.log.creation(draft), landed)

    def landed() -> bool:
        return app.records.get([key.state()])[0] is not None

    created = changes.perform(app, plan, once)
    for run in Done(None, created.draft).runs():
        app.runs.start(run)
    return created.session


@dataclass(frozen=True, slots=True)
class _Created:
    """A new session, and the transaction that made it."""

    session: Session
    draft: Draft


def _index(key: SessionKey, agent: Agent) -> list[Write]:
    """The rows that lists read: among all sessions, and among those of the agent."""
    new = (Condition("", "absent", reason="id is new"),)
    row: Item = {"agent_version": agent.version}
    places = (key.index(), key.index_by("agent", agent.id))
    return [Write(place, put=row, conditions=new) for place in places]


def _first_commit(
    app: App, caller: Caller, key: SessionKey, thread_id: str, agent_name: str
) -> Draft:
    """The commit of version 0, in which the primary thread is born."""
    now = app.clock()
    at = timestamp(now)
    head = Head(
        thread_id=thread_id, parent_id=None, agent_name=agent_name, created_at=at, updated_at=at
    )
    rate = app.settings.prices.time_rate
    state = SessionState(primary_id=thread_id, time_rate=rate, updated_at=at)
    draft = Draft(Snapshot(key, state, {}), commit_id=new_id("cmt"), actor=caller.key_id, now=now)
    draft.born(head)
    return draft


def _doc(key: SessionKey, at: str, agent: Agent, request: CreateSession) -> SessionDoc:
    return SessionDoc(
        id=key.session_id,
        agent=request.agent.applied(session_agent(agent)),
        environment_id=request.environment_id,
        title=request.title or None,
        metadata=request.metadata or {},
        created_at=at,
        updated_at=at,
    )


def _usable_agent(app: App, caller: Caller, request: CreateSession) -> Agent:
    agent = load_agent(app, caller, request.agent_id, request.agent_version)
    if agent.archived_at is not None:
        raise InvalidRequest(f"Agent {agent.id} is archived and cannot be used by new sessions.")
    return agent


def _usable_environment(app: App, caller: Caller, environment_id: str) -> tuple[Environment, Value]:
    """The environment and its revision. A refusal is readable here; the transaction's conditions
    decide.
    """
    item = environment_item(app, caller, environment_id) if is_id("env", environment_id) else None
    if item is None:
        raise NotFound(f"Environment {environment_id} not found.")
    if item.get("archived"):
        raise InvalidRequest(
            f"Environment {environment_id} is archived and cannot be used by new sessions.",
            details={"error_code": "environment_archived"},
        )
    return unpack(app.blobs, item, Environment), item["revision"]


def environment_item(app: App, caller: Caller, environment_id: str) -> Item | None:
    """As stored; None where it was never made, or was deleted."""
    item = app.records.get([keys.environment(caller.workspace_id, environment_id)])[0]
    return item if item is not None and "revision" in item else None


def _references(caller: Caller, agent: Agent, environment_id: str, revision: Value) -> list[Write]:
    """The agent is usable still, and the environment, which is as it was read, counts one more
    session: an environment in use is not deleted.
    """
    usable = (
        Condition("", "exists"),
        Condition("archived", "==", value=False, reason="not archived"),
    )
    return [
        Write(keys.agent(caller.workspace_id, agent.id), conditions=usable),
        Write(
            keys.environment(caller.workspace_id, environment_id),
            add={"sessions": 1},
            conditions=(*usable, Condition("revision", "==", revision, "environment as read")),
        ),
    ]


def retrieve_session(app: App, caller: Caller, session_id: str) -> Session:
    """Raises NotFound."""
    key, snapshot = locate_session(app, caller, session_id)
    stored = read_doc(app.records, app.blobs, key)
    return render(app, stored.doc, snapshot.session, snapshot.primary)


def archive_session(app: App, caller: Caller, session_id: str) -> Session:
    """Ends it for good; archiving again answers it unchanged. Raises InvalidRequest while it
    runs.
    """
    key, snapshot = locate_session(app, caller, session_id)
    if snapshot.session.archived_at is None:

        def plan(draft: Draft) -> None:
            if draft.session.archived_at is None:
                append.archive_session(draft)

        perform(
            app,
            Transaction(
                key, "", actor=caller.key_id, plan=plan, landed=lambda *_: None, every=True
            ),
        )
    return retrieve_session(app, caller, session_id)


def delete_session(app: App, caller: Caller, session_id: str) -> DeletedSession:
    """The tombstone, then the purge. Raises InvalidRequest while it runs, NotFound when it is
    gone.
    """
    key, _ = locate_session(app, caller, session_id)
    stored = read_doc(app.records, app.blobs, key)

    def plan(draft: Draft) -> None:
        if draft.session.dead:
            raise NotFound(f"Session {session_id} not found.")
        append.delete_session(draft, key.index())
        draft.extra.append(Write(key.index_by("agent", stored.doc.agent.id), delete=True))
        draft.extra += _unreference(app, caller, stored.doc.environment_id)

    perform(
        app,
        Transaction(key, "", actor=caller.key_id, plan=plan, landed=lambda *_: None, every=True),
    )
    return DeletedSession(id=session_id)


def _unreference(app: App, caller: Caller, environment_id: str) -> list[Write]:
    """One session fewer; nothing to count where the environment was deleted by force."""
    place = keys.environment(caller.workspace_id, environment_id)
    if app.records.get([place])[0] is None:
        return []
    return [Write(place, add={"sessions": -1}, conditions=(Condition("", "exists"),))]
