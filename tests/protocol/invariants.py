"""What must hold of a feed, its head and its session after every transaction, whatever happened
before.

The rules are those of the protocol's model: each names what would be lost, doubled or left asleep.
`reduce_entry` maps a stored commit to the tuples they speak about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from freehold.domain import chain
from freehold.domain.draft import Snapshot
from freehold.domain.entry import Entry
from freehold.domain.session import Head, SessionState

BUSY = ("running", "rescheduling")
_USES = ("agent.tool_use", "agent.custom_tool_use")


@dataclass
class Feed:
    """A feed as committed, with the session's interrupt generation at the moment of each commit."""

    session_id: str
    thread_id: str
    entries: list[Entry] = field(default_factory=list)
    generations: list[int] = field(default_factory=list)


class Broken(AssertionError):
    """An invariant does not hold."""


def reduce_entry(entry: Entry, thread_id: str) -> list[tuple[Any, ...]]:
    """The commit as the facts the rules are about, in order."""
    private: Mapping[str, Any] = entry.private
    facts: list[tuple[Any, ...]] = []
    interrupted = "interrupted" in private
    reply_told = False
    for event in entry.events:
        fact = _fact(event, thread_id, interrupted=interrupted, period=private.get("period"))
        if fact and fact[0] == "reply-part":
            if not reply_told:
                facts.append(("reply",))
                reply_told = True
            fact = ("use", event["id"]) if event["type"] in _USES else None
        if fact and fact[0] == "span.end" and "reply" in private and not reply_told:
            facts.append(("reply",))
            reply_told = True
        if fact:
            facts.append(fact)
    stamped = {f[1] for f in facts if f[0] == "stamped"}
    stamped |= {event["id"] for event in entry.events if event["type"] == "system.message"}
    unseen = (event_id for event_id in private.get("consumed", ()) if event_id not in stamped)
    return [*facts, *(("stamped", event_id) for event_id in unseen)]


def _fact(
    event: Mapping[str, Any], thread_id: str, *, interrupted: bool, period: int | None
) -> tuple[Any, ...] | None:
    kind = event["type"]
    reason = event.get("stop_reason", {}).get("type")
    if kind.startswith("session.thread_status_"):
        own = event["session_thread_id"] == thread_id
        value = period if kind.endswith("running") else reason
        return (f"thread.{kind[22:]}", own, value, interrupted)
    if kind.startswith("span."):
        failed = "interrupted" if interrupted else "error"
        return (
            ("span.end", failed if event["is_error"] else "ok")
            if "is_error" in event
            else ("span",)
        )
    if kind in (*_USES, "user.tool_confirmation", "user.custom_tool_result") and (
        event.get("session_thread_id") not in (None, thread_id)
    ):
        return None  # the copy of a child's, in the primary's feed
    simple = {
        # It asks for no reply, so no rule waits for one.
        "system.message": lambda: ("operator", event["id"]),
        "user.message": lambda: ("stamped" if event["processed_at"] else "input", event["id"]),
        "user.interrupt": lambda: ("stamped" if event["processed_at"] else "input", event["id"]),
        "agent.thread_message_received": lambda: ("input", event["id"]),
        "user.tool_confirmation": lambda: ("answer", event["tool_use_id"]),
        "agent.message": lambda: ("reply-part",),
        "agent.thinking": lambda: ("reply-part",),
        "agent.tool_use": lambda: ("reply-part",),
        "agent.custom_tool_use": lambda: ("reply-part",),
        "agent.tool_result": lambda: ("result", event["tool_use_id"]),
        "user.custom_tool_result": lambda: ("result", event["custom_tool_use_id"]),
    }
    waits_for = (event.get("stop_reason") or {}).get("event_ids", ())
    return simple.get(kind, lambda: (kind, reason, waits_for))()


# ---------------------------------------------------------------- one feed
class _Checker:
    """Walks a feed once; every rule is a sentence."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.inputs: set[str] = set()
        self.stamped: set[str] = set()
        self.uses: set[str] = set()
        self.results: set[str] = set()
        self.commit_ids: set[str] = set()
        self.event_seen: dict[str, int] = {}
        self.span = self.fed = False
        self.period = 0
        self.thread, self.thread_reason = "idle", ""
        self.session, self.session_reason = "idle", ""
        self.waits_for: set[str] = set()
        self.last = ""
        self.stamp = ""

    def run(self) -> None:
        previous = chain.genesis(self.feed.session_id, self.feed.thread_id)
        seq = 1
        for n, entry in enumerate(self.feed.entries):
            self.require(entry.version == n, "feed has a gap")
            self.require(entry.first_seq == seq, "sequence numbers have a gap")
            self.require(entry.prev_hash == previous, "the chain is broken")
            self.require(entry.commit_id not in self.commit_ids, "a commit twice")
            self.require(self.last != "session.deleted", "an entry after session.deleted")
            self.commit_ids.add(entry.commit_id)
            previous = entry.hash
            seq += len(entry.events)
            self.check_stamps(entry)
            for fact in reduce_entry(entry, self.feed.thread_id):
                self.read(fact, self.feed.generations[n])
                self.last = fact[0]

    def require(self, holds: bool, rule: str) -> None:
        if not holds:
            raise Broken(rule)

    def check_stamps(self, entry: Entry) -> None:
        for event in entry.events:
            at = event["processed_at"]
            if at is not None:
                self.require(str(at) > self.stamp, "processed_at repeats or runs backwards")
                self.stamp = str(at)
            seen = self.event_seen.get(str(event["id"]), 0) + 1
            self.event_seen[str(event["id"])] = seen
            self.require(seen <= 2, "an event is sighted a third time")

    def read(self, fact: tuple[Any, ...], generation: int) -> None:
        kind = fact[0]
        rule = getattr(self, "on_" + kind.replace(".", "_"), None)
        if rule:
            rule(fact, generation)

    def on_input(self, fact, _):
        self.require(fact[1] not in self.inputs, "an input appended twice")
        self.inputs.add(fact[1])

    def on_stamped(self, fact, _):
        known = fact[1] in self.inputs and fact[1] not in self.stamped
        self.require(known, "an input stamped twice or before it was accepted")
        self.stamped.add(fact[1])
        self.fed = True

    def on_span(self, *_):
        self.require(not self.span, "a model span opens inside another")
        self.span = True

    def on_span_end(self, fact, generation):
        self.require(self.span, "a span is closed twice")
        self.span = False
        late = fact[1] == "interrupted" and generation <= self.period
        self.require(not late, "an interrupt stopped a later turn")

    def on_reply(self, _, generation):
        self.require(self.span, "a reply outside its span")
        self.require(self.fed, "two replies for one turn")
        self.require(generation <= self.period, "a reply after an accepted interrupt")
        self.fed = False

    def on_use(self, fact, _):
        self.uses.add(fact[1])

    def on_result(self, fact, generation):
        fresh = fact[1] in self.uses and fact[1] not in self.results
        self.require(fresh, "a use answered twice or unknown")
        self.results.add(fact[1])
        self.fed = True

    def on_answer(self, *_):
        self.fed = True

    def on_thread_running(self, fact, _):
        if not fact[1]:
            return
        self.require(self.thread != "running", "thread running twice")
        period = self.period if fact[2] is None else fact[2]
        if period > self.period:
            self.require(not self.uses - self.results, "an open call survived an interrupt")
        self.thread, self.period = "running", period

    def on_thread_idle(self, fact, _):
        if not fact[1]:
            return
        again = self.thread == "idle" and self.thread_reason != "requires_action"
        self.require(not again, "thread idle twice")
        open_uses = bool(self.uses - self.results)
        self.require(fact[2] == "requires_action" or not open_uses, "idle with an open tool use")
        answered = not self.fed or fact[2] != "end_turn" or fact[3]
        self.require(answered, "a turn ended though its input was not answered")
        self.fed = self.fed and fact[2] in ("requires_action", "budget_reached")
        self.thread, self.thread_reason = "idle", fact[2]

    def on_thread_rescheduled(self, fact, _):
        if fact[1]:
            self.require(self.thread == "running", "rescheduled while not running")
            self.thread = "rescheduled"

    def on_session_status_running(self, *_):
        self.require(self.session != "running", "session running twice")
        self.session = "running"

    def on_session_status_rescheduled(self, *_):
        self.require(self.session == "running", "session rescheduled while not running")
        self.session = "rescheduled"

    def on_session_status_idle(self, fact, _):
        self.require(self.last == "session.usage", "session idle without session.usage before it")
        again = self.session == "idle" and self.session_reason != "requires_action"
        self.require(not again, "session idle twice")
        self.session, self.session_reason, self.waits_for = "idle", fact[1], set(fact[2])


def check_feed(feed: Feed) -> _Checker:
    """Raises Broken with the rule that does not hold."""
    checker = _Checker(feed)
    checker.run()
    return checker


# ---------------------------------------------------------------- the whole session
def check_session(snapshot: Snapshot, feeds: Mapping[str, Feed], acked: Sequence[str]) -> None:
    """Heads, counters and feeds agree; nothing acknowledged is missing; nothing unread sleeps."""
    session, heads = snapshot.session, snapshot.heads
    checkers = {thread_id: check_feed(feed) for thread_id, feed in feeds.items()}
    running = sum(head.status in BUSY for head in heads.values())
    parked = sum(head.status == "requires_action" for head in heads.values())
    _require(session.running == running, "`running` disagrees with the heads")
    _require(session.asks == parked, "`asks` disagrees with the heads")
    primary = checkers[session.primary_id]
    _require((primary.session != "idle") == (running > 0), "the feed's status is not the heads'")
    _require((session.running_since is not None) == (running > 0), "time runs while nothing does")
    _check_shown(session, heads, primary)
    for thread_id, head in heads.items():
        _check_head(head, session.gen)
        _check_status(head, checkers[thread_id].thread)
        _require(head.version == len(feeds[thread_id].entries), "head and feed disagree")
    missing = set(acked).difference(*(checker.event_seen for checker in checkers.values()))
    _require(not missing, "an acknowledged append is missing")


def _check_shown(session: SessionState, heads: Mapping[str, Head], primary: _Checker) -> None:
    """What a client polls is what the last status event said."""
    told = primary.session == "rescheduled"
    _require(session.rescheduled == told, "`rescheduled` is not the last status event")
    parked = (head for head in heads.values() if head.status == "requires_action")
    asked = {use.event_id for head in parked for use in head.uses if use.state == "ask"}
    _require(set(session.asked) == asked, "`asked` disagrees with the heads")
    waits = primary.session == "idle" and primary.session_reason == "requires_action"
    _require(not waits or primary.waits_for == asked, "the idle event names other calls")
    _require(
        waits or session.running or not session.asks,
        "parked, and the last idle event says otherwise",
    )


def _check_status(head: Head, told: str) -> None:
    shown = {"running": "running", "rescheduling": "rescheduled"}.get(head.status, "idle")
    _require(head.status == "terminated" or shown == told, "a thread's status is not its event's")
    since = head.running_since is not None
    _require(since == head.is_busy, "a thread's time runs while it does not")


def _check_head(head: Head, generation: int) -> None:
    asleep = head.status == "idle" and (head.pending or head.taken or head.uses)
    _require(not asleep, "a thread is idle with unread input")
    forgotten = (
        head.status in ("requires_action", "budget_reached")
        and generation > head.gen
        and head.has_interrupt
    )
    _require(not forgotten, "an interrupt waits in a thread that nobody runs")


def _require(holds: object, rule: str) -> None:
    if not holds:
        raise Broken(rule)
