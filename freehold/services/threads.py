"""Threads of a session (BEHAVIOUR 12.1)."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from freehold.domain import accounting
from freehold.domain.draft import Snapshot
from freehold.domain.session import Head
from freehold.errors import InvalidRequest, NotFound
from freehold.ids import is_id, parse_timestamp
from freehold.keys import SessionKey
from freehold.ports import App
from freehold.services.events import page_of
from freehold.services.keys import Caller
from freehold.services.paging import Cursor
from freehold.services.sessions import locate_session
from freehold.session_doc import read_doc
from freehold.wire.lists import EventList, EventPage, ThreadEventList, ThreadList, ThreadPage
from freehold.wire.sessions import SessionAgent
from freehold.wire.threads import (
    SessionThread,
    SessionThreadAgent,
    SessionThreadStats,
    SessionThreadStatus,
    SessionThreadUsage,
)


def locate_thread(
    app: App, caller: Caller, session_id: str, thread_id: str | None
) -> tuple[SessionKey, str, Head]:
    """The thread's key, id and head; None asks for the primary. Raises NotFound, InvalidRequest for
    a malformed id.
    """
    key, snapshot = locate_session(app, caller, session_id)
    wanted = thread_id or snapshot.session.primary_id
    return key, wanted, _head(app, key, snapshot, wanted)


def _head(app: App, key: SessionKey, snapshot: Snapshot, thread_id: str) -> Head:
    if not is_id("sthr", thread_id):
        raise InvalidRequest("Invalid thread ID.")
    if thread_id in snapshot.heads:
        return snapshot.heads[thread_id]
    found = app.log.read(key, thread_id).heads.get(thread_id)
    if found is None:
        raise NotFound(f"Thread {thread_id} not found.")
    return found


def list_threads(app: App, caller: Caller, session_id: str, query: ThreadList) -> ThreadPage:
    """Every thread, oldest first, the primary among them. Raises InvalidRequest, NotFound."""
    cursor = Cursor.parse(query.page, order="asc", is_position=partial(is_id, "sthr"))
    key, _ = locate_session(app, caller, session_id)
    snapshot = app.log.read(key, every=True)
    agent = read_doc(app.records, app.blobs, key).doc.agent
    heads = sorted(snapshot.heads.values(), key=lambda head: head.thread_id)
    threads = [render(app, key, head, agent) for head in heads]
    admitted = [t for t in threads if t.id > cursor.position and query.admits(t)]
    page = admitted[: query.limit]
    next_page = Cursor(page[-1].id, "asc").text() if len(admitted) > len(page) else None
    return ThreadPage(data=page, next_page=next_page)


def retrieve_thread(app: App, caller: Caller, session_id: str, thread_id: str) -> SessionThread:
    """Raises NotFound, InvalidRequest for a malformed id."""
    key, _, head = locate_thread(app, caller, session_id, thread_id)
    agent = read_doc(app.records, app.blobs, key).doc.agent
    return render(app, key, head, agent)


def list_thread_events(
    app: App, caller: Caller, session_id: str, thread_id: str, query: ThreadEventList
) -> EventPage:
    """A page of one thread's feed, oldest first. Raises NotFound, InvalidRequest."""
    key, thread_id, _ = locate_thread(app, caller, session_id, thread_id)
    snapshot = app.log.read(key, thread_id)
    events = EventList(limit=query.limit, page=query.page)
    return page_of(app, key, snapshot, thread_id, events)


def render(app: App, key: SessionKey, head: Head, agent: SessionAgent) -> SessionThread:
    """The thread as the API shows it. `stats` is null until it first ran, `usage` until it first
    idled (BEHAVIOUR 0).
    """
    now = app.clock()
    has_idled = head.used and head.seal is not None
    return SessionThread(
        id=head.thread_id,
        session_id=key.session_id,
        parent_thread_id=head.parent_id,
        agent=SessionThreadAgent.of(agent),
        status=_status(head),
        usage=accounting.usage_of_thread(head, now, SessionThreadUsage) if has_idled else None,
        stats=_stats(head, now) if head.used else None,
        workflow_run_id=None,
        created_at=head.created_at,
        updated_at=head.updated_at,
        archived_at=head.archived_at,
    )


def _status(head: Head) -> SessionThreadStatus:
    """Parked and paused threads are idle to a client."""
    if head.status == "requires_action" or head.status == "budget_reached":  # noqa: PLR1714 - narrows the type
        return "idle"
    return head.status


def _stats(head: Head, now: datetime) -> SessionThreadStats:
    end = parse_timestamp(head.archived_at) if head.archived_at else now
    lived = (end - parse_timestamp(head.created_at)).total_seconds()
    return SessionThreadStats(
        active_seconds=accounting.active_seconds(head, now),
        duration_seconds=max(0.0, lived),
        startup_seconds=0.0,
    )
