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
from freehold.wire.parsing import parse_body
from freehold.wire.queries import Query, QueryBool
from functions.api.operation import Operation, Request


class EnvironmentDeletion(Query):
    """Whether to delete an environment that sessions refer to."""

    force: QueryBool = False


def _create(app: App, request: Request) -> Environment:
    request.refuse_query()
    body = parse_body(CreateEnvironment, request.body)
    return environments.create_environment(app, request.caller, body)


def _list(app: App, request: Request) -> EnvironmentPage:
    query = EnvironmentList.from_query(request.query)
    return environments.list_environments(app, request.caller, query)


def _retrieve(app: App, request: Request) -> Environment:
    request.refuse_query()
    environment_id = request.ids["environment_id"]
    return environments.retrieve_environment(app, request.caller, environment_id)


def _update(app: App, request: Request) -> Environment:
    request.refuse_query()
    update = parse_body(UpdateEnvironment, request.body)
    environment_id = request.ids["environment_id"]
    return environments.update_environment(app, request.caller, environment_id, update)


def _archive(app: App, request: Request) -> Environment:
    request.refuse_query()
    request.refuse_body()
    environment_id = request.ids["environment_id"]
    return environments.archive_environment(app, request.caller, environment_id)


def _delete(app: App, request: Request) -> DeletedEnvironment:
    request.refuse_body()
    force = EnvironmentDeletion.from_query(request.query).force
    environment_id = request.ids["environment_id"]
    return environments.delete_environment(app, request.caller, environment_id, force=force)


OPERATIONS = (
    Operation("POST", "/v1/environments", _create),
    Operation("GET", "/v1/environments", _list),
    Operation("GET", "/v1/environments/<environment_id>", _retrieve),
    Operation("POST", "/v1/environments/<environment_id>", _update),
    Operation("POST", "/v1/environments/<environment_id>/archive", _archive),
    Operation("DELETE", "/v1/environments/<environment_id>", _delete),
)
