"""Where the engine tells what happened (`freehold.facts`): around a model request, around each tool
call, after each transaction. Where nobody is told, nothing is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from freehold.errors import ModelError, ModelStopped
from freehold.facts import (
    Committed,
    CustomToolAnswered,
    ModelRequestEnded,
    Observe,
    Period,
    ToolCallEnded,
    TurnEnded,
)
from freehold.ids import parse_timestamp
from freehold.ports import (
    App,
    BlockDone,
    Chunk,
    ModelRequest,
    OpenReply,
    ReplyDone,
    Run,
    Usage,
    UsageSeen,
)
from freehold.toolset import JsonObject, ToolCall, ToolResult
from freehold.wire.events import SessionThreadStatusIdleEvent
from freehold.wire.user_events import UserCustomToolResultEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freehold.domain.draft import DraftEntry
    from freehold.domain.entry import Entry
    from freehold.domain.session import Head, Use
    from freehold.engine.commit import Done
    from freehold.ports import WebCall
    from freehold.wire.sessions import SessionAgent

T = TypeVar("T")
_ENDS = (SessionThreadStatusIdleEvent, UserCustomToolResultEvent)
_TYPES = tuple(kind.model_fields["type"].default for kind in _ENDS)
Execute = Callable[["Use", ToolCall], ToolResult | None]


def open_reply(app: App, run: Run, agent_id: str, request: ModelRequest) -> OpenReply:
    """As `Model.open`."""
    reply = app.model.open(request)
    if app.observe is None:
        return reply
    return _ObservedReply(reply, app.observe, run, agent_id, request)


class _ObservedReply:
    """Passes every chunk on and keeps what it says of the whole."""

    def __init__(
        self, reply: OpenReply, observe: Observe, run: Run, agent_id: str, request: ModelRequest
    ) -> None:
        self._reply = reply
        self._observe = observe
        self._about = (run, agent_id, request)
        self._began = time.perf_counter()
        self._first: float | None = None
        self._usage = Usage()
        self._blocks: list[JsonObject] = []
        self._is_told = False

    def close(self) -> None:
        self._reply.close()

    def __iter__(self) -> Iterator[Chunk]:
        self._began = time.perf_counter()
        try:
            for chunk in self._reply:
                self._look(chunk)
                yield chunk
            self._tell("model_request_failed")  # it broke off
        except ModelError as error:
            self._tell(error.kind)
            raise
        except (ModelStopped, GeneratorExit):
            self._tell("stopped")
            raise

    def _look(self, chunk: Chunk) -> None:
        """The end is told before it is passed on: whoever reads it does not come back."""
        if self._first is None:
            self._first = time.perf_counter() - self._began
        if isinstance(chunk, BlockDone):
            self._blocks.append(chunk.block)
        elif isinstance(chunk, UsageSeen):
            self._usage = chunk.usage
        elif isinstance(chunk, ReplyDone):
            self._usage = chunk.usage
            self._tell("ok", chunk.stop_reason)

    def _tell(self, outcome: str, stop_reason: str | None = None) -> None:
        if self._is_told:
            return
        self._is_told = True
        run, agent_id, request = self._about
        self._observe(
            ModelRequestEnded(
                run,
                agent_id,
                request,
                _period(self._began),
                outcome,
                self._usage,
                self._first,
                stop_reason,
                tuple(self._blocks),
            )
        )


@contextmanager
def observed_search(app: App, run: Run, agent: SessionAgent, call: WebCall) -> Iterator[None]:
    """A web call. Where it asks a model, that is a request like any other: of the agent's model, in
    words that nobody keeps.
    """
    began, outcome = time.perf_counter(), "stopped"
    try:
        yield
        outcome = "ok"
    finally:
        if app.observe is not None and call.usage != Usage():
            request = ModelRequest(agent.model.id, system=(), tools=(), messages=())
            period = _period(began)
            app.observe(ModelRequestEnded(run, agent.id, request, period, outcome, call.usage))


def observed_calls(app: App, run: Run, execute: Execute) -> Execute:
    """`execute`, told of. From any thread."""
    observe = app.observe
    if observe is None:
        return execute

    def observed(use: Use, call: ToolCall) -> ToolResult | None:
        began = time.perf_counter()
        result = execute(use, call)
        if result is not None:
            observe(ToolCallEnded(run, call, _period(began), result))
        return result

    return observed


def committed(app: App, done: Done[T], began: float, retries: int) -> Done[T]:
    """`done`, told of: the transaction, and what of its events ends something. `began` is on the
    clock of `time.perf_counter`.
    """
    observe = app.observe
    if observe is None:
        return done
    observe(Committed(time.perf_counter() - began, retries))
    events = _events(done)
    for thread_id, head in done.draft.heads.items():
        before = done.draft.snapshot.heads.get(thread_id)
        if before is not None and before.is_busy and not head.is_busy:
            observe(_turn(done, before, head, events))
    for event in events:
        if event["type"] == _TYPES[1] and event.get("processed_at"):
            observe(CustomToolAnswered(event.get("is_error") is True))
    return done


def _events(done: Done[Any]) -> list[Mapping[str, Any]]:
    """Those that end something, as bodies, whichever attempt it was that landed."""
    entries: Sequence[Entry | DraftEntry] = done.entries or done.draft.entries()
    found = (event for entry in entries for event in entry.events)
    bodies = (e.model_dump() if isinstance(e, _ENDS) else e for e in found)
    return [b for b in bodies if isinstance(b, dict) and b["type"] in _TYPES]


def _turn(done: Done[Any], before: Head, head: Head, events: list[Mapping[str, Any]]) -> TurnEnded:
    key, outcome = done.draft.snapshot.key, head.status
    for event in events:
        of_thread = event.get("session_thread_id") == head.thread_id
        if event["type"] == _TYPES[0] and of_thread:
            outcome = event["stop_reason"]["type"]
    since = None
    if before.running_since is not None:
        since = int(parse_timestamp(before.running_since).timestamp() * 1e9)
    run = Run(key.workspace_id, key.session_id, head.thread_id, before.epoch, before.leg)
    return TurnEnded(run, outcome, since, time.time_ns())


def _period(began: float) -> Period:
    return Period(time.time_ns(), time.perf_counter() - began)
