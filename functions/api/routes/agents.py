"""Agents (BEHAVIOUR 2)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from freehold.ports import App
from freehold.services import agents
from freehold.wire.agents import Agent, AgentList, AgentPage, CreateAgent, UpdateAgent, VersionList
from freehold.wire.queries import Query, QueryInt
from functions.api.operation import NoBody, NoQuery, Operation, Request


class AgentVersion(Query):
    """Which version of an agent to show, the latest where none is named."""

    version: Annotated[QueryInt, Field(ge=1)] | None = None


def create_agent(app: App, request: Request[NoQuery, CreateAgent]) -> Agent:
    """Create an agent, at version 1."""
    return agents.create_agent(app, request.caller, request.body, request.once)


def list_agents(app: App, request: Request[AgentList, NoBody]) -> AgentPage:
    """List agents, newest first."""
    return agents.list_agents(app, request.caller, request.query)


def retrieve_agent(app: App, request: Request[AgentVersion, NoBody]) -> Agent:
    """Retrieve an agent, or one version of it."""
    version = request.query.version
    return agents.retrieve_agent(app, request.caller, request.ids["agent_id"], version)


def update_agent(app: App, request: Request[NoQuery, UpdateAgent]) -> Agent:
    """Update an agent: a new version where something changes."""
    return agents.update_agent(app, request.caller, request.ids["agent_id"], request.body)


def archive_agent(app: App, request: Request[NoQuery, NoBody]) -> Agent:
    """Archive an agent, for good."""
    return agents.archive_agent(app, request.caller, request.ids["agent_id"])


def list_agent_versions(app: App, request: Request[VersionList, NoBody]) -> AgentPage:
    """List the versions of an agent, newest first."""
    agent_id = request.ids["agent_id"]
    return agents.list_agent_versions(app, request.caller, agent_id, request.query)


OPERATIONS = (
    Operation("POST", "/v1/agents", create_agent, is_repeatable=True),
    Operation("GET", "/v1/agents", list_agents, counts_as="read"),
    Operation("GET", "/v1/agents/<agent_id>", retrieve_agent, counts_as="read"),
    Operation("POST", "/v1/agents/<agent_id>", update_agent),
    Operation("POST", "/v1/agents/<agent_id>/archive", archive_agent),
    Operation("GET", "/v1/agents/<agent_id>/versions", list_agent_versions, counts_as="read"),
)
