"""Which previews a connection is shown (BEHAVIOUR 8.3)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from freehold.services.tail import Frame

if TYPE_CHECKING:
    from freehold.services.followers import Listener
    from freehold.toolset import JsonObject


def choose(listener: Listener, given: Sequence[JsonObject]) -> tuple[list[Frame], tuple[str, ...]]:
    """Those it asked for, of the model request whose start it was sent last, each begun before it
    goes on; and what has begun then. Its events are not in the log yet: they end the request.
    """
    if not listener.span:
        return [], ()
    chosen: list[Frame] = []
    started = list(listener.started)
    for frame in given:
        kind, event_id = str(frame["type"]), _event_id(frame)
        if kind == "event_start" and _may_begin(listener, frame, event_id, started):
            started.append(event_id)
        elif kind == "event_start" or event_id not in started:
            continue
        chosen.append(Frame(kind, json.dumps(frame, separators=(",", ":")), event_id=event_id))
    return chosen, tuple(started)


def _may_begin(
    listener: Listener, frame: JsonObject, event_id: str, started: Sequence[str]
) -> bool:
    """Ids sort by creation: what is older than the span is of an earlier request."""
    event: Any = frame["event"]
    is_new = event_id > listener.span and event_id not in started
    return is_new and event["type"] in listener.wanted


def _event_id(frame: JsonObject) -> str:
    event: Any = frame.get("event")
    return str(frame["event_id"] if event is None else event["id"])
