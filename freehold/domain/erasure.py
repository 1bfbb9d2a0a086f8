"""What is left of an event whose content is erased: that it was, when, and how it refers to
others.
"""

from __future__ import annotations

from freehold.domain.checkpoint import CHECKPOINT
from freehold.toolset import JsonObject

ERASED = "[erased]"
_REDACTABLE = frozenset({"user.message", "agent.message", "agent.thread_message_received"})
"""Content of these may hold `redacted` blocks on the wire (BEHAVIOUR 6.1); others show a text."""


def erased_event(body: JsonObject) -> JsonObject:
    """The event without its content; itself where it has none. As many blocks as before: a reply is
    stored as references to them.
    """
    kind, left = str(body["type"]), dict(body)
    content, error = body.get("content"), body.get("error")
    if isinstance(content, list) and content:
        text: JsonObject = {"type": "text", "text": ERASED}
        left["content"] = [{"type": "redacted"} for _ in content] if kind in _REDACTABLE else [text]
    if isinstance(body.get("input"), dict):
        left["input"] = {}
    if isinstance(body.get("deny_message"), str):
        left["deny_message"] = ERASED
    if isinstance(error, dict):
        left["error"] = {**error, "message": ERASED}
    return left


def erased_private(private: JsonObject, body: JsonObject) -> JsonObject:
    """A private half without what it has of such an event. Of a reply only references to events
    stay: thoughts before a message say what it says. A checkpoint repeats an operator's words.
    """
    kind = str(body["type"])
    if kind.startswith("agent."):
        return _without_thoughts(private)
    return _without_words(private, body) if kind == "system.message" else private


def _without_thoughts(private: JsonObject) -> JsonObject:
    reply = private.get("reply")
    if not isinstance(reply, dict):
        return private
    blocks = reply.get("blocks")
    kept = [b for b in blocks if isinstance(b, dict) and "event" in b] if blocks else []  # type: ignore[union-attr]
    return {**private, "reply": {**reply, "blocks": [*kept]}}


def _without_words(private: JsonObject, body: JsonObject) -> JsonObject:
    checkpoint, said = private.get(CHECKPOINT), body.get("content")
    if not isinstance(checkpoint, dict) or not isinstance(said, list):
        return private
    operator = checkpoint["operator"]
    assert isinstance(operator, list)
    erased: JsonObject = {"type": "text", "text": ERASED}
    left = [erased if block in said else block for block in operator]
    return {**private, CHECKPOINT: {**checkpoint, "operator": left}}
