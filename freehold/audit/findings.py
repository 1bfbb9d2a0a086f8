"""What an audit finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["edited", "deleted", "reordered", "truncated", "rewritten"]
"""`edited`: bytes that are not those their hash or their successor names, or are nothing any more.
`deleted`: a commit, a thread or a blob is gone from within, or a session is that is listed.
`reordered`: whole commits stand in other places. `truncated`: the end is gone. `rewritten`: a chain
that holds in itself and is not the one that was sealed, that another thread names, or that was
exported.
"""


@dataclass(frozen=True, slots=True)
class Damage:
    """`version` counts the commits of the thread from 0; null where it is about no single one.
    `thread_id` is the session's id where it is about no single thread.
    """

    kind: Kind
    thread_id: str
    version: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Erasure:
    """Content that was lawfully erased: the event, the commit it stood in, and the one that records
    it.
    """

    event_id: str
    thread_id: str
    version: int
    recorded_by: int
    at: str
    actor: str


@dataclass(frozen=True, slots=True)
class ThreadFindings:
    """`hash` is of the last commit, hexadecimal; `sealed` the version that the seal is of. Commits
    behind it are held by the chain and the head alone.
    """

    thread_id: str
    commits: int
    events: int
    hash: str
    sealed: int | None
    erasures: tuple[Erasure, ...]
    damage: tuple[Damage, ...]


@dataclass(frozen=True, slots=True)
class SessionFindings:
    """Of every thread, the primary first. `damage` is what no single thread shows."""

    session_id: str
    workspace_id: str
    threads: tuple[ThreadFindings, ...]
    damage: tuple[Damage, ...]

    @property
    def all_damage(self) -> tuple[Damage, ...]:
        return tuple(d for thread in self.threads for d in thread.damage) + self.damage
