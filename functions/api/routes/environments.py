"""Environments (BEHAVIOUR 4)."""

from __future__ import annotations

from freehold.ports import App
from freehold.services import environments
from freehold.wire.environments import (
    CreateEnvironment,
    DeletedEnvironment,
    Environment,
    EnvironmentList,
    EnvironmentPage,
    UpdateEnvironment,
)
from freehold.wire.queries import Query, QueryBool
from functions.api.operation import NoBody, NoQuery, Operation, Request


class EnvironmentDeletion(Query):
    """Whether to delete an environment that sessions refer to."""

    force: QueryBool = False


def create_environment(app: App, request: Request[NoQuery, CreateEnvironment]) -> Environment:
    """Create an environment."""
    return environments.create_environment(app, request.caller, request.body, request.once)


def list_environments(app: App, request: Request[EnvironmentList, NoBody]) -> EnvironmentPage:
    """List environments, newest first."""
    return environments.list_environments(app, request.caller, request.query)


def retrieve_environment(app: App, request: Request[NoQuery, NoBody]) -> Environment:
    """Retrieve an environment."""
    environment_id = request.ids["environment_id"]
    return environments.retrieve_environment(app, request.caller, environment_id)


def update_environment(app: App, request: Request[NoQuery, UpdateEnvironment]) -> Environment:
    """Update an environment: what is omitted stays."""
    environment_id = request.ids["environment_id"]
    return environments.update_environment(app, request.caller, environment_id, request.body)


def archive_environment(app: App, request: Request[NoQuery, NoBody]) -> Environment:
    """Archive an environment, for good."""
    environment_id = request.ids["environment_id"]
    return environments.archive_environment(app, request.caller, environment_id)


def delete_environment(
    app: App, request: Request[EnvironmentDeletion, NoBody]
) -> DeletedEnvironment:
    """Delete an environment that no session refers to, or any with `force`."""
    environment_id, force = request.ids["environment_id"], request.query.force
    return environments.delete_environment(app, request.caller, environment_id, force=force)


OPERATIONS = (
    Operation("POST", "/v1/environments", create_environment, is_repeatable=True),
    Operation("GET", "/v1/environments", list_environments, counts_as="read"),
    Operation("GET", "/v1/environments/<environment_id>", retrieve_environment, counts_as="read"),
    Operation("POST", "/v1/environments/<environment_id>", update_environment),
    Operation("POST", "/v1/environments/<environment_id>/archive", archive_environment),
    Operation("DELETE", "/v1/environments/<environment_id>", delete_environment),
)
