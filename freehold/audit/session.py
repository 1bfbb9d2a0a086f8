"""Audits a session: each thread by itself, then what threads say of each other, then blobs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from freehold.audit.checkpoint import compare
from freehold.audit.commits import notes_of
from freehold.audit.findings import Damage, Kind, SessionFindings
from freehold.audit.verification import Thread, read_head
from freehold.bodies import Bodies, pointed_to
from freehold.domain import chain
from freehold.domain.entry import CROSSED
from freehold.domain.session import SessionState
from freehold.errors import NotFound
from freehold.keys import parse_head

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from freehold.audit.commits import StoredCommit
    from freehold.domain.session import Head
    from freehold.keys import SessionKey
    from freehold.ports import App
    from freehold.toolset import JsonObject


def verify_session(
    app: App, key: SessionKey, expected: Mapping[str, Any] | None = None
) -> SessionFindings:
    """Reads every commit once, and every blob that one names. `expected` is what a checkpoint has
    of the session. Raises NotFound for one that is not there, or was deleted.
    """
    primary_id, damage = _primary(app, key)
    heads, unread = _heads(app, key)
    damage += unread
    if primary_id is None:
        roots = (i for i, head in heads.items() if head is not None and head.parent_id is None)
        primary_id = next(roots, None)
    if primary_id is None:
        return SessionFindings(key.session_id, key.workspace_id, (), tuple(damage))
    ids = [primary_id, *sorted(set(heads) - {primary_id})]
    threads = {thread_id: _read(app, key, thread_id, heads.get(thread_id)) for thread_id in ids}

    def mac(message: bytes) -> bytes:
        return app.secrets.mac(chain.SEAL, message)

    edited = {i for i, head in heads.items() if head is None}
    found = tuple(threads[i].judge(heads.get(i), mac, is_edited=i in edited) for i in ids)
    audit = _Session(app, key, threads, primary_id)
    damage += (*audit.children(), *audit.blobs(), *compare(expected or {}, threads))
    return SessionFindings(key.session_id, key.workspace_id, found, tuple(damage))


def _primary(app: App, key: SessionKey) -> tuple[str | None, list[Damage]]:
    """The first thread, as the session's counters name it. A deletion takes the session from the
    list in the transaction that marks it, so that what is listed has counters.
    """

    def damaged(kind: Kind, detail: str) -> tuple[None, list[Damage]]:
        return None, [Damage(kind, key.session_id, None, detail)]

    try:
        (item,) = app.records.get([key.state()])
        state = None if item is None else SessionState.from_item(item)
    except (TypeError, ValueError):
        return damaged("edited", "its counters are none any more")
    if state is not None and not state.dead:
        return state.primary_id, []
    if app.records.get([key.index()]) == [None]:
        raise NotFound(f"Session {key.session_id} not found.")
    if state is None:
        return damaged("deleted", "its counters are gone, and it is still listed")
    return state.primary_id, damaged("edited", "it is marked as deleted, and still listed")[1]


def _heads(app: App, key: SessionKey) -> tuple[dict[str, Head | None], list[Damage]]:
    """By thread; None for an item that is no head any more."""
    found: dict[str, Head | None] = {}
    more, after = True, ""
    while more:
        try:
            page = app.records.query(key.partition, prefix="thread/", after=after)
        except ValueError:  # bytes of which the store makes no item
            return found, [Damage("edited", key.session_id, None, "its heads cannot be read")]
        more, after = page.more, page.items[-1][0].sk if page.items else ""
        for place, item in page.items:
            if place.sk.endswith("/head"):
                found[parse_head(place)[1]] = read_head(item)
    return found, []


def _read(app: App, key: SessionKey, thread_id: str, head: Head | None) -> Thread:
    """The thread as of its head: where that has moved on since, what came behind it is not judged.
    So a session may be verified that runs.
    """
    thread = Thread(key.session_id, thread_id)
    more, after = True, ""
    while more:
        try:
            page = app.records.query(key.feed(thread_id), after=after)
        except ValueError:  # bytes of which the store makes no item
            thread.give_up(after)
            break
        more, after = page.more, page.items[-1][0].sk if page.items else ""
        for place, item in page.items:
            thread.add(place.sk, item)
    last = max(thread.commits, default=-1)
    if head is not None and last >= head.version:
        now = read_head(app.records.get([key.head(thread_id)])[0] or {})
        if now is not None and last < now.version:
            thread.forget_from(head.version)
    return thread


class _Session:
    """What concerns more than one thread, and what lies beside the log."""

    def __init__(
        self, app: App, key: SessionKey, threads: Mapping[str, Thread], primary_id: str
    ) -> None:
        self._app = app
        self._key = key
        self._threads = threads
        self._primary_id = primary_id
        self._bodies = Bodies(app.blobs)

    def children(self) -> Iterator[Damage]:
        """Every child was announced and is there, and is the one that its parent saw: the primary
        names the commits of its children that were written with its own.
        """
        announced: set[str] = set()
        for commit in self._threads[self._primary_id].commits.values():
            for event in commit.events:
                if event.get("type") == "session.thread_created":
                    announced.add(str(event.get("session_thread_id")))
            yield from self._crossed(commit)
        for thread_id in sorted(announced - set(self._threads)):
            yield Damage("deleted", thread_id, None, "the thread was created and is gone")
        for thread_id in sorted(set(self._threads) - announced - {self._primary_id}):
            yield Damage("edited", thread_id, None, "no parent announced this thread")

    def _crossed(self, commit: StoredCommit) -> Iterator[Damage]:
        named: Any = self._private(commit).get(CROSSED, {})
        for thread_id, place in named.items():
            thread, version = self._threads.get(thread_id), place["version"]
            if thread is None:
                continue  # told of where it was announced
            there = thread.commits.get(version)
            if there is None:
                text = f"commit {commit.version} of the primary was written with it, and it is gone"
                yield Damage(_gone(thread, version), thread_id, version, text)
            elif there.hash.hex() != place["hash"]:
                text = f"commit {commit.version} of the primary names another one"
                yield Damage("rewritten", thread_id, version, text)

    def _private(self, commit: StoredCommit) -> JsonObject:
        try:
            return notes_of(self._bodies.resolve(self._key, commit.private)[0])
        except (KeyError, ValueError):
            return {}  # told of among the blobs

    def blobs(self) -> Iterator[Damage]:
        """A blob is named by its content."""
        for thread_id, thread in self._threads.items():
            for commit in thread.commits.values():
                for body in (*commit.events, commit.private):
                    name = pointed_to(self._key, body)
                    if name is not None:
                        yield from self._blob(thread_id, commit.version, name)

    def _blob(self, thread_id: str, version: int, name: str) -> Iterator[Damage]:
        try:
            content = self._app.blobs.get(name)
        except KeyError:
            yield Damage("deleted", thread_id, version, f"the blob {name} is gone")
            return
        if hashlib.sha256(content).hexdigest() != name.rpartition("/")[2]:
            yield Damage("edited", thread_id, version, f"the blob {name} has other content")


def _gone(thread: Thread, version: int) -> Any:
    """A commit that is missing behind the last one was cut off, one before it taken out."""
    return "truncated" if version > max(thread.commits, default=-1) else "deleted"
