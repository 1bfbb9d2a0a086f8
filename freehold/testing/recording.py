"""What the log of a thread says of the world around the engine: who sent what and when, what the
model replied, what calls answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freehold.domain.turn import WITHDRAWN
from freehold.errors import ModelError, ModelStopped
from freehold.ports import BlockDone, BlockStarted, ReplyDone, TextDelta, Usage
from freehold.toolset import ToolResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from freehold.domain.entry import Entry
    from freehold.ports import Chunk
    from freehold.toolset import JsonObject

_SENT = (
    "user.message",
    "user.interrupt",
    "user.tool_confirmation",
    "user.custom_tool_result",
    "system.message",
)
_DONE_BY_CLIENTS = (*_SENT, "session.updated", "session.status_terminated")
_SERVER = ("recovery", "operator")


class EndOfRecording(Exception):
    """The log ends here: the session was running when it was read."""


class Died(Exception):
    """Here the worker of the recorded session died, and its run was released."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a client did: `events` as stored. It is due once the feed stands before `seq`, and
    `in_call` only while calls run.
    """

    seq: int
    in_call: bool
    events: tuple[JsonObject, ...]


class Recording:
    """One thread's log. Sequence numbers are the feed's."""

    def __init__(self, thread_id: str, entries: Sequence[Entry]) -> None:
        self.thread_id = thread_id
        self._entries = entries
        self.events = [event for entry in entries for event in entry.events]
        self.steps = list(self._steps())

    @property
    def is_at_rest(self) -> bool:
        """Whether the thread was waiting for a client, or had ended."""
        kinds = [str(event["type"]) for event in self.events]
        status = [kind for kind in kinds if kind.startswith("session.thread_status_")]
        return not status or status[-1].endswith(("_idle", "_terminated"))

    def calls_of(self, name: str) -> Iterator[tuple[int, JsonObject]]:
        """The number and input of each call of a tool."""
        for n, event in enumerate(self.events):
            if event["type"] == "agent.tool_use" and event["name"] == name:
                given: Any = event["input"]
                yield n + 1, given

    def _steps(self) -> Iterator[Step]:
        """One for each commit of a client that brought something; what came of an interrupt before
        it, in commits without input, is due together with it.
        """
        seen: set[str] = set()
        begun: tuple[int, bool] | None = None
        in_call = False
        for entry in self._entries:
            if "started" in entry.private:
                in_call = True
            if self._is_of_client(entry):
                begun = begun or (entry.first_seq, in_call)
                fresh = [
                    event
                    for event in entry.events
                    if event["type"] in _DONE_BY_CLIENTS and event["id"] not in seen
                ]
                if fresh:
                    unique = {str(event["id"]): event for event in reversed(fresh)}
                    yield Step(*begun, tuple(reversed(unique.values())))
                    begun = None
            elif entry.events:
                begun, in_call = None, False
            seen |= {str(event["id"]) for event in entry.events}

    def _is_of_client(self, entry: Entry) -> bool:
        return entry.actor not in _SERVER and not entry.actor.startswith(f"{self.thread_id}-")

    def reply_to(self, seq: int) -> Iterator[Chunk]:
        """What the model said to the request whose span begins at `seq`, or how that failed.

        Raises ModelError, ModelStopped, Died, EndOfRecording.
        """
        start = self.events[seq - 1] if seq <= len(self.events) else {}
        found = (
            (entry, event)
            for entry in self._entries
            for event in entry.events
            if event.get("model_request_start_id") == start.get("id", "")
        )
        entry, end = next(found, (None, None))
        if entry is None or end is None:
            raise EndOfRecording
        reply = entry.private.get("reply")
        if isinstance(reply, dict):
            yield from self._chunks(entry, reply, end)
        elif "interrupted" in entry.private:
            raise ModelStopped
        else:
            raise _failure(entry)

    def _chunks(self, entry: Entry, reply: Any, end: JsonObject) -> Iterator[Chunk]:
        bodies = {event["id"]: event for event in entry.events}
        for index, stored in enumerate(reply["blocks"]):
            block = _block(stored, bodies)
            yield BlockStarted(index, str(block["type"]))
            if block["type"] == "text":
                yield TextDelta(index, str(block["text"]))
            yield BlockDone(index, block)
        yield ReplyDone(str(reply["stop_reason"]), _usage(end), _details(entry))

    def result_of(self, seq: int) -> ToolResult:
        """What the call answered that was asked for at `seq`. Raises EndOfRecording."""
        use = self.events[seq - 1] if seq <= len(self.events) else {}
        for event in self.events:
            if event["type"] == "agent.tool_result" and event["tool_use_id"] == use.get("id"):
                content: Any = event.get("content") or []
                return ToolResult(tuple(content), bool(event.get("is_error")))
        raise EndOfRecording


def _block(stored: Any, bodies: Any) -> JsonObject:
    """A block as the model sent it; those that an event shows are stored as references."""
    event = bodies.get(stored.get("event"))
    if event is None:
        block: JsonObject = stored
        return block
    if stored["type"] == "text":
        return {"type": "text", "text": event["content"][stored["part"]].get("text", "")}
    found = {name: event[name] for name in ("name", "input")}
    return {"type": "tool_use", "id": stored["id"], **found}


def _usage(end: JsonObject) -> Usage:
    usage: Any = end["model_usage"]
    return Usage(
        input_tokens=usage["input_tokens"],
        output_tokens=usage["output_tokens"],
        cache_read_input_tokens=usage["cache_read_input_tokens"],
        cache_creation_5m=usage["cache_creation_input_tokens"],
    )


def _details(entry: Entry) -> JsonObject | None:
    """Of a refusal, as the idle that follows has them."""
    for event in entry.events:
        details = event.get("stop_details")
        if isinstance(details, dict):
            return details
    return None


def _failure(entry: Entry) -> Exception:
    """How the request failed. Without an error of the session nobody was left to say."""
    errors = [event["error"] for event in entry.events if event["type"] == "session.error"]
    if not errors or entry.actor in _SERVER:
        return Died()
    error: Any = errors[0]
    return ModelError(
        str(error["type"]).removesuffix("_error"),
        str(error["message"]).removesuffix(f" {WITHDRAWN}"),
        retryable=error["retry_status"]["type"] == "retrying",
        refused=bool(entry.private.get("withdrawn")),
    )
