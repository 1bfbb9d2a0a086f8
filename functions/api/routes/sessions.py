"""Sessions (BEHAVIOUR 5)."""

from __future__ import annotations

from freehold.ports import App
from freehold.services import sessions
from freehold.services.session_list import list_sessions
from freehold.wire.parsing import parse_body
from freehold.wire.sessions import (
    CreateSession,
    DeletedSession,
    Session,
    SessionList,
    SessionPage,
    UpdateSession,
)
from functions.api.operation import Operation, Request


def _create(app: App, request: Request) -> Session:
    request.refuse_query()
    return sessions.create_session(app, request.caller, parse_body(CreateSession, request.body))


def _list(app: App, request: Request) -> SessionPage:
    return list_sessions(app, request.caller, SessionList.from_query(request.query))


def _retrieve(app: App, request: Request) -> Session:
    request.refuse_query()
    return sessions.retrieve_session(app, request.caller, request.ids["session_id"])


def _update(app: App, request: Request) -> Session:
    request.refuse_query()
    update = parse_body(UpdateSession, request.body)
    return sessions.update_session(app, request.caller, request.ids["session_id"], update)


def _archive(app: App, request: Request) -> Session:
    request.refuse_query()
    request.refuse_body()
    return sessions.archive_session(app, request.caller, request.ids["session_id"])


def _delete(app: App, request: Request) -> DeletedSession:
    request.refuse_query()
    request.refuse_body()
    return sessions.delete_session(app, request.caller, request.ids["session_id"])


OPERATIONS = (
    Operation("POST", "/v1/sessions", _create),
    Operation("GET", "/v1/sessions", _list),
    Operation("GET", "/v1/sessions/<session_id>", _retrieve),
    Operation("POST", "/v1/sessions/<session_id>", _update),
    Operation("POST", "/v1/sessions/<session_id>/archive", _archive),
    Operation("DELETE", "/v1/sessions/<session_id>", _delete),
)
