"""Threads of a session (BEHAVIOUR 12.1)."""

from __future__ import annotations

from freehold.ports import App
from freehold.services import threads
from freehold.wire.lists import EventPage, ThreadEventList, ThreadList, ThreadPage
from freehold.wire.threads import SessionThread
from functions.api.operation import NoBody, NoQuery, Operation, Request


def list_threads(app: App, request: Request[ThreadList, NoBody]) -> ThreadPage:
    """List the threads of a session, oldest first."""
    return threads.list_threads(app, request.caller, request.ids["session_id"], request.query)


def retrieve_thread(app: App, request: Request[NoQuery, NoBody]) -> SessionThread:
    """Retrieve a thread."""
    session_id, thread_id = request.ids["session_id"], request.ids["thread_id"]
    return threads.retrieve_thread(app, request.caller, session_id, thread_id)


def list_thread_events(app: App, request: Request[ThreadEventList, NoBody]) -> EventPage:
    """List the events of a thread, oldest first."""
    session_id, thread_id = request.ids["session_id"], request.ids["thread_id"]
    return threads.list_thread_events(app, request.caller, session_id, thread_id, request.query)


OPERATIONS = (
    Operation("GET", "/v1/sessions/<session_id>/threads", list_threads, counts_as="read"),
    Operation(
        "GET", "/v1/sessions/<session_id>/threads/<thread_id>", retrieve_thread, counts_as="read"
    ),
    Operation(
        "GET",
        "/v1/sessions/<session_id>/threads/<thread_id>/events",
        list_thread_events,
        counts_as="read",
    ),
)
