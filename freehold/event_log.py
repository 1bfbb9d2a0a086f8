"""The log of a session over `Records` and `Blobs`: snapshots, commits, entries. The protocol itself
is in `domain/`.

Bodies that would push an item over `MAX_ITEM` bytes go to `Blobs` first, payload before pointer;
the hash covers the bytes as stored, pointers included.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from freehold import keys
from freehold.bodies import POINTER, Bodies
from freehold.domain import chain
from freehold.domain.draft import Draft, DraftEntry, Snapshot
from freehold.domain.entry import (
    BEGINNING,
    CROSSED,
    ERASED,
    VERSION,
    Entry,
    Place,
    StoredEvent,
    check_version,
)
from freehold.domain.session import Claim, Head, SessionState
from freehold.errors import NotFound
from freehold.history_cache import HistoryCache
from freehold.keys import Key, SessionKey
from freehold.ports import Blobs, Condition, Item, Records, Secrets, Value, Write
from freehold.toolset import JsonObject

_PAGE = 200


class EventLog:
    """Reads and writes feeds. Every write is one transaction composed by a `Draft`."""

    def __init__(self, records: Records, blobs: Blobs, secrets: Secrets) -> None:
        self._records = records
        self._bodies = Bodies(blobs)
        self._secrets = secrets
        self._histories = HistoryCache()

    # ------------------------------------------------------------ snapshots
    def read(self, key: SessionKey, thread_id: str = "", *, every: bool = False) -> Snapshot:
        """The session, the thread (default: the primary) and the primary; `every` = all threads.

        Raises NotFound for a session that is not there. A deleted one is returned with
        `session.dead` set.
        """
        wanted = [key.state()]
        if thread_id:
            wanted += [key.head(thread_id), key.claim(thread_id)]
        found = self._records.get(wanted)
        if found[0] is None:
            raise NotFound(f"Session {key.session_id} not found.")
        session = SessionState.from_item(found[0])
        if every or session.threads > 1 or not thread_id:
            return self._read_threads(key, session, thread_id or session.primary_id, every=every)
        return _snapshot(key, session, found[1:2], {thread_id: found[2]})

    def _read_threads(
        self, key: SessionKey, session: SessionState, thread_id: str, *, every: bool
    ) -> Snapshot:
        """The rest of a snapshot where more than one thread may matter."""
        if every and session.threads > 1:
            page = self._records.query(key.partition, prefix="thread/")
            heads = [item for k, item in page.items if k.sk.endswith("/head")]
            claim = next((i for k, i in page.items if k == key.claim(thread_id)), None)
            return _snapshot(key, session, heads, {thread_id: claim})
        threads = dict.fromkeys((thread_id, session.primary_id))
        found = self._records.get([*(key.head(t) for t in threads), key.claim(thread_id)])
        return _snapshot(key, session, found[:-1], {thread_id: found[-1]})

    # ------------------------------------------------------------ commits
    def commit(self, draft: Draft) -> None:
        """Writes the draft. Raises StaleRead or AmbiguousWrite; see `engine.commit.perform` for the
        loop around it.
        """
        writes = self._commit_writes(draft)
        self._records.write([*writes, draft.session_write(), *draft.claim_writes(), *draft.extra])

    def creation(self, draft: Draft) -> list[Write]:
        """The first commit of a session, as writes that are stale once it exists."""
        writes = self._commit_writes(draft)
        absent = (Condition("", "absent", reason="session is new"),)
        state = Write(draft.snapshot.key.state(), put=draft.session.to_item(), conditions=absent)  # type: ignore[arg-type]
        return [*writes, state, *draft.extra]

    def create(self, draft: Draft) -> None:
        """Writes it. Raises StaleRead, AmbiguousWrite."""
        self._records.write(self.creation(draft))

    def _commit_writes(self, draft: Draft) -> list[Write]:
        """A commit a thread. The primary's, last, names those of its children beside it, so that a
        child's chain cannot be replaced without the primary's (DESIGN 4).
        """
        primary = draft.session.primary_id
        writes: list[Write] = []
        crossed: JsonObject = {}
        for entry in sorted(draft.entries(), key=lambda e: e.thread_id == primary):
            named = replace(entry, private={**entry.private, CROSSED: crossed})
            made = self._entry_writes(
                draft, named if crossed and entry.thread_id == primary else entry
            )
            item: Any = made[0].put
            crossed[entry.thread_id] = {"version": item["version"], "hash": item["hash"].hex()}
            writes += made
        return writes

    def _entry_writes(self, draft: Draft, entry: DraftEntry) -> list[Write]:
        """The commit's item and the head that points behind it."""
        key, thread_id = draft.snapshot.key, entry.thread_id
        before = draft.snapshot.heads.get(thread_id)
        version, first_seq = entry.head.version - 1, entry.head.next_seq - len(entry.events)
        previous = before.chain if before else chain.genesis(key.session_id, thread_id)
        events, private = self._bodies.of_commit(key, entry)
        header: dict[str, Value] = {
            "v": VERSION,
            "version": version,
            "first_seq": first_seq,
            "n": len(entry.events),
            "at": draft.at,
            "actor": draft.actor,
            "commit_id": draft.commit_id,
        }
        digest = chain.commit_hash(previous, header, events, private)
        head = replace(entry.head, chain=digest)
        if (before and before.is_busy and not head.is_busy) or ERASED in entry.private:
            head = replace(head, seal=self._seal(thread_id, version, digest))
        unchanged = (
            Condition("version", "==", before.version, "head as read")
            if before
            else Condition("", "absent", reason="thread is new")
        )
        item: Item = {
            **header,
            "prev_hash": previous,
            "hash": digest,
            "events": events,
            "private": private,
        }
        place = Key(key.feed(thread_id), keys.entry(first_seq, version))
        return [
            Write(
                place, put=item, conditions=(Condition("", "absent", reason="position is free"),)
            ),
            Write(key.head(thread_id), put=head.to_item(), conditions=(unchanged,)),  # type: ignore[arg-type]
        ]

    def _seal(self, thread_id: str, version: int, digest: bytes) -> dict[str, Any]:
        """A keyed mark of the chain's end, so that a truncation or a rewritten suffix is found."""
        message = chain.seal_message(thread_id, version, digest)
        mac = self._secrets.mac(chain.SEAL, message)
        return {"version": version, "hash": digest, "mac": mac}

    # ------------------------------------------------------------ entries
    def entries(
        self,
        key: SessionKey,
        thread_id: str,
        *,
        after: str = "",
        before: str = "",
        limit: int = 1000,
        reverse: bool = False,
    ) -> tuple[list[Entry], bool]:
        """Commits between two sort keys, and whether more follow."""
        page = self._records.query(
            key.feed(thread_id), after=after, before=before, limit=limit, reverse=reverse
        )
        return [self._entry(key, item) for _, item in page.items], page.more

    def history(self, key: SessionKey, thread_id: str, start: Place = BEGINNING) -> list[Entry]:
        """The feed from the commit at `start` on, oldest first; only what is new is read.

        A query is not one snapshot: a commit can be missed whose successor is seen, and the hole
        would stay. Raises LookupError where one shows.
        """
        feed = key.feed(thread_id)
        known = self._histories.get(feed, start.version)
        after = known[-1].sort_key if known else keys.before_entry(start.seq, start.version)
        found: list[Entry] = []
        more = True
        while more:
            batch, more = self.entries(key, thread_id, after=after)
            found += batch
            after = batch[-1].sort_key if batch else after
        if known and any(ERASED in entry.private for entry in found):
            self.forget(key, thread_id)  # what is kept was read before the erasure
            return self.history(key, thread_id, start)
        if found:
            known = [*known, *found]
            if known[-1].version != start.version + len(known) - 1:
                raise LookupError(f"the feed of {thread_id} was read with a hole")
            self._histories.put(feed, known)
        return known

    def forget(self, key: SessionKey, thread_id: str) -> None:
        """Drops what is kept of a feed that is being erased."""
        self._histories.forget(key.feed(thread_id))

    def scan(
        self, key: SessionKey, thread_id: str, *, beyond: int, reverse: bool = False
    ) -> Iterator[StoredEvent]:
        """Events above (`reverse`: below) a sequence number, in that order, read page by page as
        they are taken.
        """
        feed, at, more = key.feed(thread_id), "", True
        if reverse:
            at = keys.entry(beyond, 0)
        elif beyond:
            # The commit that holds the next event may begin before it.
            upto = keys.entry(beyond + 1, 10**12 - 1)
            start = self._records.query(feed, before=upto, limit=1, reverse=True).items
            for _, item in start:
                yield from (e for e in self._entry(key, item).sequenced if e.seq > beyond)
            at = start[0][0].sk if start else ""
        while more:
            before, after = (at, "") if reverse else ("", at)
            page = self._records.query(
                feed, before=before, after=after, limit=_PAGE, reverse=reverse
            )
            for place, item in page.items:
                at = place.sk
                events = self._entry(key, item).sequenced
                yield from reversed([e for e in events if e.seq < beyond]) if reverse else events
            more = page.more

    def events_after(
        self, key: SessionKey, thread_id: str, after_seq: int, limit: int = 200
    ) -> list[StoredEvent]:
        """At most `limit` events with a sequence number above `after_seq`, in order. Consistent."""
        return list(islice(self.scan(key, thread_id, beyond=after_seq), limit))

    def find_commit(
        self, key: SessionKey, thread_id: str, commit_id: str, since: int
    ) -> Entry | None:
        """The commit of that id among those of version `since` and later."""
        found, more = self.entries(key, thread_id, reverse=True, limit=50)
        while found:
            for entry in found:
                if entry.commit_id == commit_id:
                    return entry
                if entry.version < since:
                    return None
            if not more:
                return None
            last = found[-1].sort_key
            found, more = self.entries(key, thread_id, before=last, reverse=True, limit=50)
        return None

    # ------------------------------------------------------------ bytes
    def _entry(self, key: SessionKey, item: Item) -> Entry:
        """An item of any version so far as an `Entry`. Raises NewerStore."""
        stored: Any = item
        check_version(stored["v"])
        events, size = json.loads(stored["events"]), len(stored["events"]) + len(stored["private"])
        if POINTER.encode() in stored["events"]:
            resolved = [self._bodies.resolve(key, event) for event in events]
            events, size = [body for body, _ in resolved], size + sum(n for _, n in resolved)
        private, large = self._bodies.resolve(key, json.loads(stored["private"]))
        return Entry(
            version=stored["version"],
            first_seq=stored["first_seq"],
            at=stored["at"],
            actor=stored["actor"],
            commit_id=stored["commit_id"],
            prev_hash=stored["prev_hash"],
            hash=stored["hash"],
            events=tuple(events),
            private=private,
            size=size + large,
        )


def _snapshot(
    key: SessionKey,
    session: SessionState,
    heads: Sequence[Item | None],
    claims: dict[str, Item | None],
) -> Snapshot:
    found = [Head.from_item(item) for item in heads if item is not None]
    return Snapshot(
        key,
        session,
        {head.thread_id: head for head in found},
        {t: Claim.from_item(item) for t, item in claims.items() if item is not None},
    )
