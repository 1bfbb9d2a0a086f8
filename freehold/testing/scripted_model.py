"""`ScriptedModel`: a model without a model. What answers in the demo when there is no API key.

Its replies are a function of the transcript alone, so a run is repeatable and survives any crash.
`freehold.testing.script` is the language in which a message tells it what to answer; a message that
is not a script gets the short piece of work of `freehold.testing.scripted_demo`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING

from freehold.errors import ModelError, ModelStopped
from freehold.ports import BlockDone, BlockStarted, ReplyDone, TextDelta, Usage, UsageSeen
from freehold.testing.prompt_cache import input_tokens, segments, tokens
from freehold.testing.scripted_reply import Brain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freehold.ports import Chunk, ModelRequest
    from freehold.testing.prompt_cache import Segment
    from freehold.testing.scripted_reply import ScriptedReply, Step
    from freehold.toolset import JsonObject


class ScriptedModel:
    """A `Model` that needs no network and no key. Thread-safe. It refuses prompts of more tokens
    than `window`, where it has one.
    """

    def __init__(self, window: int | None = None) -> None:
        self._brain = Brain(window=window)

    def open(self, request: ModelRequest) -> OpenScriptedReply:
        return OpenScriptedReply(self._brain, request)


class OpenScriptedReply:
    """One reply. Every pause of it ends with `close`."""

    def __init__(self, brain: Brain, request: ModelRequest) -> None:
        self._brain = brain
        self._request = request
        self._closed = Event()

    def close(self) -> None:
        self._closed.set()

    def __iter__(self) -> Iterator[Chunk]:
        for pause, chunk in self._paced():
            self._wait(pause)
            yield chunk

    def _wait(self, seconds: float) -> None:
        if self._closed.wait(seconds) if seconds else self._closed.is_set():
            raise ModelStopped

    def _paced(self) -> Iterator[tuple[float, Chunk]]:
        """The chunks, each with the seconds to wait before it."""
        self._wait(0)
        reply = self._brain.answer(self._request)
        if reply.failure:
            raise _refused(reply)
        usage = usage_of(self._request)
        yield 0, UsageSeen(replace(usage, output_tokens=1))
        for n, step in enumerate(reply.steps):
            delay = reply.delay if n == 0 else 0.0
            for chunk in _chunks(step):
                yield delay + (reply.pace if step.kind == "delta" else 0.0), chunk
        if reply.is_cut:
            raise ModelError(
                "model_request_failed", "The model's reply was cut off.", retryable=True
            )
        done = replace(usage, output_tokens=output_tokens(reply.blocks))
        yield 0 if reply.steps else reply.delay, UsageSeen(done)
        yield 0, ReplyDone(reply.stop_reason, done, reply.stop_details)


def _chunks(step: Step) -> Iterator[Chunk]:
    if step.kind == "start":
        yield BlockStarted(step.index, str(step.block["type"]))
    elif step.kind == "stop":
        yield BlockDone(step.index, step.block)
    elif step.delta["type"] == "text_delta":
        yield TextDelta(step.index, str(step.delta["text"]))


def _refused(reply: ScriptedReply) -> ModelError:
    failure = reply.failure
    assert failure is not None
    return ModelError(
        failure.kind,
        failure.message,
        retryable=failure.retryable,
        retry_after=reply.retry_after,
        refused=failure.refused,
        too_long=failure.too_long,
    )


def output_tokens(blocks: tuple[JsonObject, ...]) -> int:
    """Tokens of a reply; one at least, as the API counts an empty one."""
    return max(1, sum(tokens(json.dumps(block, ensure_ascii=False)) for block in blocks))


def usage_of(request: ModelRequest) -> Usage:
    """The input side of the usage, as if the transcript's previous request had just been made.

    What a breakpoint before the last reply closes is read from the cache; the rest up to the last
    breakpoint is written to it.
    """
    prompt = segments(request)
    sizes = input_tokens(prompt)
    replies = [n for n, part in enumerate(prompt) if part.is_reply]
    known = _last_point(prompt[: replies[-1]]) if replies else 0
    last = max(known, _last_point(prompt))
    written = sizes[last] - sizes[known]
    is_for_hour = prompt[last - 1].ttl == "1h"
    return Usage(
        input_tokens=sizes[-1] - sizes[last],
        cache_read_input_tokens=sizes[known],
        cache_creation_5m=0 if is_for_hour else written,
        cache_creation_1h=written if is_for_hour else 0,
    )


def _last_point(prompt: list[Segment]) -> int:
    """The end of the last prefix that a breakpoint closes, 0 for none."""
    return max((end for end, part in enumerate(prompt, start=1) if part.ttl), default=0)
