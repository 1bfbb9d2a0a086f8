"""Judges one thread by its bytes: the chain, the seal, and that what is gone was erased on record.

Pure: the store's items in, findings out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from freehold.audit.commits import StoredCommit, read_commit
from freehold.audit.findings import Damage, Erasure, Kind, ThreadFindings
from freehold.domain import chain
from freehold.domain.session import Head

if TYPE_CHECKING:
    from freehold.toolset import JsonObject

_BUSY = ("session.thread_status_running", "session.thread_status_rescheduled")
_IDLE = ("session.thread_status_idle", "session.thread_status_terminated")
_REST = 10**12
"""More commits than a thread has."""


@dataclass(slots=True)
class Thread:
    """One thread under judgement; `add` its commits in the order of the store, then `judge`."""

    session_id: str
    thread_id: str
    commits: dict[int, StoredCommit] = field(default_factory=dict)
    _damage: list[Damage] = field(default_factory=list)
    _unreadable: int = 0

    def add(self, place: str, item: Mapping[str, Any]) -> None:
        commit = read_commit(place, item)
        if commit is None:
            self._unreadable += 1
            self._find("edited", None, f"what lies at {place} is no commit any more")
            return
        if not commit.holds:
            self._find("edited", commit.version, "its bytes are not those that its hash names")
        elif not commit.belongs_here:
            self._find("reordered", commit.version, f"it lies at {place}")
        if commit.version in self.commits:
            self._find("edited", commit.version, f"a second commit of this number lies at {place}")
        self.commits.setdefault(commit.version, commit)

    def forget_from(self, version: int) -> None:
        """What was committed since the head was read."""
        self.commits = {v: commit for v, commit in self.commits.items() if v < version}

    def give_up(self, place: str) -> None:
        """What follows this sort key cannot be read at all."""
        self._unreadable += _REST
        behind = f"behind {place}" if place else "at its beginning"
        self._find("edited", None, f"what lies {behind} cannot be read")

    def judge(
        self, head: Head | None, mac: Callable[[bytes], bytes], *, is_edited: bool = False
    ) -> ThreadFindings:
        """`mac` makes the seal of a message with the installation's key. Without a head the end of
        the thread cannot be told; `is_edited`: there is one that is none any more.
        """
        self._judge_chain()
        if is_edited:
            self._find("edited", None, "its head is none any more")
        elif head is None:
            self._find("deleted", None, "its head is gone")
        else:
            self._judge_head(head)
            self._judge_seal(head, mac)
        erasures = self._judge_erasures(head)
        last = self.commits[max(self.commits)] if self.commits else None
        return ThreadFindings(
            thread_id=self.thread_id,
            commits=len(self.commits),
            events=sum(commit.n for commit in self.commits.values()),
            hash=last.hash.hex() if last else "",
            sealed=_sealed(head),
            erasures=erasures,
            damage=tuple(self._damage),
        )

    def _find(self, kind: Kind, version: int | None, detail: str) -> None:
        self._damage.append(Damage(kind, self.thread_id, version, detail))

    # ------------------------------------------------------------ the chain
    def _judge_chain(self) -> None:
        """Each commit names the one before it, from the genesis on, without a gap."""
        before: StoredCommit | None = None
        for version in sorted(self.commits):
            commit = self.commits[version]
            expected = before.version + 1 if before else 0
            if version > expected:
                self._missing(expected, version)
            elif before is None:
                genesis = chain.genesis(self.session_id, self.thread_id)
                if commit.holds and commit.prev_hash != genesis:
                    self._find("edited", version, "it does not begin this thread of this session")
            elif before.holds and commit.holds and commit.prev_hash != before.hash:
                text = "it hashes to itself, and its successor names another commit"
                self._find("edited", before.version, text)
            before = commit

    def _missing(self, start: int, end: int) -> None:
        """A commit that cannot be read is a gap of its own, and was told of."""
        if end - start <= self._unreadable:
            return
        span = f"{start}" if end - start == 1 else f"{start} to {end - 1}"
        self._find("deleted", start, f"commit {span} is gone")

    def _judge_head(self, head: Head) -> None:
        last = max(self.commits, default=-1)
        if last < head.version - 1 - self._unreadable:
            end = f"the feed ends at {last}, and the head stands behind {head.version - 1}"
            self._find("truncated", last + 1, end)
        elif last > head.version - 1:
            behind = f"the head stands behind {head.version - 1}, and the feed goes on to {last}"
            self._find("edited", head.version, behind)
        elif last == head.version - 1 and last >= 0 and self.commits[last].hash != head.chain:
            self._find("rewritten", last, "the head names another commit as the last one")

    # ------------------------------------------------------------ the seal
    def _judge_seal(self, head: Head, mac: Callable[[bytes], bytes]) -> None:
        """A chain can be computed anew by anybody, a seal with the installation's key alone."""
        settled = self._last_settle()
        seal: Any = head.seal
        if seal is None:
            if settled is not None:
                self._find("rewritten", settled, "the thread settled, and its seal is gone")
            return
        version, digest = seal["version"], bytes(seal["hash"])
        if bytes(seal["mac"]) != mac(chain.seal_message(self.thread_id, version, digest)):
            self._find("rewritten", version, "the seal was not made with this installation's key")
        elif version > max(self.commits, default=-1):
            if head.version - 1 < version:  # else the head has told of it
                self._find("truncated", version, f"commit {version} was sealed and is gone")
        elif version in self.commits and self.commits[version].hash != digest:
            self._find("rewritten", version, "the commit that was sealed is another one")
        elif settled is not None and settled > version:
            text = f"the thread settled here, and the seal is of commit {version}"
            self._find("rewritten", settled, text)

    def _last_settle(self) -> int | None:
        """The last commit that found the thread busy and left it idle: each of those seals."""
        is_busy, settled = False, None
        for version in sorted(self.commits):
            was_busy = is_busy
            for event in self.commits[version].events:
                if event.get("session_thread_id") != self.thread_id:
                    continue
                if event.get("type") in _BUSY:
                    is_busy = True
                elif event.get("type") in _IDLE:
                    is_busy = False
            if was_busy and not is_busy:
                settled = version
        return settled

    # ------------------------------------------------------------ erasures
    def _judge_erasures(self, head: Head | None) -> tuple[Erasure, ...]:
        """Content may be gone only where a later, sealed commit records it, with what was left."""
        records: dict[int, tuple[StoredCommit, JsonObject]] = {}
        found = []
        for version in sorted(self.commits):
            commit = self.commits[version]
            for record in _records(commit):
                erased = int(str(record["version"]))
                records[erased] = (commit, record)
                found.append(_erasure(self.thread_id, commit, record))
        for version, commit in sorted(self.commits.items()):
            if not commit.is_erased:
                if version in records:
                    self._find("edited", version, "content that was erased is back")
                continue
            by, record = records.get(version, (None, {}))
            sealed = _sealed(head)
            if by is None:
                self._find("edited", version, "content is gone without a record of its erasure")
            elif (record.get("left_events"), record.get("left_private")) != commit.digests:
                self._find("edited", version, "what an erasure left was changed since")
            elif sealed is None or sealed < by.version:
                self._find("rewritten", by.version, "the record of an erasure is not sealed")
        return tuple(found)


def read_head(item: Mapping[str, Any]) -> Head | None:
    """None for an item that is no head any more."""
    try:
        head = Head.from_item(item)
        seal: Any = head.seal
        is_one = isinstance(head.version, int) and isinstance(head.chain, bytes)
        if seal is not None:
            is_one = is_one and isinstance(seal["version"], int)
            is_one = is_one and all(isinstance(seal[name], bytes) for name in ("hash", "mac"))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return head if is_one else None


def _records(commit: StoredCommit) -> Iterable[JsonObject]:
    found = commit.private.get("erased")
    return [r for r in found if isinstance(r, dict)] if isinstance(found, list) else ()


def _erasure(thread_id: str, commit: StoredCommit, record: JsonObject) -> Erasure:
    version = int(str(record["version"]))
    event_id = str(record["event_id"])
    return Erasure(event_id, thread_id, version, commit.version, commit.at, commit.actor)


def _sealed(head: Head | None) -> int | None:
    seal: Any = head.seal if head else None
    return None if seal is None else int(seal["version"])
