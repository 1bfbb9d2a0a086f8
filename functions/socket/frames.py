"""What the server says on a socket, on a laptop and on AWS: each is one message of text.

Ids have been checked before they come here, so they need no escaping.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from freehold.services.events import page_at
from functions.envelope import error_object

if TYPE_CHECKING:
    from freehold.errors import ApiError
    from freehold.services.tail import Frame

PONG = '{"type":"pong"}'
MAX_MESSAGE = 100_000
"""Bytes of a message on AWS, where one of more than 128 KB would close the connection."""


def followed(session_id: str, thread_id: str, frame: Frame) -> str:
    """An event or a preview of a followed thread, around its own JSON."""
    place = _place(session_id, thread_id)
    if frame.type in ("event_start", "event_delta"):
        return f'{{"type":"preview",{place},"preview":{frame.data}}}'
    seq = "null" if frame.seq is None else frame.seq
    return f'{{"type":"event",{place},"seq":{seq},"event":{frame.data}}}'


def stub(session_id: str, thread_id: str, frame: Frame) -> str:
    """In the place of an event that no message can hold: what it is, and the path that answers a
    page of it alone.
    """
    assert frame.seq is not None, "what is not in the log is small"
    event = json.dumps({"id": frame.event_id, "type": frame.type})
    url = f"/v1/sessions/{session_id}/threads/{thread_id}/events"
    url = f"{url}?limit=1&page={page_at(frame.seq)}"
    place = _place(session_id, thread_id)
    return f'{{"type":"event_stub",{place},"seq":{frame.seq},"event":{event},"url":"{url}"}}'


def sent(session_id: str, answer: str) -> str:
    """What the POST of the events would answer, which is a JSON object."""
    return f'{{"type":"sent","session_id":"{session_id}",{answer[1:]}'


def sent_or_stub(session_id: str, answer: str) -> str:
    """As `sent`, where no message holds it with ids and types alone: the list has the rest."""
    text = sent(session_id, answer)
    if not is_too_large(text):
        return text
    named = [{"id": event["id"], "type": event["type"]} for event in json.loads(answer)["data"]]
    stub_ = {"type": "sent_stub", "session_id": session_id, "data": named}
    return json.dumps(stub_, separators=(",", ":"))


def refusal(error: ApiError, action: str | None) -> str:
    """An action refused; without one, why the connection ends."""
    return json.dumps({"type": "error", "error": error_object(error), "action": action})


def is_too_large(text: str) -> bool:
    """Whether API Gateway might not take it."""
    return len(text) * 4 > MAX_MESSAGE and len(text.encode()) > MAX_MESSAGE


def _place(session_id: str, thread_id: str) -> str:
    return f'"session_id":"{session_id}","thread_id":"{thread_id}"'
