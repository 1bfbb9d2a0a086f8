"""Events of a session: send and list (BEHAVIOUR 5.7, 6.4)."""

from __future__ import annotations

from collections.abc import Sequence

from freehold.domain import append
from freehold.domain.draft import Draft, Snapshot
from freehold.domain.entry import Entry, StoredEvent
from freehold.engine.commit import Done, Transaction, perform
from freehold.errors import InvalidRequest, NotFound
from freehold.keys import SessionKey
from freehold.ports import App
from freehold.services.keys import Caller
from freehold.services.paging import Cursor
from freehold.services.sessions import locate_session
from freehold.toolset import JsonObject
from freehold.wire.event_input import SendEvents
from freehold.wire.events import Event
from freehold.wire.lists import EventList, EventPage, SentEvents


def send_events(app: App, caller: Caller, session_id: str, request: SendEvents) -> SentEvents:
    """Accepts the request whole or refuses it whole; what it answers is durable, and the thread is
    awake.

    Raises InvalidRequest, NotFound.
    """
    key, _ = locate_session(app, caller, session_id)
    events = [event.accepted() for event in request.events]
    done = _append(app, caller, key, events)
    while not done.answer:  # an unresolved interrupt was resolved first: judge the request again
        _start_runs(app, done)
        done = _append(app, caller, key, events)
    _start_runs(app, done)
    stored = _stored(done)
    return SentEvents(data=[stored.get(event.id) or event.model_dump() for event in events])


def _append(app: App, caller: Caller, key: SessionKey, events: Sequence[Event]) -> Done[bool]:
    ids = {event.id for event in events}

    def plan(draft: Draft) -> bool:
        if draft.session.dead:
            raise NotFound(f"Session {key.session_id} not found.")
        return append.append_events(draft, events)

    def landed(_: Snapshot, found: Sequence[Entry]) -> bool:
        """False where what landed was the resolution of an interrupt, without the request."""
        return any(event["id"] in ids for entry in found for event in entry.events)

    return perform(
        app,
        Transaction(key, "", actor=caller.key_id, plan=plan, landed=landed, every=True),
    )


def _start_runs(app: App, done: Done[bool]) -> None:
    """For latency; the store's stream and the sweep start what this misses."""
    for run in done.runs():
        app.runs.start(run)


def _stored(done: Done[bool]) -> dict[str, JsonObject]:
    """The events as they were written, by id; the last sighting of each."""
    if done.entries:
        return {str(e["id"]): e for entry in done.entries for e in entry.events}
    found: dict[str, JsonObject] = {}
    for entry in done.draft.entries():
        for event in entry.events:
            body = event if isinstance(event, dict) else event.model_dump()
            found[str(body["id"])] = body
    return found


def list_events(app: App, caller: Caller, session_id: str, query: EventList) -> EventPage:
    """A page of the session's history: the primary thread's feed. Raises InvalidRequest,
    NotFound.
    """
    key, snapshot = locate_session(app, caller, session_id)
    return page_of(app, key, snapshot, snapshot.session.primary_id, query)


def page_of(
    app: App, key: SessionKey, snapshot: Snapshot, thread_id: str, query: EventList
) -> EventPage:
    """Events in feed order, as of the snapshot.

    A queued event shows unstamped only while it is queued; afterwards at its stamped place.
    """
    reverse = query.order == "desc"
    head = snapshot.heads[thread_id]
    queued = {pending.event_id for pending in head.pending}
    cursor = Cursor.parse(query.page, order=query.order)
    beyond = require_position(cursor.position) if cursor.position else None
    if reverse:
        beyond = head.next_seq if beyond is None else min(beyond, head.next_seq)
    found: list[StoredEvent] = []
    for event in app.log.scan(key, thread_id, beyond=beyond or 0, reverse=reverse):
        if event.seq >= head.next_seq:
            break
        if _is_shown(event.body, queued) and query.admits(event.body):
            found.append(event)
        if len(found) > query.limit:
            break
    page = found[: query.limit]
    next_page = Cursor(str(page[-1].seq), query.order).text() if len(found) > len(page) else None
    return EventPage(data=[event.body for event in page], next_page=next_page)


def _is_shown(body: JsonObject, queued: set[str]) -> bool:
    """Everything stamped; an unstamped sighting only while its event waits."""
    return body.get("processed_at") is not None or body["id"] in queued


def require_position(text: str) -> int:
    """A sequence number from a cursor. Raises InvalidRequest."""
    if not text.isdecimal():
        raise InvalidRequest("Invalid `page` cursor.")
    return int(text)
