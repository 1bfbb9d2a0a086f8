"""Agents (BEHAVIOUR 2)."""

from __future__ import annotations

from freehold.errors import InvalidRequest
from freehold.ports import App
from freehold.services import agents
from freehold.wire.agents import Agent, AgentList, AgentPage, CreateAgent, UpdateAgent, VersionList
from freehold.wire.parsing import parse_body
from functions.api.operation import Operation, Request


def _create(app: App, request: Request) -> Agent:
    request.only()
    return agents.create_agent(app, request.caller, parse_body(CreateAgent, request.body))


def _list(app: App, request: Request) -> AgentPage:
    return agents.list_agents(app, request.caller, AgentList.from_query(request.query))


def _retrieve(app: App, request: Request) -> Agent:
    version = _version(request.only("version").get("version"))
    return agents.retrieve_agent(app, request.caller, request.ids["agent_id"], version)


def _version(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise InvalidRequest("`version` must be an integer of at least 1.")
    return int(text)


def _update(app: App, request: Request) -> Agent:
    request.only()
    update = parse_body(UpdateAgent, request.body)
    return agents.update_agent(app, request.caller, request.ids["agent_id"], update)


def _archive(app: App, request: Request) -> Agent:
    request.only()
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
