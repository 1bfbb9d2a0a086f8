"""What a session's requests to the model used, and what it used together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from freehold.money import dollars
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
    """One request. `usage` is null while it is open; what one used that failed is what was metered
    until then, and `is_estimated`. `list_cost` is in US dollars, null where `model`, which served
    it, has no list price. `is_search`: a `web_search` made it beside the conversation, and it has
    no span: `id` is of the commit that booked it, then.
    """

    id: str
    thread_id: str
    seq: int
    started_at: str
    seconds: float | None = None
    is_error: bool | None = None
    usage: JsonObject | None = None
    model: str | None = None
    list_cost: str | None = None
    is_estimated: bool = False
    is_search: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """`tokens` and `list_cost` are the sums of the requests shown, the latter in US dollars and
    without running time and searches. `usage` is the last `session.usage`, null before the session
    first idled.
    """

    requests: tuple[ModelRequest, ...]
    tokens: dict[str, int]
    list_cost: str
    usage: JsonObject | None


def cost_of(threads: Iterable[ThreadLog]) -> Cost:
    """Requests in the order they began."""
    fold = _Cost()
    for thread in threads:
        for entry in thread.entries:
            fold.read(thread, entry)
    requests = sorted(fold.requests.values(), key=lambda r: (r.started_at, r.seq))
    tokens = {name: sum(_count(r.usage, name) for r in requests) for name in _TOKENS}
    return Cost(tuple(requests), tokens, dollars(fold.spent), fold.usage)


class _Cost:
    def __init__(self) -> None:
        self.requests: dict[str, ModelRequest] = {}
        self.usage: JsonObject | None = None
        self.spent = 0

    def read(self, thread: ThreadLog, entry: Entry) -> None:
        spent = entry.private.get("spent")
        notes = (
            [note for note in spent if isinstance(note, dict)] if isinstance(spent, list) else []
        )
        self.spent += sum(_count(note, "cost") for note in notes)
        for stored in entry.sequenced:
            event = stored.body
            if event["type"] == "span.model_request_start":
                event_id, at = str(event["id"]), str(event["processed_at"])
                request = ModelRequest(event_id, thread.thread_id, stored.seq, at)
                self.requests[event_id] = request
            elif event["type"] == "span.model_request_end":
                self._end(event, notes.pop() if notes else None)
            elif event["type"] == "session.usage":
                usage = event.get("usage")
                self.usage = usage if isinstance(usage, dict) else None
        for n, note in enumerate(notes):
            event_id = f"{entry.commit_id}/{n}"
            request = ModelRequest(event_id, thread.thread_id, entry.first_seq, entry.at)
            self.requests[event_id] = replace(
                request, is_error=False, is_search=True, **_metered(note)
            )

    def _end(self, event: JsonObject, noted: JsonObject | None) -> None:
        """`noted`: what the request spent, by the commit that it ends in."""
        begun = self.requests.get(str(event["model_request_start_id"]))
        if begun is None:
            return
        metered = _metered(noted) if noted is not None else {}
        usage = event.get("model_usage")
        self.requests[begun.id] = replace(
            begun,
            seconds=seconds_between(begun.started_at, str(event["processed_at"])),
            is_error=bool(event.get("is_error")),
            **{"usage": usage if isinstance(usage, dict) else None, **metered},
        )


def _metered(noted: JsonObject) -> dict[str, Any]:
    """Of one request, as the commit that ended it noted what it spent."""
    cost = noted.get("cost")
    written = _count(noted, "cache_creation_5m") + _count(noted, "cache_creation_1h")
    tokens = {name: _count(noted, name) for name in _TOKENS}
    return {
        "usage": {**tokens, "cache_creation_input_tokens": written},
        "model": str(noted["model"]),
        "list_cost": dollars(cost) if isinstance(cost, int) else None,
        "is_estimated": bool(noted.get("estimated")),
    }


def _count(usage: JsonObject | None, name: str) -> int:
    found = (usage or {}).get(name)
    return found if isinstance(found, int) else 0
