"""Puts the events of a message stream together: text as it comes, blocks when they are complete."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from freehold.errors import ModelError
from freehold.ports import BlockDone, BlockStarted, ReplyDone, TextDelta, Usage, UsageSeen
from freehold.toolset.well_formed import well_formed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from freehold.ports import Chunk
    from freehold.toolset import JsonObject


class ReplyBuilder:
    """Takes the events of one stream, as the wire has them, in their order.

    Kinds of events and deltas that it does not know are passed over, as the API asks of clients.
    """

    def __init__(self, url_variable: str) -> None:
        """`url_variable` is what to check where an answer is no reply at all."""
        self._url_variable = url_variable
        self._blocks: dict[int, JsonObject] = {}
        self._inputs: dict[int, list[str]] = {}
        self._metered: dict[str, Any] = {}
        self._model = ""
        self._stop_reason: str | None = None
        self._stop_details: JsonObject | None = None
        self._has_begun = False
        self._has_ended = False
        self._has_broken_input = False

    def read(self, event: Mapping[str, Any]) -> Iterator[Chunk]:
        """The chunks that this event brings. Raises ValueError for one that makes no sense."""
        try:
            yield from self._read(event)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("an event of the stream makes no sense") from error

    def _read(self, event: Mapping[str, Any]) -> Iterator[Chunk]:
        kind = event.get("type")
        if kind == "message_start":
            self._has_begun = True
            self._model = str(event["message"].get("model") or "")
            yield self._meter(event["message"].get("usage"))
        elif kind == "content_block_start":
            yield from self._start(event["index"], event["content_block"])
        elif kind == "content_block_delta":
            yield from self._grow(event["index"], event["delta"])
        elif kind == "content_block_stop":
            yield from self._stop(event["index"])
        elif kind == "message_delta":
            self._stop_reason = event["delta"].get("stop_reason")
            self._stop_details = event["delta"].get("stop_details")
            yield self._meter(event.get("usage"))
        elif kind == "message_stop":
            self._has_ended = True

    def finish(self) -> ReplyDone:
        """The end of the reply. Raises ModelError when the stream ended before it did."""
        if not self._has_begun:
            raise _failed(
                "The model endpoint did not answer as the Messages API does:"
                f" check {self._url_variable}.",
                retryable=False,
            )
        if not self._has_ended or self._stop_reason is None:
            raise _failed("The model's reply was cut off.", retryable=True)
        if self._has_broken_input and self._stop_reason == "tool_use":
            raise _failed("The model called a tool with an input that is no JSON.", retryable=True)
        return ReplyDone(self._stop_reason, self._usage(), self._stop_details)

    # ------------------------------------------------------------ blocks
    def _start(self, index: int, block: JsonObject) -> Iterator[Chunk]:
        self._blocks[index] = dict(block)
        self._inputs[index] = []
        yield BlockStarted(index, str(block["type"]))
        if block["type"] == "text" and block.get("text"):
            yield TextDelta(index, str(block["text"]))

    def _grow(self, index: int, delta: Mapping[str, Any]) -> Iterator[Chunk]:
        block, kind = self._blocks[index], delta["type"]
        if kind == "text_delta":
            block["text"] = str(block.get("text") or "") + delta["text"]
            if delta["text"]:
                yield TextDelta(index, delta["text"])
        elif kind == "input_json_delta":
            self._inputs[index].append(delta["partial_json"])
        elif kind == "thinking_delta":
            block["thinking"] = str(block.get("thinking") or "") + delta["thinking"]
        elif kind == "signature_delta":
            block["signature"] = str(block.get("signature") or "") + delta["signature"]
        elif kind == "citations_delta":
            cited = block.get("citations")
            block["citations"] = [*(cited if isinstance(cited, list) else []), delta["citation"]]

    def _stop(self, index: int) -> Iterator[Chunk]:
        """A tool use whose input broke off is dropped: `max_tokens` can end a reply inside it. The
        model writes escapes of its own, halves of surrogate pairs among them.
        """
        block, written = self._blocks[index], "".join(self._inputs[index])
        if written:
            try:
                block["input"] = well_formed(json.loads(written))
            except ValueError:
                block["input"] = None
            if not isinstance(block["input"], dict):
                self._has_broken_input = True
                return
        yield BlockDone(index, block)

    # ------------------------------------------------------------ usage
    def _meter(self, usage: Mapping[str, Any] | None) -> UsageSeen:
        """Counts are cumulative; a later event leaves out, or has as null, what has not changed."""
        self._metered.update({k: v for k, v in (usage or {}).items() if v is not None})
        return UsageSeen(self._usage())

    def _usage(self) -> Usage:
        """What was written to the cache for an unstated time is there for five minutes."""
        split = self._metered.get("cache_creation") or {}
        for_hour = int(split.get("ephemeral_1h_input_tokens") or 0)
        for_minutes = int(split.get("ephemeral_5m_input_tokens") or 0)
        created = int(self._metered.get("cache_creation_input_tokens") or 0)
        return Usage(
            input_tokens=int(self._metered.get("input_tokens") or 0),
            output_tokens=int(self._metered.get("output_tokens") or 0),
            cache_read_input_tokens=int(self._metered.get("cache_read_input_tokens") or 0),
            cache_creation_5m=max(for_minutes, created - for_hour),
            cache_creation_1h=for_hour,
            model=self._model,
            speed=str(self._metered.get("speed") or ""),
        )


def _failed(message: str, *, retryable: bool) -> ModelError:
    return ModelError("model_request_failed", message, retryable=retryable)
