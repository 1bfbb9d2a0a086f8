"""Events of a session: send and list (BEHAVIOUR 5.7, 6.4). The stream is `functions/stream`."""

from __future__ import annotations

from freehold.ports import App
from freehold.services import events
from freehold.wire.event_input import SendEvents
from freehold.wire.lists import EventList, EventPage, SentEvents
from functions.api.operation import NoBody, NoQuery, Operation, Request


def send_events(app: App, request: Request[NoQuery, SendEvents]) -> SentEvents:
    """Send events to a session: all of them or none."""
    session_id = request.ids["session_id"]
    return events.send_events(app, request.caller, session_id, request.body, request.once)


def list_events(app: App, request: Request[EventList, NoBody]) -> EventPage:
    """List the events of a session, oldest first unless asked otherwise."""
    return events.list_events(app, request.caller, request.ids["session_id"], request.query)


OPERATIONS = (
    Operation(
        "POST",
        "/v1/sessions/<session_id>/events",
        send_events,
        is_repeatable=True,
        counts_as=None,
    ),
    Operation("GET", "/v1/sessions/<session_id>/events", list_events, counts_as="read"),
)
