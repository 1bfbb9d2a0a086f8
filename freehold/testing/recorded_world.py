"""Model, sandbox and web that answer what a recording has. Each lets the replay catch up with the
clients first, since they went on while it answered.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from freehold.ports import Usage
from freehold.testing.recording import EndOfRecording
from freehold.toolset import WEB_TOOLS, ToolResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from freehold.ports import Chunk, ModelRequest, SandboxRef, WebCall
    from freehold.testing.recording import Recording
    from freehold.toolset import JsonObject, ToolCall

_NOT_MADE = "url_not_allowed: "
"""Begins the result of a call that never reached the web."""


class CatchUp(Protocol):
    """Sends what clients had sent by now."""

    def __call__(self, *, in_call: bool = False) -> None: ...


class RecordedWorld:
    """A `Model` and `Sandboxes`. `events` are the replay's so far: an event stands for the recorded
    one of its number.
    """

    def __init__(
        self, recording: Recording, events: Callable[[], Sequence[JsonObject]], catch_up: CatchUp
    ) -> None:
        self._recording = recording
        self._events = events
        self._catch_up = catch_up

    # ------------------------------------------------------------ the model
    def open(self, request: ModelRequest) -> _RecordedReply:  # noqa: ARG002 - the port's
        """The reply to the request whose span is open."""
        seq = len(self._events())
        self._catch_up()
        return _RecordedReply(self._recording.reply_to(seq))

    # ------------------------------------------------------------ the sandbox
    def prewarm(self, sandbox: SandboxRef) -> None:
        """Nothing is started."""

    def boot(self, sandbox: SandboxRef) -> str:  # noqa: ARG002 - the port's
        return "replay"

    def execute(
        self,
        sandbox: SandboxRef,  # noqa: ARG002 - the port's
        boot_id: str,  # noqa: ARG002 - the port's
        call: ToolCall,
    ) -> ToolResult | None:
        ids = [event["id"] for event in self._events()]
        self._catch_up(in_call=True)
        if call.event_id not in ids:
            return ToolResult.text("")  # the engine's own: it keeps a long page in a file
        return self._recording.result_of(ids.index(call.event_id) + 1)

    def cancel(self, sandbox: SandboxRef, boot_id: str, calls: Sequence[ToolCall]) -> None:
        """What a call answered when it was cancelled is recorded."""

    def remove(self, sandbox: SandboxRef) -> None:
        """Nothing is kept."""


class _RecordedReply:
    def __init__(self, chunks: Iterator[Chunk]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[Chunk]:
        return self._chunks

    def close(self) -> None:
        """A recorded reply ends as it ended."""


class RecordedWeb:
    """A `Web`: calls of the same address or query are answered in the order they were made."""

    tools = WEB_TOOLS

    def __init__(self, recording: Recording, catch_up: CatchUp) -> None:
        self._catch_up = catch_up
        self._results: dict[tuple[str, str], deque[ToolResult]] = {}
        for name, field in (("web_fetch", "url"), ("web_search", "query")):
            for seq, given in recording.calls_of(name):
                self._record(recording, (name, str(given.get(field))), seq)

    def _record(self, recording: Recording, about: tuple[str, str], seq: int) -> None:
        try:
            result = recording.result_of(seq)
        except EndOfRecording:
            return
        if not any(str(block.get("text")).startswith(_NOT_MADE) for block in result.content):
            self._results.setdefault(about, deque()).append(result)

    def fetch(self, url: str, **_: Any) -> WebCall:
        return self._call(("web_fetch", url))

    def search(self, query: str, **_: Any) -> WebCall:
        return self._call(("web_search", query))

    def _call(self, about: tuple[str, str]) -> WebCall:
        self._catch_up(in_call=True)
        found = self._results.get(about)
        if not found:
            raise EndOfRecording
        return _RecordedCall(found.popleft())


class _RecordedCall:
    usage = Usage()

    def __init__(self, result: ToolResult) -> None:
        self._result = result

    def result(self) -> ToolResult:
        return self._result

    def close(self) -> None:
        """A recorded call ends as it ended."""
