"""What a session's requests to the model used, and what it used together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freehold.views.thread_log import seconds_between

if TYPE_CHECKING:
    from freehold.domain.entry import Entry
    from freehold.toolset import JsonObject
    from freehold.views.thread_log import ThreadLog

_TOKENS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request. `usage` is as `span.model_request_end` has it, null while it is open; one that
    failed or was stopped shows zeros, and what it used is in the session's totals alone.
    """

    id: str
    thread_id: str
    seq: int
    started_at: str
    seconds: float | None = None
    is_error: bool | None = None
    usage: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """`tokens` are the sums of the requests shown. `usage` is the last `session.usage`, which has
    the list cost where prices are known, and null before the session first idled.
    """

    requests: tuple[ModelRequest, ...]
    tokens: dict[str, int]
    usage: JsonObject | None


def cost_of(threads: Iterable[ThreadLog]) -> Cost:
    """Requests in the order they began."""
    fold = _Cost()
    for thread in threads:
        for entry in thread.entries:
            fold.read(thread, entry)
    requests = sorted(fold.requests.values(), key=lambda r: (r.started_at, r.seq))
    tokens = {name: sum(_count(r.usage, name) for r in requests) for name in _TOKENS}
    return Cost(tuple(requests), tokens, fold.usage)


class _Cost:
    def __init__(self) -> None:
        self.requests: dict[str, ModelRequest] = {}
        self.usage: JsonObject | None = None

    def read(self, thread: ThreadLog, entry: Entry) -> None:
        for stored in entry.sequenced:
            event = stored.body
            if event["type"] == "span.model_request_start":
                event_id, at = str(event["id"]), str(event["processed_at"])
                request = ModelRequest(event_id, thread.thread_id, stored.seq, at)
                self.requests[event_id] = request
            elif event["type"] == "span.model_request_end":
                self._end(event)
            elif event["type"] == "session.usage":
                usage = event.get("usage")
                self.usage = usage if isinstance(usage, dict) else None

    def _end(self, event: JsonObject) -> None:
        begun = self.requests.get(str(event["model_request_start_id"]))
        usage = event.get("model_usage")
        if begun is None:
            return
        self.requests[begun.id] = ModelRequest(
            begun.id,
            begun.thread_id,
            begun.seq,
            begun.started_at,
            seconds=seconds_between(begun.started_at, str(event["processed_at"])),
            is_error=bool(event.get("is_error")),
            usage=usage if isinstance(usage, dict) else None,
        )


def _count(usage: JsonObject | None, name: str) -> int:
    found = (usage or {}).get(name)
    return found if isinstance(found, int) else 0
