"""Erases an event's content for good: what the log is for stays, what somebody said goes.

The bytes are replaced by what `domain.erasure` leaves, and the commit keeps the digests of what was
there, so that the chain verifies. A further commit of the feed records the erasure with the digests
of what was left, and is sealed: content that is gone without such a record is damage.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freehold.bodies import Bodies, dump, pointed_to
from freehold.domain.draft import Draft
from freehold.domain.entry import ERASED
from freehold.domain.erasure import erased_event, erased_private
from freehold.engine.commit import Transaction, perform
from freehold.errors import InvalidRequest, NotFound
from freehold.ports import Condition, Write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from freehold.domain.entry import Entry
    from freehold.keys import Key, SessionKey
    from freehold.ports import App
    from freehold.toolset import JsonObject

_ACTOR = "operator"
_RESTING = ("idle", "terminated", "budget_reached")


@dataclass(frozen=True, slots=True)
class Erased:
    """`commits` is how many sightings of the event were erased; 0 where they had been before."""

    event_id: str
    commits: int


def erase_event(app: App, key: SessionKey, event_id: str) -> Erased:
    """Erases every sighting of the event, in every thread, its blobs, and answers kept for repeated
    requests. Safe to repeat.

    Raises NotFound, and InvalidRequest for an event without content or a session that runs or waits
    for an answer: the model would be shown a turn without its thoughts.
    """
    blobs: list[str] = []

    def plan(draft: Draft) -> Erased:
        blobs.clear()
        _require_rest(draft)
        sightings = [s for thread in draft.heads for s in _sightings(app, key, thread, event_id)]
        if not sightings:
            raise NotFound(f"There is no event {event_id} in {key.session_id}.")
        left = [sighting for sighting in sightings if sighting.has_content]
        if not left and not any(sighting.was_erased for sighting in sightings):
            raise InvalidRequest(f"{event_id} has no content that could be erased.")
        answers, shown = _answers(app, key, event_id)
        draft.extra += answers if left else ()
        for sighting in sightings:
            blobs.extend(sighting.erase(draft, Bodies(app.blobs), shown))
        return Erased(event_id, len(left))

    done = perform(
        app,
        Transaction(
            key,
            "",
            actor=_ACTOR,
            plan=plan,
            landed=lambda _, found: Erased(event_id, sum(map(_recorded, found))),
            every=True,
        ),
    )
    for name in blobs:
        app.blobs.delete(name)
    return done.answer


def _require_rest(draft: Draft) -> None:
    if draft.session.dead:
        raise NotFound(f"Session {draft.snapshot.key.session_id} not found.")
    draft.need("running", "asks")
    for head in draft.heads.values():
        if head.status not in _RESTING:
            raise InvalidRequest(
                f"{head.thread_id} is {head.status}: interrupt the session first, then erase."
            )


class _Sighting:
    """A commit that holds the event, and what an erasure leaves of it."""

    def __init__(
        self,
        key: SessionKey,
        thread_id: str,
        place: Key,
        item: Any,
        bodies: Mapping[int, JsonObject],
    ) -> None:
        """`bodies` are the event's, by their place in the commit, read through pointers."""
        self._thread_id = thread_id
        self._place = place
        self._item = item
        self._bodies = bodies
        self._stored: list[JsonObject] = json.loads(item["events"])
        self._kept: dict[str, Any] = item.get(ERASED) or {
            "events": _digest(item["events"]),
            "private": _digest(item["private"]),
            "blobs": [],
        }
        self._key = key

    @property
    def was_erased(self) -> bool:
        return ERASED in self._item

    @property
    def has_content(self) -> bool:
        return any(erased_event(body) != body for body in self._bodies.values())

    def erase(self, draft: Draft, blobs: Bodies, shown: Sequence[str]) -> list[str]:
        """Replaces the bodies and records it in the feed. Answers the blobs that are to go, those
        of an earlier erasure too, which may have died before; `shown` are others with the event.
        """
        gone: list[str] = [*self._kept["blobs"]]
        if not self.has_content:
            return gone
        gone += shown
        left = [*self._stored]
        for n, body in self._bodies.items():
            gone += _names(self._key, left[n])
            left[n] = erased_event(body)
        events = b"[" + b",".join(map(dump, left)) + b"]"
        pointer = json.loads(self._item["private"])
        before, _ = blobs.resolve(self._key, pointer)
        after = erased_private(before, next(iter(self._bodies.values())))
        private: bytes = self._item["private"]
        if after != before:
            gone += _names(self._key, pointer)
            private = dump(after)
        self._record(draft, events, private, gone)
        return gone

    def _record(self, draft: Draft, events: bytes, private: bytes, gone: list[str]) -> None:
        item = {**self._item, "events": events, "private": private}
        item[ERASED] = {**self._kept, "blobs": gone}
        unchanged = Condition("hash", "==", self._item["hash"], "commit as read")
        draft.extra.append(Write(self._place, put=item, conditions=(unchanged,)))
        record = {
            "version": self._item["version"],
            "event_id": next(iter(self._bodies.values()))["id"],
            "left_events": _digest(events),
            "left_private": _digest(private),
        }
        draft.note(self._thread_id, ERASED, [*(draft.noted(self._thread_id, ERASED) or ()), record])


def _names(key: SessionKey, body: JsonObject) -> list[str]:
    name = pointed_to(key, body)
    return [] if name is None else [name]


def _sightings(app: App, key: SessionKey, thread_id: str, event_id: str) -> Iterator[_Sighting]:
    blobs = Bodies(app.blobs)
    more, after = True, ""
    while more:
        page = app.records.query(key.feed(thread_id), after=after)
        more, after = page.more, page.items[-1][0].sk if page.items else ""
        for place, item in page.items:
            stored: Any = item
            events = (blobs.resolve(key, event)[0] for event in json.loads(stored["events"]))
            found = {n: body for n, body in enumerate(events) if body.get("id") == event_id}
            if found:
                yield _Sighting(key, thread_id, place, stored, found)


def _answers(app: App, key: SessionKey, event_id: str) -> tuple[list[Write], list[str]]:
    """Drops answers under an `Idempotency-Key` that show the event: a repeat is told that it is
    gone. And their blobs.
    """
    found, blobs = [], []
    page = app.records.query(key.partition, prefix="answer/")
    for place, item in page.items:
        stored: Any = item
        name = stored["blob"]
        body = stored["doc"] if name is None else app.blobs.get(name)
        if event_id.encode() in body:
            found.append(Write(place, delete=True))
            blobs += [name] if name else []
    return found, blobs


def _recorded(entry: Entry) -> int:
    records = entry.private.get(ERASED)
    return len(records) if isinstance(records, list) else 0


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
