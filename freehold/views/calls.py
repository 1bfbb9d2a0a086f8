"""Every tool call of a session: what was asked for, who allowed it, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from freehold.toolset import INTERRUPTED
from freehold.views.thread_log import seconds_between, text_of

if TYPE_CHECKING:
    from freehold.domain.entry import Entry
    from freehold.toolset import JsonObject
    from freehold.views.thread_log import ThreadLog

Outcome: TypeAlias = Literal[
    "ok", "error", "denied", "interrupted", "running", "waiting", "permitted", "ended"
]
"""`waiting` for a client's answer; `permitted` and not begun; `running` in the sandbox; `ended`:
the session was archived over it. The others are answers."""
_USES = ("agent.tool_use", "agent.custom_tool_use")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call. `permission` is what the policy said, null for a custom tool, which the client
    runs.

    `decision` and `decided_by` are of the client that was asked: the id of its API key. `said` is
    the agent's last text before it, since the last message. `seconds` run from the start of the
    call to its answer, or from its asking where the client carries it out.
    """

    id: str
    thread_id: str
    seq: int
    name: str
    input: JsonObject
    permission: str | None
    outcome: Outcome
    asked_at: str
    started_at: str | None = None
    answered_at: str | None = None
    seconds: float | None = None
    decision: str | None = None
    decided_by: str | None = None
    decided_at: str | None = None
    result: str | None = None
    said: str | None = None


def calls_of(threads: Iterable[ThreadLog]) -> list[ToolCall]:
    """In the order they were asked for."""
    found = [call for thread in threads for call in _thread_calls(thread)]
    return sorted(found, key=lambda call: (call.asked_at, call.seq))


def waiting(calls: Sequence[ToolCall]) -> list[ToolCall]:
    """Those that somebody must answer."""
    return [call for call in calls if call.outcome == "waiting"]


def _thread_calls(thread: ThreadLog) -> list[ToolCall]:
    fold = _Calls(thread.thread_id)
    for entry in thread.entries:
        fold.read(entry)
    return list(fold.calls.values())


class _Calls:
    """Folds the entries of one thread. Calls of other threads that stand in its feed are theirs."""

    def __init__(self, thread_id: str) -> None:
        self.calls: dict[str, ToolCall] = {}
        self._thread_id = thread_id
        self._said: str | None = None

    def read(self, entry: Entry) -> None:
        started = entry.private.get("started")
        ids = started.get("ids") if isinstance(started, dict) else None
        for event_id in ids if isinstance(ids, list) else ():
            self._change(event_id, outcome="running", started_at=entry.at)
        for stored in entry.sequenced:
            self._event(stored.seq, stored.body, entry)

    def _event(self, seq: int, event: JsonObject, entry: Entry) -> None:
        kind = str(event["type"])
        if kind == "agent.message":
            self._said = text_of(event)
        elif kind == "user.message":
            self._said = None
        elif kind in _USES and event.get("session_thread_id") is None:
            self._ask(seq, event, entry)
        elif kind == "user.tool_confirmation":
            self._decide(event, entry)
        elif kind.endswith("tool_result"):
            self._answer(event, entry)
        elif kind == "session.thread_status_terminated":
            for call in list(self.calls.values()):
                if call.answered_at is None:
                    self._change(call.id, outcome="ended")

    def _ask(self, seq: int, event: JsonObject, entry: Entry) -> None:
        permission = event.get("evaluated_permission")
        given = event.get("input")
        waits = permission == "ask" or event["type"] == "agent.custom_tool_use"
        self.calls[str(event["id"])] = ToolCall(
            id=str(event["id"]),
            thread_id=self._thread_id,
            seq=seq,
            name=str(event["name"]),
            input=given if isinstance(given, dict) else {},
            permission=None if permission is None else str(permission),
            outcome="waiting" if waits else "permitted",
            asked_at=str(event.get("processed_at") or entry.at),
            said=self._said,
        )

    def _decide(self, event: JsonObject, entry: Entry) -> None:
        allowed = event.get("result") == "allow"
        self._change(
            event.get("tool_use_id"),
            outcome="permitted" if allowed else "denied",
            decision="allow" if allowed else "deny",
            decided_by=entry.actor,
            decided_at=str(event.get("processed_at") or entry.at),
        )

    def _answer(self, event: JsonObject, entry: Entry) -> None:
        use_id = event.get("tool_use_id") or event.get("custom_tool_use_id")
        call = self.calls.get(str(use_id))
        if call is None:
            return
        at, text = str(event.get("processed_at") or entry.at), text_of(event)
        outcome: Outcome = "error" if event.get("is_error") else "ok"
        if event.get("is_error") and text == INTERRUPTED:
            outcome = "interrupted"
        elif call.outcome == "denied" or call.permission == "deny":
            outcome = "denied"
        by_client = event["type"] == "user.custom_tool_result" and outcome != "interrupted"
        self._change(
            call.id,
            outcome=outcome,
            answered_at=at,
            seconds=seconds_between(call.asked_at if by_client else call.started_at, at),
            decided_by=entry.actor if by_client else call.decided_by,
            result=text,
        )

    def _change(self, event_id: object, **changes: object) -> None:
        call = self.calls.get(str(event_id))
        if call is not None:
            self.calls[call.id] = replace(call, **changes)  # type: ignore[arg-type]
