"""Who is asked for replies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from freehold.toolset import JsonObject


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request in the Messages API's own JSON: `system` is a list of text blocks, `messages`
    alternate user and assistant.

    Breakpoints (`cache_control`) are already placed. `max_tokens` None = the most that fits the
    model.
    """

    model: str
    system: tuple[JsonObject, ...]
    tools: tuple[JsonObject, ...]
    messages: tuple[JsonObject, ...]
    max_tokens: int | None = None
    effort: str | None = None
    speed: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request. `input_tokens` is the uncached part.

    `model` and `speed` are who served it and how, in the endpoint's words; empty where it does not
    say.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_5m: int = 0
    cache_creation_1h: int = 0
    model: str = ""
    speed: str = ""


@dataclass(frozen=True, slots=True)
class BlockStarted:
    """A content block opens. `type` is the API's block type."""

    index: int
    type: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class BlockDone:
    """A complete content block, exactly as it must be replayed to the model (signatures
    included).
    """

    index: int
    block: JsonObject


@dataclass(frozen=True, slots=True)
class UsageSeen:
    """What has been metered so far; the last one before `ReplyDone` or an error counts for a cut
    stream.
    """

    usage: Usage


@dataclass(frozen=True, slots=True)
class ReplyDone:
    """The reply is complete. `stop_reason` is the API's; `stop_details` only with a refusal."""

    stop_reason: str
    usage: Usage
    stop_details: JsonObject | None = None


Chunk: TypeAlias = BlockStarted | TextDelta | BlockDone | UsageSeen | ReplyDone


class OpenReply(Protocol):
    """An open model request. Iterate once, from one thread."""

    def __iter__(self) -> Iterator[Chunk]:
        """Raises ModelError, or ModelStopped once `close` was called."""

    def close(self) -> None:
        """Drops the connection at once. Any thread, any number of times, before or after the
        end.
        """


class Model(Protocol):
    def open(self, request: ModelRequest) -> OpenReply:
        """Connects lazily: nothing is sent before the first `next`. Retries nothing itself."""
