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

from freehold.bodies import MAX_ITEM, Bodies, dump, pointed_to
from freehold.domain.checkpoint import CHECKPOINT
from freehold.domain.draft import Draft
from freehold.domain.entry import ERASED
from freehold.domain.erasure import erased_event, erased_private
from freehold.engine.commit import Transaction, perform
from freehold.errors import InvalidRequest, NotFound
from freehold.ports import Condition, Write, every_item

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from freehold.domain.draft import Snapshot
    from freehold.domain.entry import Entry
    from freehold.keys import Key, SessionKey
    from freehold.ports import App
    from freehold.toolset import JsonObject

_ACTOR = "operator"
_RESTING = ("idle", "terminated", "budget_reached")
_MOST_COPIES = 4
"""In one transaction, of which items of 300 KB may be many."""


@dataclass(frozen=True, slots=True)
class Erased:
    """`commits` is how many held its content; 0 where it had been erased before."""

    event_id: str
    commits: int


def erase_event(app: App, key: SessionKey, event_id: str) -> Erased:
    """Erases every sighting of the event, in every thread, its blobs, what checkpoints repeat of an
    operator's words, and answers kept for repeated requests. Safe to repeat.

    Raises NotFound, and InvalidRequest for an event without content or a session that runs or waits
    for an answer: the model would be shown a turn without its thoughts.
    """
    commits, is_done = 0, False
    while not is_done:
        erased, is_done = _erase_some(app, key, event_id)
        commits += erased
    return Erased(event_id, commits)


def _erase_some(app: App, key: SessionKey, event_id: str) -> tuple[int, bool]:
    """One transaction: how many commits it erased, and whether that was all. Copies go first: who
    repeats this after a crash knows them by the event.
    """
    blobs: list[str] = []
    is_done = False

    def plan(draft: Draft) -> int:
        nonlocal is_done
        _require_rest(draft)
        found = _found(app, key, event_id, draft)
        copies = [sighting for sighting in found if sighting.is_copy][:_MOST_COPIES]
        is_done = not copies
        left = [sighting for sighting in copies or found if sighting.has_content]
        answers, shown = _answers(app, key, event_id) if left and is_done else ([], [])
        draft.extra += answers
        blobs[:] = [
            name
            for sighting in copies or found
            for name in sighting.erase(draft, Bodies(app.blobs), shown)
        ]
        return len(left)

    def landed(_: Snapshot, found: Sequence[Entry]) -> int:
        return sum(map(_recorded, found))

    transaction = Transaction(key, "", actor=_ACTOR, plan=plan, landed=landed, every=True)
    erased = perform(app, transaction).answer
    for name in blobs:
        app.blobs.delete(name)
    return erased, is_done


def _require_rest(draft: Draft) -> None:
    if draft.session.dead:
        raise NotFound(f"Session {draft.snapshot.key.session_id} not found.")
    draft.need("running", "asks")
    for head in draft.heads.values():
        if head.status not in _RESTING:
            raise InvalidRequest(
                f"{head.thread_id} is {head.status}: interrupt the session first, then erase."
            )


def _found(app: App, key: SessionKey, event_id: str, draft: Draft) -> list[_Sighting]:
    """Every commit with the event or a copy. Raises NotFound, InvalidRequest."""
    found = [s for thread in draft.heads for s in _sightings(app, key, thread, event_id)]
    if not found:
        raise NotFound(f"There is no event {event_id} in {key.session_id}.")
    if not any(sighting.has_content or sighting.was_erased for sighting in found):
        raise InvalidRequest(f"{event_id} has no content that could be erased.")
    return found


class _Sighting:
    """A commit that holds the event, or a copy of what it says, and what an erasure leaves of
    it.
    """

    def __init__(
        self,
        key: SessionKey,
        thread_id: str,
        place: Key,
        item: Any,
        event: JsonObject,
        bodies: Mapping[int, JsonObject],
    ) -> None:
        """`bodies` are the event's, by their place in the commit, read through pointers; none in a
        commit that only repeats its words.
        """
        self._event = event
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
    def is_copy(self) -> bool:
        return not self._bodies

    @property
    def has_content(self) -> bool:
        return self.is_copy or any(erased_event(b) != b for b in self._bodies.values())

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
        after = erased_private(before, self._event)
        private: bytes = self._item["private"]
        if after != before:
            gone += _names(self._key, pointer)
            private = dump(after)
            if len(events) + len(private) > MAX_ITEM:
                private = blobs.point_to(self._key, self._thread_id, private)
        self._record(draft, events, private, gone)
        return gone

    def _record(self, draft: Draft, events: bytes, private: bytes, gone: list[str]) -> None:
        item = {**self._item, "events": events, "private": private}
        item[ERASED] = {**self._kept, "blobs": gone}
        unchanged = Condition("hash", "==", self._item["hash"], "commit as read")
        draft.extra.append(Write(self._place, put=item, conditions=(unchanged,)))
        record = {
            "version": self._item["version"],
            "event_id": self._event["id"],
            "left_events": _digest(events),
            "left_private": _digest(private),
        }
        draft.note(self._thread_id, ERASED, [*(draft.noted(self._thread_id, ERASED) or ()), record])


def _names(key: SessionKey, body: JsonObject) -> list[str]:
    name = pointed_to(key, body)
    return [] if name is None else [name]


def _sightings(app: App, key: SessionKey, thread_id: str, event_id: str) -> Iterator[_Sighting]:
    """Oldest first: copies stand behind what they are of."""
    blobs, event = Bodies(app.blobs), None
    feed: Iterator[tuple[Key, Any]] = every_item(app.records, key.feed(thread_id))
    for place, item in feed:
        events = (blobs.resolve(key, event)[0] for event in json.loads(item["events"]))
        found = {n: body for n, body in enumerate(events) if body.get("id") == event_id}
        event = next(iter(found.values()), event)
        if event is None:
            continue
        if found or _repeats(blobs.resolve(key, json.loads(item["private"]))[0], event):
            yield _Sighting(key, thread_id, place, item, event, found)


def _repeats(private: JsonObject, event: JsonObject) -> bool:
    return CHECKPOINT in private and erased_private(private, event) != private


def _answers(app: App, key: SessionKey, event_id: str) -> tuple[list[Write], list[str]]:
    """Drops answers under an `Idempotency-Key` that show the event: a repeat is told that it is
    gone. And their blobs.
    """
    found, blobs = [], []
    kept: Iterator[tuple[Key, Any]] = every_item(app.records, key.partition, prefix="answer/")
    for place, item in kept:
        name = item["blob"]
        body = item["doc"] if name is None else app.blobs.get(name)
        if event_id.encode() in body:
            found.append(Write(place, delete=True))
            blobs += [name] if name else []
    return found, blobs


def _recorded(entry: Entry) -> int:
    records = entry.private.get(ERASED)
    return len(records) if isinstance(records, list) else 0


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
