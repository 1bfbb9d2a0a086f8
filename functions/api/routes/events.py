"""Events of a session: send and list (BEHAVIOUR 5.7, 6.4). The stream is `functions/stream`."""

from __future__ import annotations

from freehold.ports import App
from freehold.services import events
from freehold.wire.event_input import SendEvents
from freehold.wire.lists import EventList, EventPage, SentEvents
from freehold.wire.parsing import parse_body
from functions.api.operation import Operation, Request


def _send(app: App, request: Request) -> SentEvents:
    request.refuse_query()
    body = parse_body(SendEvents, request.body)
    return events.send_events(app, request.caller, request.ids["session_id"], body)


def _list(app: App, request: Request) -> EventPage:
    query = EventList.from_query(request.query)
    return events.list_events(app, request.caller, request.ids["session_id"], query)


OPERATIONS = (
    Operation("POST", "/v1/sessions/<session_id>/events", _send),
    Operation("GET", "/v1/sessions/<session_id>/events", _list),
)
