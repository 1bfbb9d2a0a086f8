"""One transaction at a time: a session put into a state, a plan composed on it, and what happens to
the store between the read and the write.

States are written as items, so that a test reaches those that need luck or a crash.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from freehold.domain.draft import Draft
from freehold.domain.session import Claim, Head, Pending, Use
from freehold.domain.step import Failure, Lease, Limits, Reply
from freehold.errors import ModelError, StaleRead
from freehold.ids import new_id, timestamp
from freehold.ports import Run, Usage, Write
from freehold.toolset import JsonObject
from freehold.wire.content import TextBlock
from freehold.wire.events import AgentMessageEvent, AgentToolUseEvent
from tests.unit.sessions import Bench

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER, EARLIER = timestamp(NOW + timedelta(minutes=1)), timestamp(NOW - timedelta(minutes=1))
LEASE = Lease("me", LATER)
LIMITS = Limits(leg_turns=0, max_retries=2, max_tool_rounds=10, max_compactions=2)
ERROR = Failure(ModelError("model_overloaded", "busy", retryable=True), Usage())
FATAL = Failure(ModelError("billing", "no credit", retryable=False), Usage())
MESSAGE, INTERRUPT = "user.message", "user.interrupt"
SPENT = Usage(input_tokens=3, output_tokens=4)


def claim(holder: str = "me", until: str = LATER, epoch: int = 1, leg: int = 0) -> Claim:
    return Claim(holder, epoch, leg, 0, until)


def use(
    state: str, event_id: str | None = None, boot: str | None = None, *, custom: bool = False
) -> Use:
    name = "lookup" if custom else "bash"
    return Use(event_id or new_id("sevt"), 1, name, state, boot, custom)  # type: ignore[arg-type]


def text_reply(text: str = "Hello.", **changes: Any) -> Reply:
    content = [TextBlock(text=text)]
    event = AgentMessageEvent(id=new_id("sevt"), content=content, processed_at="")
    return replace(Reply((event,), (), (), Usage(), "end_turn"), **changes)


def tool_reply(*states: str) -> Reply:
    """A reply with one tool use for every state."""
    ids = [new_id("sevt") for _ in states]
    events = tuple(AgentToolUseEvent(id=i, name="bash", input={}, processed_at="") for i in ids)
    uses = tuple(use(state, i) for state, i in zip(states, ids, strict=True))
    return Reply(events, uses, (), Usage(), "tool_use")


class Stage:
    """A session whose items the test sets. Threads are named by number: 0 is the primary."""

    def __init__(self, tmp_path, children: int = 0) -> None:
        self.bench = Bench(tmp_path)
        self.log, self.key, self.store = self.bench.app.log, self.bench.key, self.bench.records
        self.threads = [self.bench.thread_id]
        self.bodies: dict[str, JsonObject] = {}
        for _ in range(children):
            child = Head(new_id("sthr"), self.threads[0], "helper", timestamp(NOW))
            self.threads.append(child.thread_id)
            self.put(Write(self.key.head(child.thread_id), put=child.to_item()))
        self.session(threads=1 + children, time_rate=0)

    # ------------------------------------------------------------ the state
    def put(self, write: Write) -> None:
        self.store.write([write])

    def session(self, **changes: Any) -> Stage:
        self.put(Write(self.key.state(), set=changes))
        return self

    def head(self, n: int = 0, **changes: Any) -> Stage:
        """Changes a head; `pending` as types, each with a body of its own."""
        if "pending" in changes:
            changes["pending"] = tuple(self._pending(kind) for kind in changes["pending"])
        old = self.read().heads[self.threads[n]]
        self.put(Write(self.key.head(old.thread_id), put=replace(old, **changes).to_item()))
        return self

    def _pending(self, kind: str) -> Pending:
        event_id = new_id("sevt")
        body: JsonObject = {"type": kind, "id": event_id, "processed_at": None}
        if kind == MESSAGE:
            body["content"] = [{"type": "text", "text": "Hi."}]
        self.bodies[event_id] = body
        return Pending(event_id, kind, 1)

    def running(self, n: int = 0, **changes: Any) -> Stage:
        """A thread that runs: epoch 1, leg 0, with a message to read unless told otherwise."""
        counted = self.read().session.running + 1
        since = timestamp(NOW - timedelta(seconds=10))
        self.session(running=counted, running_since=since)
        given = {"status": "running", "epoch": 1, "running_since": since, "pending": (MESSAGE,)}
        return self.head(n, **{**given, **changes})

    def claimed(self, held: Claim | None = None, n: int = 0) -> Stage:
        place = self.key.claim(self.threads[n])
        self.put(Write(place, put=(held or claim()).to_item()))
        return self

    def unclaimed(self, n: int = 0) -> Stage:
        self.put(Write(self.key.claim(self.threads[n]), delete=True))
        return self

    # ------------------------------------------------------------ a plan on it
    def read(self, n: int = 0):
        return self.log.read(self.key, self.threads[n], every=True)

    def run(self, n: int = 0, epoch: int = 1, leg: int = 0) -> Run:
        return Run(self.key.workspace_id, self.key.session_id, self.threads[n], epoch, leg)

    def draft(self, n: int = 0) -> Draft:
        return Draft(
            self.read(n), commit_id=new_id("cmt"), actor="test", now=NOW, inputs=self.bodies
        )

    def commit(self, draft: Draft) -> None:
        """Raises StaleRead."""
        self.log.commit(draft)

    def is_stale(self, draft: Draft) -> bool:
        """Whether the store refuses the draft now."""
        try:
            self.commit(draft)
        except StaleRead:
            return True
        return False

    def kinds(self, draft: Draft, n: int = 0) -> list[str]:
        """Event types the draft appends to a thread's feed."""
        found = (entry for entry in draft.entries() if entry.thread_id == self.threads[n])
        return [str(_body(event)["type"]) for entry in found for event in entry.events]

    def events(self, draft: Draft, kind: str, n: int = 0) -> list[JsonObject]:
        found = (entry for entry in draft.entries() if entry.thread_id == self.threads[n])
        bodies = (_body(event) for entry in found for event in entry.events)
        return [body for body in bodies if body["type"] == kind]


def _body(event: Any) -> JsonObject:
    return event if isinstance(event, dict) else event.model_dump()
