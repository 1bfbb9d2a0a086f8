"""Sessions of every workspace of a store, as an operator reads them."""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from freehold.cli.terminal import CommandFailed, complain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from freehold.domain.draft import Snapshot
    from freehold.domain.entry import StoredEvent
    from freehold.domain.session import SessionState
    from freehold.keys import SessionKey
    from freehold.ports import App, Records
    from freehold.views.summary import Summary
    from freehold.views.thread_log import ThreadLog

NOT_FOUND = 2
"""Exit code."""
_BATCH = 100
_DAMAGE = (AttributeError, KeyError, TypeError, ValueError)
"""What reading an item raises that somebody has changed."""
_ATTEMPTS = 3
_LOOK_SECONDS = 0.5
_LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Filters of a list. `agent` is an id or a name; `since` a timestamp of the last action."""

    status: str | None = None
    agent: str | None = None
    since: str | None = None

    def admits(self, found: Summary) -> bool:
        return (
            self.status in (None, found.status)
            and self.agent in (None, found.agent_id, found.agent_name)
            and (self.since is None or found.last_at >= self.since)
        )


def workspaces(records: Records) -> list[str]:
    """Ids of all that have or had a key; the one of a configured key first."""
    from freehold.services import keys  # noqa: PLC0415 - few commands pay

    made = (key.workspace_id for key in keys.list_keys(records))
    return list(dict.fromkeys([keys.DEFAULT_WORKSPACE_ID, *made]))


def places_of(app: App, session_id: str) -> list[SessionKey]:
    """Where a session of this id may be: in any workspace."""
    from freehold.ids import is_id  # noqa: PLC0415 - few commands pay
    from freehold.keys import SessionKey  # noqa: PLC0415 - as above

    if not is_id("sesn", session_id):
        return []
    return [SessionKey(workspace_id, session_id) for workspace_id in workspaces(app.records)]


def not_found(session_id: str) -> CommandFailed:
    return CommandFailed(f"there is no session {session_id}", exit_code=NOT_FOUND)


def locate_stored(app: App, session_id: str) -> SessionKey:
    """The session's key, whatever its log is like. Raises CommandFailed, exit code 2."""
    for key in places_of(app, session_id):
        try:
            (state,) = app.records.get([key.state()])
            if state is not None and not state["dead"]:
                return key
        except _DAMAGE as damage:
            raise _damaged(session_id) from damage
    raise not_found(session_id)


def _damaged(session_id: str) -> CommandFailed:
    return CommandFailed(f"{session_id} cannot be read: freehold audit verify {session_id}")


def locate(app: App, session_id: str) -> tuple[SessionKey, Snapshot]:
    """The session with all of its threads. Raises CommandFailed, exit code 2."""
    key = locate_stored(app, session_id)
    try:
        return key, app.log.read(key, every=True)
    except _DAMAGE as damage:
        raise _damaged(session_id) from damage


def read_threads(app: App, key: SessionKey, snapshot: Snapshot) -> list[ThreadLog]:
    """The log of every thread, the primary first. Raises CommandFailed for one that cannot be
    read.
    """
    from freehold.views.thread_log import ThreadLog  # noqa: PLC0415 - few commands pay

    heads = sorted(snapshot.heads.values(), key=lambda h: (h.parent_id is not None, h.thread_id))
    found = []
    for head in heads:
        for attempt in range(_ATTEMPTS):
            try:
                entries = app.log.history(key, head.thread_id)
            except (LookupError, ValueError) as damage:
                if attempt + 1 < _ATTEMPTS:
                    continue  # pages that were read while it grew may lack a commit
                raise CommandFailed(
                    f"the log of {head.thread_id} cannot be read:"
                    f" freehold audit verify {key.session_id}"
                ) from damage
            found.append(ThreadLog(head.thread_id, head.parent_id, head.agent_name, entries))
            break
    return found


def list_sessions(app: App, wanted: Wanted, limit: int) -> list[Summary]:
    """Newest first."""
    walks = [_walk(app, workspace_id) for workspace_id in workspaces(app.records)]
    merged = heapq.merge(*walks, key=lambda found: found.id, reverse=True)
    return list(islice((found for found in merged if wanted.admits(found)), limit))


def every_session(app: App) -> list[SessionKey]:
    """Those that are listed, by workspace and newest first, whatever their items are like."""
    return [
        place
        for workspace_id in workspaces(app.records)
        for batch in _places(app, workspace_id)
        for place in batch
    ]


def _places(app: App, workspace_id: str) -> Iterator[list[SessionKey]]:
    from freehold import keys  # noqa: PLC0415 - few commands pay
    from freehold.keys import SessionKey  # noqa: PLC0415 - as above

    more, before = True, ""
    while more:
        page = app.records.query(
            keys.collection(workspace_id, "sessions"), before=before, limit=_BATCH, reverse=True
        )
        yield [SessionKey(workspace_id, key.sk) for key, _ in page.items]
        more, before = page.more, page.items[-1][0].sk if page.items else ""


def _states(app: App, places: Sequence[SessionKey]) -> list[SessionState | None]:
    from freehold.domain.session import SessionState  # noqa: PLC0415 - few commands pay

    items = app.records.get([key.state() for key in places]) if places else []
    return [None if item is None else SessionState.from_item(item) for item in items]


def _walk(app: App, workspace_id: str) -> Iterator[Summary]:
    """Without those that cannot be read, each of which is complained of."""
    for places in _places(app, workspace_id):
        try:
            found = _summaries(app, places)
        except _DAMAGE:
            found = [summary for place in places for summary in _readable(app, place)]
        yield from found


def _readable(app: App, place: SessionKey) -> list[Summary]:
    try:
        return _summaries(app, [place])
    except _DAMAGE:
        complain(str(_damaged(place.session_id)))
        return []


def _summaries(app: App, places: Sequence[SessionKey]) -> list[Summary]:
    """Of those that are still there."""
    from freehold.domain.session import Head  # noqa: PLC0415 - few commands pay
    from freehold.services.session_view import status_of  # noqa: PLC0415 - as above
    from freehold.session_doc import parse_doc  # noqa: PLC0415 - as above
    from freehold.views.summary import summary_of  # noqa: PLC0415 - as above

    states = zip(places, _states(app, places), strict=True)
    alive = {key: state for key, state in states if state is not None and not state.dead}
    heads = app.records.get([k.head(s.primary_id) for k, s in alive.items()]) if alive else []
    docs = app.records.get([k.doc() for k in alive]) if alive else []
    found = []
    for (key, state), head, doc in zip(alive.items(), heads, docs, strict=True):
        if head is not None and doc is not None:
            primary = Head.from_item(head)
            shown = parse_doc(app.blobs, doc).doc
            status = status_of(state, primary)
            found.append(summary_of(key.workspace_id, shown, state, primary, status, app.clock()))
    return found


def follow(app: App, key: SessionKey, thread_id: str, after: int) -> Iterator[StoredEvent]:
    """Events above a sequence number, each once and in order, as they come; ends when the session
    is deleted. A store that does not answer is asked again.
    """
    from freehold.errors import NotFound, Unavailable  # noqa: PLC0415 - few commands pay

    pause = _LOOK_SECONDS
    while True:
        try:
            for event in app.log.scan(key, thread_id, beyond=after):
                yield event
                after = event.seq
            if app.log.read(key).session.dead:
                return
            pause = _LOOK_SECONDS
        except NotFound:
            return
        except Unavailable as failed:
            pause = min(_LONGEST_PAUSE, pause * 2)
            complain(f"{failed.message} Asking again in {pause:.0f} s, after {after}.")
        time.sleep(pause)
