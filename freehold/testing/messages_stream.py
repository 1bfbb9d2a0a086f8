"""A scripted reply in the Messages API's own JSON: as one message, and as server-sent events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freehold.ports import Usage
    from freehold.testing.scripted_reply import ScriptedReply, Step
    from freehold.toolset import JsonObject


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply, and what its envelope says."""

    id: str
    model: str
    reply: ScriptedReply
    usage: Usage

    def message(self) -> JsonObject:
        """The whole reply, as an answer that is not streamed."""
        return {
            **self._opening(),
            "content": list(self.reply.blocks),
            "stop_reason": self.reply.stop_reason,
            "stop_details": self.reply.stop_details,
            "usage": self._usage(self.usage.output_tokens),
        }

    def events(self) -> Iterator[tuple[float, JsonObject]]:
        """The events of the stream in their order, each with the seconds to wait before it."""
        yield 0, {"type": "message_start", "message": self._opening()}
        for n, step in enumerate(self.reply.steps):
            pause = self.reply.delay if n == 0 else 0.0
            pause += self.reply.pace if step.kind == "delta" else 0.0
            yield pause, _event(step)
            if n == 0:
                yield 0, {"type": "ping"}
        if self.reply.is_cut:
            return
        delta: JsonObject = {"stop_reason": self.reply.stop_reason, "stop_sequence": None}
        if self.reply.stop_details is not None:
            delta["stop_details"] = self.reply.stop_details
        usage: JsonObject = {
            "input_tokens": self.usage.input_tokens,
            "cache_creation_input_tokens": self._created(),
            "cache_read_input_tokens": self.usage.cache_read_input_tokens,
            "output_tokens": self.usage.output_tokens,
        }
        pause = 0.0 if self.reply.steps else self.reply.delay
        yield pause, {"type": "message_delta", "delta": delta, "usage": usage}
        yield 0, {"type": "message_stop"}

    def _opening(self) -> JsonObject:
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self._usage(1),
        }

    def _usage(self, output_tokens: int) -> JsonObject:
        return {
            "input_tokens": self.usage.input_tokens,
            "cache_creation_input_tokens": self._created(),
            "cache_read_input_tokens": self.usage.cache_read_input_tokens,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.usage.cache_creation_5m,
                "ephemeral_1h_input_tokens": self.usage.cache_creation_1h,
            },
            "output_tokens": output_tokens,
            "service_tier": "standard",
        }

    def _created(self) -> int:
        return self.usage.cache_creation_5m + self.usage.cache_creation_1h


_EMPTY: dict[str, JsonObject] = {
    "text": {"text": ""},
    "thinking": {"thinking": "", "signature": ""},
    "tool_use": {"input": {}},
}


def _event(step: Step) -> JsonObject:
    if step.kind == "start":
        block = {**step.block, **_EMPTY.get(str(step.block["type"]), {})}
        return {"type": "content_block_start", "index": step.index, "content_block": block}
    if step.kind == "delta":
        return {"type": "content_block_delta", "index": step.index, "delta": step.delta}
    return {"type": "content_block_stop", "index": step.index}


def frame(event: JsonObject) -> bytes:
    """An event as it stands on the wire."""
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event['type']}\ndata: {data}\n\n".encode()


def error_body(type_: str, message: str, request_id: str) -> JsonObject:
    return {
        "type": "error",
        "error": {"type": type_, "message": message},
        "request_id": request_id,
    }
