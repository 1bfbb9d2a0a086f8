"""The list of sessions (BEHAVIOUR 5.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from freehold import keys
from freehold.domain.session import Head, SessionState
from freehold.errors import InvalidRequest
from freehold.ids import is_id
from freehold.keys import Key, SessionKey
from freehold.ports import App, Item
from freehold.services.keys import Caller
from freehold.services.paging import Collection, walk
from freehold.services.session_view import render, status_of
from freehold.session_doc import parse_doc
from freehold.wire.sessions import Session, SessionList, SessionPage


def list_sessions(app: App, caller: Caller, query: SessionList) -> SessionPage:
    """One page in the order asked; archived ones only when asked for.

    Of the filters, the sessions of one agent, deployment or memory store and the time of creation
    are index rows; status and archival are read from each session: a page reads the store at most
    48 times, however many sessions there are. Raises InvalidRequest for a bad cursor or id.
    """
    rows = Collection(_partition(caller, query), "sesn")

    def picks(row: Item) -> bool:
        return query.agent_version is None or row.get("agent_version") in (
            None,
            query.agent_version,
        )

    found = walk(
        app.records,
        rows,
        rows.cursor(query.page, order=query.order, both_ways=True),
        limit=query.limit,
        load=lambda ids: _listed(app, caller, ids, query),
        created=query,
        picks=picks,
    )
    return SessionPage(data=found.items, next_page=found.next_page, prev_page=found.prev_page)


def _partition(caller: Caller, query: SessionList) -> str:
    """The index rows that the query needs to look at; the narrowest, where it names several."""
    for kind, prefix, owner_id in (
        ("deployment", "depl", query.deployment_id),
        ("memory_store", "memstore", query.memory_store_id),
        ("agent", "agent", query.agent_id),
    ):
        if owner_id is None:
            continue
        if not is_id(prefix, owner_id):
            raise InvalidRequest(f"Invalid {kind.replace('_', ' ')} ID.")
        return keys.sessions_by(caller.workspace_id, kind, owner_id)
    return keys.collection(caller.workspace_id, "sessions")


def _listed(
    app: App, caller: Caller, ids: Sequence[str], query: SessionList
) -> list[Session | None]:
    """The sessions, None for those the filters leave out and those deleted since the index was
    read. Three reads: what decides comes first, what may be large last.
    """
    places = [SessionKey(caller.workspace_id, session_id) for session_id in ids]
    states = {
        key: state
        for key, item in _read(app, places, SessionKey.state)
        if not (state := SessionState.from_item(item)).dead
        and (query.include_archived or state.archived_at is None)
    }
    primaries = {
        key: head
        for key, item in _read(app, states, lambda key: key.head(states[key].primary_id))
        if (head := Head.from_item(item))
        and (query.statuses is None or status_of(states[key], head) in query.statuses)
    }
    shown = {
        key.session_id: render(app, parse_doc(app.blobs, item).doc, states[key], primaries[key])
        for key, item in _read(app, primaries, SessionKey.doc)
    }
    found = [shown.get(session_id) for session_id in ids]
    return [session if session and query.admits(session) else None for session in found]


def _read(
    app: App, places: Iterable[SessionKey], part: Callable[[SessionKey], Key]
) -> list[tuple[SessionKey, Item]]:
    """One item of each session, where it is still there."""
    known = list(places)
    items = app.records.get([part(key) for key in known]) if known else []
    return [(key, item) for key, item in zip(known, items, strict=True) if item is not None]
