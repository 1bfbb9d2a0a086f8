"""One transaction being composed from one read. Everything a decision rests on becomes a
condition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from freehold.domain.session import ADDED, Claim, Head, SessionState
from freehold.ids import later, new_id, timestamp
from freehold.keys import SessionKey
from freehold.ports import Condition, Write
from freehold.toolset import JsonObject
from freehold.wire.base import WireModel


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read: the session's counters, the heads and claims of the threads concerned.

    A thread that was looked for and does not exist is absent from `heads`; a thread without a claim
    from `claims`.
    """

    key: SessionKey
    session: SessionState
    heads: Mapping[str, Head]
    claims: Mapping[str, Claim] = field(default_factory=dict)

    @property
    def primary(self) -> Head:
        return self.heads[self.session.primary_id]


@dataclass(frozen=True, slots=True)
class DraftEntry:
    """The commit of one thread before it is serialised: `head` is the head after it."""

    thread_id: str
    events: tuple[WireModel | JsonObject, ...]
    private: JsonObject
    head: Head


class Draft:
    """Collects events and changes; `entries` and `writes` are what the store gets.

    `inputs` are the bodies of queued events that this transaction may stamp, by id. Session fields
    in `session.ADDED` become increments, other changed fields are set. `commit_id` names the whole
    transaction, in every feed it touches.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        commit_id: str,
        actor: str,
        now: datetime,
        inputs: Mapping[str, JsonObject] | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.inputs = dict(inputs or {})
        self.commit_id = commit_id
        self.actor = actor
        self.now = now
        self.at = timestamp(now)
        self.session = snapshot.session
        self.heads = dict(snapshot.heads)
        self.claims: dict[str, Claim | None] = dict(snapshot.claims)
        self.extra: list[Write] = []
        self._events: dict[str, list[WireModel | JsonObject]] = {}
        self._private: dict[str, JsonObject] = {}
        self._needs: dict[str, Condition] = {}
        self._claim_conditions: dict[str, list[Condition]] = {}

    @property
    def primary(self) -> Head:
        """The session's first thread, as this transaction leaves it."""
        return self.heads[self.session.primary_id]

    # ------------------------------------------------------------ conditions
    def need(self, *names: str) -> None:
        """The decision rests on these fields of the session as read."""
        for name in names:
            value = getattr(self.snapshot.session, name)
            stored = list(value) if isinstance(value, tuple) else value
            self._needs[name] = Condition(name, "==", stored, f"session.{name} as read")

    def need_spend_below(self, amount: int) -> None:
        """What is booked is less than this when the transaction is applied."""
        self._needs["spend"] = Condition("spend", "<", amount, "spend below the cap")

    def fence(self, thread_id: str, holder: str) -> None:
        """Only the holder of the thread's claim may write."""
        self._claim_conditions.setdefault(thread_id, []).append(
            Condition("holder", "==", holder, "claim still held")
        )

    def need_claim_as_read(self, thread_id: str) -> None:
        """The claim is the one that was read, not renewed since."""
        claim = self.snapshot.claims.get(thread_id)
        conditions = self._claim_conditions.setdefault(thread_id, [])
        holder = claim.holder if claim else None
        conditions.append(Condition("holder", "==", holder, "claim as read"))
        if claim:
            conditions.append(Condition("until", "==", claim.until, "claim not renewed"))

    # ------------------------------------------------------------ changes
    def set(self, thread_id: str, **changes: Any) -> None:
        """Changes fields of a head. A thread that is set gets a commit, with or without events."""
        self.heads[thread_id] = replace(self.heads[thread_id], **changes)
        self._events.setdefault(thread_id, [])

    def set_session(self, **changes: Any) -> None:
        self.session = replace(self.session, **changes)

    def born(self, head: Head) -> None:
        """A thread that begins with this transaction."""
        self.heads[head.thread_id] = head
        self._events.setdefault(head.thread_id, [])

    def stamp(self, thread_id: str) -> str:
        """The next `processed_at` of the feed: later than every one before it."""
        at = timestamp(later(self.now, self.heads[thread_id].last_at))
        self.set(thread_id, last_at=at)
        return at

    def emit(self, thread_id: str, kind: Callable[..., WireModel], **values: Any) -> str:
        """Appends an event of the server, processed as it is emitted. Returns its id."""
        event_id = values.pop("id", None) or new_id("sevt")
        at = self.stamp(thread_id)
        self._events[thread_id].append(kind(id=event_id, processed_at=at, **values))
        return event_id

    def add(self, thread_id: str, event: WireModel | JsonObject) -> int:
        """Appends an event as it is. Returns its sequence number."""
        events = self._events.setdefault(thread_id, [])
        events.append(event)
        return self.heads[thread_id].next_seq + len(events) - 1

    def seq_of_next(self, thread_id: str) -> int:
        return self.heads[thread_id].next_seq + len(self._events.get(thread_id, []))

    def note(self, thread_id: str, name: str, value: Any) -> None:
        """Adds to the private half of the commit, which never reaches the wire."""
        self._events.setdefault(thread_id, [])
        self._private.setdefault(thread_id, {})[name] = value

    def note_one(self, thread_id: str, name: str, value: Any) -> None:
        """Adds one more to a list in the private half."""
        noted = self._private.get(thread_id, {}).get(name, [])
        assert isinstance(noted, list)
        self.note(thread_id, name, [*noted, value])

    def noted(self, thread_id: str, name: str) -> Any:
        """What was noted under that name; None where nothing was."""
        return self._private.get(thread_id, {}).get(name)

    # ------------------------------------------------------------ the result
    @property
    def touched(self) -> tuple[str, ...]:
        return tuple(sorted(self._events))

    def entries(self) -> list[DraftEntry]:
        """One commit a touched thread, with the head that follows it except `chain`, which needs
        the stored bytes.
        """
        result = []
        for thread_id in self.touched:
            events = tuple(self._events[thread_id])
            head = self.heads[thread_id]
            after = replace(
                head,
                version=head.version + 1,
                next_seq=head.next_seq + len(events),
                updated_at=self.at,
            )
            private = self._private.get(thread_id, {})
            result.append(DraftEntry(thread_id, events, private, after))
        return result

    def session_write(self) -> Write:
        """The session's item: changed fields, increments, and the conditions of every decision."""
        before = self.snapshot.session
        changed: dict[str, Any] = {}
        added: dict[str, int] = {}
        for name in SessionState.__slots__:
            old, new = getattr(before, name), getattr(self.session, name)
            if old == new:
                continue
            if name in ADDED:
                added[name] = new - old
            else:
                changed[name] = list(new) if isinstance(new, tuple) else new
        if changed or added:
            changed["updated_at"] = self.at
        if {"todo", "dead", "paused_day"} & set(changed):
            changed["due"] = self.session.due(self.at)
        alive = (
            Condition("", "exists", reason="session exists"),
            Condition("dead", "==", value=False, reason="session not deleted"),
        )
        conditions = (*alive, *self._needs.values())
        return Write(self.snapshot.key.state(), set=changed, add=added, conditions=conditions)

    def claim_writes(self) -> list[Write]:
        """Claims taken, kept or cleared, each under its conditions."""
        writes = []
        for thread_id in {*self._claim_conditions, *self.claims, *self.snapshot.claims}:
            new, old = self.claims.get(thread_id), self.snapshot.claims.get(thread_id)
            conditions = tuple(self._claim_conditions.get(thread_id, ()))
            key = self.snapshot.key.claim(thread_id)
            if new == old:
                if conditions:
                    writes.append(Write(key, conditions=conditions))
            elif new is None:
                writes.append(Write(key, delete=True, conditions=conditions))
            else:
                writes.append(Write(key, put=new.to_item(), conditions=conditions))  # type: ignore[arg-type]
        return writes
