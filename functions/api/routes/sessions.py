"""Sessions (BEHAVIOUR 5)."""

from __future__ import annotations

from freehold.ports import App
from freehold.services import session_list, session_updates, sessions
from freehold.wire.sessions import (
    CreateSession,
    DeletedSession,
    Session,
    SessionList,
    SessionPage,
    UpdateSession,
)
from functions.api.operation import NoBody, NoQuery, Operation, Request


def create_session(app: App, request: Request[NoQuery, CreateSession]) -> Session:
    """Create a session; with `initial_events` it is running."""
    return sessions.create_session(app, request.caller, request.body, request.once)


def list_sessions(app: App, request: Request[SessionList, NoBody]) -> SessionPage:
    """List sessions, newest first unless asked otherwise."""
    return session_list.list_sessions(app, request.caller, request.query)


def retrieve_session(app: App, request: Request[NoQuery, NoBody]) -> Session:
    """Retrieve a session."""
    return sessions.retrieve_session(app, request.caller, request.ids["session_id"])


def update_session(app: App, request: Request[NoQuery, UpdateSession]) -> Session:
    """Update a session: what is omitted stays."""
    session_id = request.ids["session_id"]
    return session_updates.update_session(app, request.caller, session_id, request.body)


def archive_session(app: App, request: Request[NoQuery, NoBody]) -> Session:
    """Archive a session that does not run, for good; its history stays."""
    return sessions.archive_session(app, request.caller, request.ids["session_id"])


def delete_session(app: App, request: Request[NoQuery, NoBody]) -> DeletedSession:
    """Delete a session that does not run, and everything it made."""
    return sessions.delete_session(app, request.caller, request.ids["session_id"])


OPERATIONS = (
    Operation("POST", "/v1/sessions", create_session, is_repeatable=True),
    Operation("GET", "/v1/sessions", list_sessions, counts_as="read"),
    Operation("GET", "/v1/sessions/<session_id>", retrieve_session, counts_as="read"),
    Operation("POST", "/v1/sessions/<session_id>", update_session),
    Operation("POST", "/v1/sessions/<session_id>/archive", archive_session),
    Operation("DELETE", "/v1/sessions/<session_id>", delete_session),
)
