"""Threads of a session (BEHAVIOUR 12.1)."""

from __future__ import annotations

from freehold.ports import App
from freehold.services import threads
from freehold.wire.lists import EventPage, ThreadEventList, ThreadList, ThreadPage
from freehold.wire.threads import SessionThread
from functions.api.operation import Operation, Request


def _list(app: App, request: Request) -> ThreadPage:
    query = ThreadList.from_query(request.query)
    return threads.list_threads(app, request.caller, request.ids["session_id"], query)


def _retrieve(app: App, request: Request) -> SessionThread:
    request.refuse_query()
    session_id, thread_id = request.ids["session_id"], request.ids["thread_id"]
    return threads.retrieve_thread(app, request.caller, session_id, thread_id)


def _events(app: App, request: Request) -> EventPage:
    query = ThreadEventList.from_query(request.query)
    session_id, thread_id = request.ids["session_id"], request.ids["thread_id"]
    return threads.list_thread_events(app, request.caller, session_id, thread_id, query)


OPERATIONS = (
    Operation("GET", "/v1/sessions/<session_id>/threads", _list),
    Operation("GET", "/v1/sessions/<session_id>/threads/<thread_id>", _retrieve),
    Operation("GET", "/v1/sessions/<session_id>/threads/<thread_id>/events", _events),
)
