"""Agents (BEHAVIOUR 2)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from freehold.ports import App
from freehold.services import agents
from freehold.wire.agents import Agent, AgentList, AgentPage, CreateAgent, UpdateAgent, VersionList
from freehold.wire.parsing import parse_body
from freehold.wire.queries import Query, QueryInt
from functions.api.operation import Operation, Request


class AgentVersion(Query):
    """Which version of an agent to show, the latest where none is named."""

    version: Annotated[QueryInt, Field(ge=1)] | None = None


def _create(app: App, request: Request) -> Agent:
    request.refuse_query()
    return agents.create_agent(app, request.caller, parse_body(CreateAgent, request.body))


def _list(app: App, request: Request) -> AgentPage:
    return agents.list_agents(app, request.caller, AgentList.from_query(request.query))


def _retrieve(app: App, request: Request) -> Agent:
    version = AgentVersion.from_query(request.query).version
    return agents.retrieve_agent(app, request.caller, request.ids["agent_id"], version)


def _update(app: App, request: Request) -> Agent:
    request.refuse_query()
    update = parse_body(UpdateAgent, request.body)
    return agents.update_agent(app, request.caller, request.ids["agent_id"], update)


def _archive(app: App, request: Request) -> Agent:
    request.refuse_query()
    request.refuse_body()
    return agents.archive_agent(app, request.caller, request.ids["agent_id"])


def _versions(app: App, request: Request) -> AgentPage:
    query = VersionList.from_query(request.query)
    return agents.list_agent_versions(app, request.caller, request.ids["agent_id"], query)


OPERATIONS = (
    Operation("POST", "/v1/agents", _create),
    Operation("GET", "/v1/agents", _list),
    Operation("GET", "/v1/agents/<agent_id>", _retrieve),
    Operation("POST", "/v1/agents/<agent_id>", _update),
    Operation("POST", "/v1/agents/<agent_id>/archive", _archive),
    Operation("GET", "/v1/agents/<agent_id>/versions", _versions),
)
