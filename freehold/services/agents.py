"""Agents: create, retrieve, list, update, archive, versions (BEHAVIOUR 2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from freehold import keys
from freehold.documents import pack, unpack
from freehold.errors import Conflict, InvalidRequest, NotFound
from freehold.ids import is_id, new_id, timestamp
from freehold.ports import Condition, Item, Write
from freehold.services.changes import Change, perform
from freehold.services.paging import Collection, Cursor, walk
from freehold.wire.agent_definition import ServiceAccountExecutionIdentity
from freehold.wire.agents import Agent, AgentList, AgentPage, CreateAgent, UpdateAgent, VersionList
from freehold.wire.metadata import patch_metadata
from freehold.wire.session_agent import SessionAgent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freehold.ports import App
    from freehold.services.idempotency import Once
    from freehold.services.keys import Caller

_NEW = (Condition("", "absent", reason="id is new"),)
_STALE = "Concurrent modification detected. Please fetch the latest version and retry."


def create_agent(app: App, caller: Caller, request: CreateAgent, once: Once | None = None) -> Agent:
    """Version 1, with its index row in the same transaction. Raises InvalidRequest, Repeated."""
    now = app.clock()
    at = timestamp(now)
    agent = Agent(
        id=new_id("agent", now),
        version=1,
        name=request.name,
        description=request.description or None,
        model=request.model.resolved(),
        system=request.system or None,
        tools=[tools.resolved() for tools in request.tools],
        mcp_servers=[],
        skills=[],
        multiagent=None,
        execution_identity=ServiceAccountExecutionIdentity(type="service_account"),
        metadata=request.metadata,
        created_at=at,
        updated_at=at,
        archived_at=None,
    )
    head = keys.agent(caller.workspace_id, agent.id)
    row = keys.Key(keys.collection(caller.workspace_id, "agents"), agent.id)

    def plan() -> Change[Agent]:
        writes = [
            Write(head, put=_head_item(app, caller, agent), conditions=_NEW),
            _version_write(app, caller, agent, new_id("cmt")),
            Write(row, put={"created_at": at}, conditions=_NEW),
            *(once.writes(head.pk, agent) if once else ()),
        ]
        return Change(agent, writes, lambda: app.records.get([head])[0] is not None)

    return perform(app, plan, once)


def retrieve_agent(app: App, caller: Caller, agent_id: str, version: int | None = None) -> Agent:
    """The latest version or the one asked for.

    Raises InvalidRequest for a malformed id, NotFound.
    """
    return load_agent(app, caller, agent_id, version)


def load_agent(app: App, caller: Caller, agent_id: str, version: int | None = None) -> Agent:
    """As `retrieve_agent`. `archived_at` is that of the agent, whichever version is asked for."""
    latest = unpack(app.blobs, _head(app, caller, agent_id), Agent)
    if version is None or version == latest.version:
        return latest
    place = keys.agent_version(caller.workspace_id, agent_id, version)
    item = app.records.get([place])[0] if version < latest.version else None
    if item is None:
        raise NotFound(f"Agent {agent_id} has no version {version}.")
    past = unpack(app.blobs, item, Agent)
    return past.model_copy(update={"archived_at": latest.archived_at})


def session_agent(agent: Agent) -> SessionAgent:
    """The snapshot a session keeps of an agent."""
    given = {name: getattr(agent, name) for name in SessionAgent.model_fields}
    return SessionAgent(**given)


def list_agents(app: App, caller: Caller, query: AgentList) -> AgentPage:
    """Newest first, archived ones only when asked for. Raises InvalidRequest for a bad cursor."""

    def load(ids: Sequence[str]) -> list[Agent | None]:
        heads = app.records.get([keys.agent(caller.workspace_id, agent_id) for agent_id in ids])
        found = [item and unpack(app.blobs, item, Agent) for item in heads]
        return [agent if agent and _admits(query, agent) else None for agent in found]

    rows = Collection(keys.collection(caller.workspace_id, "agents"), "agent")
    found = walk(
        app.records,
        rows,
        rows.cursor(query.page),
        limit=query.limit,
        load=load,
        created=query,
    )
    return AgentPage(data=found.items, next_page=found.next_page)


def _admits(query: AgentList, agent: Agent) -> bool:
    shown = query.include_archived or agent.archived_at is None
    return shown and query.spans(agent.created_at)


def list_agent_versions(app: App, caller: Caller, agent_id: str, query: VersionList) -> AgentPage:
    """Every version in full, newest first. Raises InvalidRequest, NotFound."""
    latest = unpack(app.blobs, _head(app, caller, agent_id), Agent)
    is_position = re.compile(r"version/[0-9]{12}").fullmatch
    cursor = Cursor.parse(query.page, order="desc", is_position=lambda p: bool(is_position(p)))
    page = app.records.query(
        keys.agent(caller.workspace_id, agent_id).pk,
        prefix="version/",
        before=cursor.position,
        limit=query.limit + 1,
        reverse=True,
    )
    shown = page.items[: query.limit]
    more = len(page.items) > len(shown) or (page.more and len(shown) < query.limit)
    next_page = Cursor(shown[-1][0].sk, "desc").text() if more and shown else None
    versions = [unpack(app.blobs, item, Agent) for _, item in shown]
    dated = [v.model_copy(update={"archived_at": latest.archived_at}) for v in versions]
    return AgentPage(data=dated, next_page=next_page)


def update_agent(app: App, caller: Caller, agent_id: str, request: UpdateAgent) -> Agent:
    """A new version, or the current one unchanged where nothing changes (BEHAVIOUR 2.2).

    Raises Conflict when `version` is not the current one, even for a no-op; InvalidRequest for an
    archived agent; NotFound. Without `version` the last write wins.
    """

    def plan() -> Change[Agent]:
        agent = unpack(app.blobs, _head(app, caller, agent_id), Agent)
        if agent.archived_at is not None:
            raise InvalidRequest(f"Agent {agent_id} is archived and cannot be updated.")
        if request.version is not None and request.version != agent.version:
            raise Conflict(_STALE, should_retry=False)
        changed = _changes(agent, request)
        if not changed:
            return Change(agent)
        changed |= {"version": agent.version + 1, "updated_at": timestamp(app.clock())}
        return _next_version(app, caller, agent.model_copy(update=changed))

    return perform(app, plan)


def _next_version(app: App, caller: Caller, agent: Agent) -> Change[Agent]:
    """The head moves on and the version is added, if the head is still the one before."""
    write_id = new_id("cmt")
    place = keys.agent_version(caller.workspace_id, agent.id, agent.version)
    head = Write(
        keys.agent(caller.workspace_id, agent.id),
        put=_head_item(app, caller, agent),
        conditions=(
            Condition("version", "==", agent.version - 1, "version as read"),
            Condition("archived", "==", value=False, reason="not archived"),
        ),
    )

    def landed() -> bool:
        item = app.records.get([place])[0]
        return item is not None and item["write"] == write_id

    return Change(agent, [head, _version_write(app, caller, agent, write_id)], landed)


def _changes(agent: Agent, request: UpdateAgent) -> dict[str, Any]:
    """The fields whose value differs. Null and empty clear; `name` and `model` cannot be cleared.

    What is not here is refused at the edge unless it is empty, and is empty in every stored agent.
    """
    given = request.model_fields_set
    wanted: dict[str, Any] = {"metadata": patch_metadata(agent.metadata, request.metadata)}
    if request.name is not None:
        wanted["name"] = request.name
    if request.model is not None:
        wanted["model"] = request.model.resolved(agent.model)
    if "description" in given:
        wanted["description"] = request.description or None
    if "system" in given:
        wanted["system"] = request.system or None
    if "tools" in given:
        wanted["tools"] = [tools.resolved() for tools in request.tools]
    return {name: value for name, value in wanted.items() if value != getattr(agent, name)}


def archive_agent(app: App, caller: Caller, agent_id: str) -> Agent:
    """One-way; archiving again answers it unchanged. Raises InvalidRequest, NotFound."""

    def plan() -> Change[Agent]:
        agent = unpack(app.blobs, _head(app, caller, agent_id), Agent)
        if agent.archived_at is not None:
            return Change(agent)
        at = timestamp(app.clock())
        archived = agent.model_copy(update={"archived_at": at, "updated_at": at})
        unchanged = Condition("version", "==", agent.version, "version as read")
        head = keys.agent(caller.workspace_id, agent_id)
        item = _head_item(app, caller, archived)
        return Change(archived, [Write(head, put=item, conditions=(unchanged,))])

    return perform(app, plan)


def _head(app: App, caller: Caller, agent_id: str) -> Item:
    """The item of the latest version. Raises InvalidRequest for a malformed id, NotFound."""
    if not is_id("agent", agent_id):
        raise InvalidRequest("Invalid agent ID.")
    item = app.records.get([keys.agent(caller.workspace_id, agent_id)])[0]
    if item is None:
        raise NotFound(f"Agent {agent_id} not found.")
    return item


def _head_item(app: App, caller: Caller, agent: Agent) -> dict[str, Any]:
    """`archived` and `version` stand beside the document for conditions."""
    body = pack(app.blobs, keys.agent(caller.workspace_id, agent.id), agent)
    return {**body, "archived": agent.archived_at is not None, "version": agent.version}


def _version_write(app: App, caller: Caller, agent: Agent, write_id: str) -> Write:
    """A version is written once and never changed."""
    place = keys.agent_version(caller.workspace_id, agent.id, agent.version)
    item = {**pack(app.blobs, place, agent), "write": write_id}
    return Write(place, put=item, conditions=(Condition("", "absent", reason="version is new"),))
