"""The items the log's decisions rest on: session counters, thread heads, claims. Values only.

Each has `to_item` and `from_item`; reading is lenient: an older item gains new fields with their
defaults, and a newer one is read without what this release does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from freehold.domain.entry import BEGINNING, Place
from freehold.ports import known

Status = Literal[
    "idle", "running", "rescheduling", "requires_action", "budget_reached", "terminated"
]
BUSY: tuple[Status, ...] = ("running", "rescheduling")

UseState = Literal["allow", "ask", "started", "done"]


@dataclass(frozen=True, slots=True)
class Pending:
    """An accepted client event that no claim has stamped. `seq` is where its first sighting
    stands.
    """

    event_id: str
    type: str
    seq: int

    @property
    def is_interrupt(self) -> bool:
        return self.type == "user.interrupt"

    @property
    def is_system_message(self) -> bool:
        """It asks for no reply: it waits for input that does."""
        return self.type == "system.message"


@dataclass(frozen=True, slots=True)
class Use:
    """A tool use of the last reply. `done` = answered; it stays until a claim has read the
    answers. A `custom` one asks for its result, any other for a confirmation.
    """

    event_id: str
    seq: int
    name: str
    state: UseState
    boot: str | None = None
    custom: bool = False

    @property
    def is_runnable(self) -> bool:
        return self.state in ("allow", "started")


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a thread's log and everything its next transaction is decided on. `version` is the
    condition.
    """

    thread_id: str
    parent_id: str | None
    agent_name: str
    created_at: str
    status: Status = "idle"
    epoch: int = 0
    leg: int = 0
    gen: int = 0
    pending: tuple[Pending, ...] = ()
    taken: tuple[str, ...] = ()
    uses: tuple[Use, ...] = ()
    span: str | None = None
    replies: int = 0
    turns: int = 0
    retries: int = 0
    rounds: int = 0
    context: int = 0
    """Tokens of the last request and its reply; 0 where the conversation has changed since."""
    is_full: bool = False
    """The model refused the last request as too long, and there is something to summarize."""
    compactions: int = 0
    """Since the last reply, or since the run began."""
    begins: Place = BEGINNING
    """What a turn needs of the feed begins here."""
    version: int = 0
    next_seq: int = 1
    chain: bytes = b""
    last_at: str = ""
    updated_at: str = ""
    running_since: str | None = None
    active_us: int = 0
    usage: Mapping[str, int] = field(default_factory=dict)
    used: bool = False
    archived_at: str | None = None
    seal: Mapping[str, object] | None = None

    @property
    def is_busy(self) -> bool:
        return self.status in BUSY

    @property
    def is_runnable(self) -> bool:
        """Calls are permitted and unanswered: RunTools has work."""
        return any(use.is_runnable for use in self.uses)

    @property
    def is_blocked(self) -> bool:
        """Nothing is left to run and somebody must answer."""
        return any(use.state == "ask" for use in self.uses) and not self.is_runnable

    @property
    def has_unread_input(self) -> bool:
        """`uses` counts: an answer processed on receipt stands there alone. System messages alone
        do not.
        """
        return bool(self.taken or self.uses or self.has_queued_work)

    @property
    def has_queued_work(self) -> bool:
        """Something waits that is to be answered."""
        return any(not pending.is_system_message for pending in self.pending)

    @property
    def has_interrupt(self) -> bool:
        return any(pending.is_interrupt for pending in self.pending)

    def to_item(self) -> dict[str, object]:
        item = _attributes(self)
        item["pending"] = [_attributes(pending) for pending in self.pending]
        item["uses"] = [_attributes(use) for use in self.uses]
        item["begins"] = _attributes(self.begins)
        if self.is_busy:
            item["due"] = f"busy/{self.updated_at}"
        return item

    @classmethod
    def from_item(cls, item: Mapping[str, object]) -> Head:
        head = known(cls, item)
        head["pending"] = tuple(Pending(**known(Pending, p)) for p in head["pending"])
        head["uses"] = tuple(Use(**known(Use, u)) for u in head["uses"])
        if "begins" in head:
            head["begins"] = Place(**known(Place, head["begins"]))
        head["taken"] = tuple(head["taken"])
        return cls(**head)


@dataclass(frozen=True, slots=True)
class SessionState:
    """Counters of a session. Fields in `ADDED` only ever grow by increments and need no
    condition.

    `spend`, `cap` and `time_rate`, the price of a microsecond, are in units of `money`; `spend`
    holds the running time up to `running_since`. `unpriced` is a model without a list price that
    answered, `paused_day` the day at whose cap of the workspace threads paused.
    """

    primary_id: str
    threads: int = 1
    running: int = 0
    asks: int = 0
    asked: tuple[str, ...] = ()
    spend: int = 0
    cap: int | None = None
    time_rate: int = 200
    unpriced: str | None = None
    paused_day: str | None = None
    gen: int = 0
    dead: bool = False
    todo: bool = False
    rescheduled: bool = False
    archived_at: str | None = None
    updated_at: str = ""
    running_since: str | None = None
    active_us: int = 0
    threads_active_us: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_5m: int = 0
    cache_creation_1h: int = 0
    web_searches: int = 0

    def to_item(self) -> dict[str, object]:
        return _attributes(self)

    def due(self, at: str) -> str | None:
        """The session's entry in the sparse index: a tombstone waits for its purge, an unfinished
        operation for its end, what paused for a day for the next.
        """
        if self.dead:
            return f"purge/{at}"
        if self.todo:
            return f"todo/{at}"
        return f"day/{self.paused_day}" if self.paused_day else None

    @classmethod
    def from_item(cls, item: Mapping[str, object]) -> SessionState:
        state = known(cls, item)
        state["asked"] = tuple(state.get("asked", ()))
        return cls(**state)


TOKENS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_5m",
    "cache_creation_1h",
)
ADDED = frozenset({"spend", "threads_active_us", "web_searches", *TOKENS})


@dataclass(frozen=True, slots=True)
class Claim:
    """Who may write for a running thread. Absent item = nobody. `until` is a timestamp."""

    holder: str
    epoch: int
    leg: int
    turn: int
    until: str

    def has_lapsed(self, now: str) -> bool:
        return now > self.until

    def to_item(self) -> dict[str, object]:
        return _attributes(self)

    @classmethod
    def from_item(cls, item: Mapping[str, object]) -> Claim:
        return cls(**known(cls, item))


def _attributes(value: object) -> dict[str, object]:
    """Field by field, shallow, tuples as lists: what an item can hold."""
    found = ((name, getattr(value, name)) for name in value.__slots__)  # type: ignore[attr-defined]
    return {name: list(v) if isinstance(v, tuple) else v for name, v in found}
