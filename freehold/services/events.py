"""Events of a session: send and list (BEHAVIOUR 5.7, 6.4)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from freehold.domain import append
from freehold.domain.draft import Draft, Snapshot
from freehold.domain.entry import Entry, StoredEvent
from freehold.domain.session import Head
from freehold.engine.commit import Done, Transaction, perform
from freehold.errors import InvalidRequest, NotFound
from freehold.keys import SessionKey
from freehold.ports import App
from freehold.services.idempotency import Once
from freehold.services.keys import Caller
from freehold.services.paging import MAX_PAGE_BYTES, Cursor
from freehold.services.sessions import locate_session
from freehold.session_doc import read_doc
from freehold.toolset import JsonObject
from freehold.wire.base import WireModel
from freehold.wire.event_input import SendEvents
from freehold.wire.events import Event, SystemMessageEvent
from freehold.wire.lists import EventList, EventPage, SentEvents
from freehold.wire.system_turns import takes_system_turns

_NO_SYSTEM = "model_does_not_support_mid_conversation_system"
MAX_SCANNED = 10_000
"""Events that one page looks at, whatever its filters leave out. Where it ends for that, it may be
short or empty and still have a `next_page`."""
_PLACE = re.compile(r"[0-9]{1,12}\.[0-9]{1,12}\.[0-9]{1,12}~?")


def send_events(
    app: App,
    caller: Caller,
    session_id: str,
    request: SendEvents,
    once: Once | None = None,
) -> SentEvents:
    """Accepts the request whole or refuses it whole; what it answers is durable, and the thread is
    awake.

    Raises InvalidRequest, NotFound, Repeated.
    """
    key, _ = locate_session(app, caller, session_id)
    events = [event.accepted() for event in request.events]
    if any(isinstance(event, SystemMessageEvent) for event in events):
        _require_system_turns(app, key)
    done = _append(app, caller, key, events, once)
    while done.answer is None:  # an unresolved interrupt was resolved first: judge it again
        _start_runs(app, done)
        done = _append(app, caller, key, events, once)
    _start_runs(app, done)
    return done.answer


def _append(
    app: App, caller: Caller, key: SessionKey, events: Sequence[Event], once: Once | None
) -> Done[SentEvents | None]:
    """The answer is None where an interrupt was resolved instead."""

    def plan(draft: Draft) -> SentEvents | None:
        if once:
            once.open()
        if draft.session.dead:
            raise NotFound(f"Session {key.session_id} not found.")
        if not append.append_events(draft, events):
            return None
        sent = _sent(events, [e for entry in draft.entries() for e in entry.events])
        draft.extra += once.writes(key.partition, sent) if once else ()
        return sent

    def landed(_: Snapshot, found: Sequence[Entry]) -> SentEvents | None:
        """None where what landed was the resolution of an interrupt, without the request."""
        stored = [e for entry in found for e in entry.events]
        ids = {event.id for event in events}
        return _sent(events, stored) if any(e["id"] in ids for e in stored) else None

    return perform(
        app,
        Transaction(
            key,
            "",
            actor=caller.key_id,
            plan=plan,
            landed=landed,
            inputs=lambda snapshot: _system_messages(app, key, snapshot),
            every=True,
        ),
    )


def _system_messages(app: App, key: SessionKey, snapshot: Snapshot) -> dict[str, JsonObject]:
    """Bodies of the queued ones: a request that ends the turn they wait in stamps them."""
    head = snapshot.primary
    queued = [pending for pending in head.pending if pending.is_system_message]
    found = (app.log.events_after(key, head.thread_id, p.seq - 1, limit=1) for p in queued)
    return {str(event.body["id"]): event.body for events in found for event in events}


def _require_system_turns(app: App, key: SessionKey) -> None:
    """A session's model never changes, so this needs no condition."""
    model = read_doc(app.records, app.blobs, key).doc.agent.model.id
    if not takes_system_turns(model):
        raise InvalidRequest(
            f"system.message: {model} takes no system messages in mid-conversation ({_NO_SYSTEM})",
            details={"error_code": _NO_SYSTEM},
        )


def _sent(events: Sequence[Event], stored: Sequence[WireModel | JsonObject]) -> SentEvents:
    """The events as they were written, the last sighting of each; as sent where one was accepted
    and not recorded.
    """
    bodies = [e if isinstance(e, dict) else e.model_dump() for e in stored]
    found = {str(body["id"]): body for body in bodies}
    return SentEvents(data=[found.get(event.id) or event.model_dump() for event in events])


def _start_runs(app: App, done: Done[SentEvents | None]) -> None:
    """For latency; the store's stream and the sweep start what this misses."""
    for run in done.runs():
        app.runs.start(run)


def list_events(app: App, caller: Caller, session_id: str, query: EventList) -> EventPage:
    """A page of the session's history: the primary thread's feed. Raises InvalidRequest,
    NotFound.
    """
    key, snapshot = locate_session(app, caller, session_id)
    return page_of(app, key, snapshot, snapshot.session.primary_id, query)


def page_at(seq: int) -> str:
    """The `page` that begins with this event of a feed, whether it is queued or not."""
    return Cursor(_Place(seq - 1, seq, seq).text(seq - 1), "asc").text()


def page_of(
    app: App, key: SessionKey, snapshot: Snapshot, thread_id: str, query: EventList
) -> EventPage:
    """Events in feed order, as of the snapshot; a page ends at its limit, at 4 MB, or after
    `MAX_SCANNED` events.

    A queued event shows unstamped only while it is queued; afterwards at its stamped place. Newest
    first that place is behind the reader, so there what was queued is what was when the walk began.
    """
    reverse = query.order == "desc"
    head = snapshot.heads[thread_id]
    place = _place(app, key, thread_id, head, query)
    queue = place if reverse else _Place.before_all(head, query)
    beyond = min(place.seq, head.next_seq) if reverse else place.seq
    page: list[StoredEvent] = []
    size, seen, last = 0, 0, 0
    for event in app.log.scan(key, thread_id, beyond=beyond, reverse=reverse):
        if event.seq >= head.next_seq or query.is_passed(event.body):
            break
        is_wanted = queue.shows(event) and query.admits(event.body)
        cut = is_wanted and (len(page) >= query.limit or size > MAX_PAGE_BYTES)
        if cut or seen >= MAX_SCANNED:
            end = queue.text(page[-1].seq) if cut else queue.text(last, is_scanned=True)
            next_page = Cursor(end, query.order).text()
            return EventPage(data=[event.body for event in page], next_page=next_page)
        seen, last = seen + 1, event.seq
        if is_wanted:
            page.append(event)
            size += len(json.dumps(event.body))
    return EventPage(data=[event.body for event in page])


def _place(app: App, key: SessionKey, thread_id: str, head: Head, query: EventList) -> _Place:
    """Where the page begins. Raises InvalidRequest for a cursor that is none, and where the time
    bounds leave out the event it stands at.
    """
    cursor = Cursor.parse(query.page, order=query.order, is_position=_Place.is_one)
    if not cursor.position:
        return _Place.before_all(head, query)
    place = _Place.parse(cursor.position)
    if query.is_bounded and not place.is_scanned:
        for event in app.log.events_after(key, thread_id, place.seq - 1, limit=1):
            at = event.body.get("processed_at")
            if at is not None and not query.spans(str(at)):
                raise InvalidRequest(
                    "The `created_at` filter excludes the position of the `page` cursor."
                )
    return place


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page begins, and the first message and the first interrupt that wait (0 = none): the
    log takes all messages at once and all interrupts at once, so later ones wait too. `is_scanned`:
    the event there was looked at and left out.
    """

    seq: int
    messages: int
    interrupts: int
    is_scanned: bool = False

    @classmethod
    def before_all(cls, head: Head, query: EventList) -> _Place:
        messages = [p.seq for p in head.pending if not p.is_interrupt]
        interrupts = [p.seq for p in head.pending if p.is_interrupt]
        seq = head.next_seq if query.order == "desc" else 0
        return cls(seq, min(messages, default=0), min(interrupts, default=0))

    @staticmethod
    def is_one(text: str) -> bool:
        return _PLACE.fullmatch(text) is not None

    @classmethod
    def parse(cls, text: str) -> _Place:
        """Of a text that `is_one`."""
        seq, messages, interrupts = map(int, text.removesuffix("~").split("."))
        return cls(seq, messages, interrupts, text.endswith("~"))

    def text(self, seq: int, *, is_scanned: bool = False) -> str:
        """The place behind `seq` on the same walk."""
        return f"{seq}.{self.messages}.{self.interrupts}" + ("~" if is_scanned else "")

    def shows(self, event: StoredEvent) -> bool:
        """Everything stamped; an unstamped sighting only while its event waits."""
        if event.body.get("processed_at") is not None:
            return True
        is_interrupt = event.body["type"] == "user.interrupt"
        first = self.interrupts if is_interrupt else self.messages
        return 0 < first <= event.seq
