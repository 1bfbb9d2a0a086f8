"""What of a prompt is read from the cache and what is written to it, by the API's published rules.

Written from the documentation and from nothing else of this program, so that it can judge the
requests the engine makes. Sources, by their sections: [PC] is platform.claude.com,
build-with-claude/prompt-caching; [TU] is agents-and-tools/tool-use/tool-use-with-prompt-caching.

- A prompt is `tools`, `system`, `messages`, in this order, and the cache refers to all of it up to
  a block with `cache_control` ([PC] "How prompt caching works"). A prefix ends at a content block,
  and is found where it is the same, byte for byte ([PC] "Cache invalidation").
- A breakpoint writes the prefix that it ends and no other. It is looked up together with the
  prefixes of the blocks before it, at most 20 positions with its own; what lies behind them is not
  found unless another breakpoint is near it. Only what an earlier request wrote is found ([PC] "How
  automatic prefix checking works"). Four are the most ([PC] "Cache limitations"; refused by
  `messages_rules`).
- A prefix shorter than the model's minimum is neither written nor found, without an error ([PC]
  "Cache limitations", with the minimum of each model).
- An entry lives for 5 minutes or an hour after its last use, as its breakpoint asked; what is
  written for an hour is counted apart ([PC] "1-hour cache duration"; refused behind one of 5
  minutes by `messages_rules`).
- Beside the bytes: another `model` or `speed` finds nothing; another `tool_choice`, other
  parameters of thinking, and the first image leave `tools` and `system` valid and make `messages`
  another prompt ([PC] "What invalidates the cache", [TU]; the SDK's `cache_miss_reason` has
  `model_changed` for the first). An effort is taken for a parameter of thinking.

A token is taken to be four bytes of the block's JSON.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import accumulate
from threading import Lock
from typing import TYPE_CHECKING

from freehold.ports import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from freehold.ports import ModelRequest
    from freehold.toolset import Json, JsonObject

_BYTES_PER_TOKEN = 4
_LOOKBACK = 20
_SECONDS = {"5m": 300.0, "1h": 3600.0}
_LEAST_TOKENS = (
    ("claude-haiku-4-5", 4096),
    ("claude-opus-4-5", 4096),
    ("claude-opus-4-6", 4096),
    ("claude-opus-4-7", 2048),
    ("claude-opus-4-8", 1024),
    ("claude-sonnet-4", 1024),
    ("claude-sonnet-5-5", 512),
    ("claude-sonnet-5", 1024),
)
_LEAST_TOKENS_OTHERWISE = 512


@dataclass(frozen=True, slots=True)
class Segment:
    """One block of a prompt, without its breakpoint. `ttl` is the breakpoint's, None without one.

    `is_reply`: the model said it.
    """

    data: bytes
    ttl: str | None
    is_reply: bool


def segments(request: ModelRequest) -> list[Segment]:
    """The prompt as the cache sees it."""
    found = [_segment("tool", tool) for tool in request.tools]
    found += [_segment("system", block) for block in request.system]
    for message in request.messages:
        found += [_segment(str(message["role"]), block) for block in _blocks(message["content"])]
    return found


def _blocks(content: Json) -> Iterable[JsonObject]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [block for block in content or () if isinstance(block, dict)]  # type: ignore[union-attr]  # a list by the API's rules


def _segment(place: str, block: JsonObject) -> Segment:
    """A breakpoint inside a tool result is the result's own end."""
    point = block.get("cache_control")
    ttl = str(point.get("ttl") or "5m") if isinstance(point, dict) else None
    bare = {name: value for name, value in block.items() if name != "cache_control"}
    text = json.dumps([place, bare], ensure_ascii=False, separators=(",", ":"))
    return Segment(text.encode(), ttl, place == "assistant")


def tokens(data: bytes | str) -> int:
    """How many tokens a text has, about."""
    size = len(data.encode() if isinstance(data, str) else data)
    return -(-size // _BYTES_PER_TOKEN)


def least_tokens(model: str) -> int:
    """The shortest prefix that this model caches."""
    found = (least for name, least in _LEAST_TOKENS if model.startswith(name))
    return next(found, _LEAST_TOKENS_OTHERWISE)


def input_tokens(prompt: Iterable[Segment]) -> list[int]:
    """The length of each prefix, the empty one first."""
    return list(accumulate((tokens(part.data) for part in prompt), initial=0))


@dataclass(slots=True)
class _Entry:
    until: float
    seconds: float


class PromptCache:
    """The cache of one workspace. `clock` answers seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: dict[bytes, _Entry] = {}
        self._lock = Lock()

    def use(self, request: ModelRequest, parameters: str = "") -> Usage:
        """The input side of a request's usage; its prefixes are in the cache afterwards.

        `parameters` names `tool_choice` and `thinking`, which a `ModelRequest` does not hold.
        """
        prompt = segments(request)
        sizes = input_tokens(prompt)
        names = _prefixes(request, prompt, parameters)
        points = [
            (end, part.ttl)
            for end, part in enumerate(prompt, start=1)
            if part.ttl and sizes[end] >= least_tokens(request.model)
        ]
        with self._lock:
            hit = self._longest(names, [end for end, _ in points])
            self._write(names, points)
        created = {"5m": 0, "1h": 0}
        reached = hit
        for end, ttl in points:
            if end > reached:
                created[ttl] += sizes[end] - sizes[reached]
                reached = end
        return Usage(
            input_tokens=sizes[-1] - sizes[reached],
            cache_read_input_tokens=sizes[hit],
            cache_creation_5m=created["5m"],
            cache_creation_1h=created["1h"],
        )

    def _longest(self, names: list[bytes], ends: list[int]) -> int:
        """The end of the longest prefix that is cached, 0 for none. Its life begins anew."""
        now = self._clock()
        for end in sorted(ends, reverse=True):
            for candidate in range(end, max(0, end - _LOOKBACK), -1):
                entry = self._entries.get(names[candidate])
                if entry is not None and entry.until > now:
                    entry.until = now + entry.seconds
                    return candidate
        return 0

    def _write(self, names: list[bytes], points: list[tuple[int, str]]) -> None:
        now = self._clock()
        for end, ttl in points:
            seconds = _SECONDS[ttl]
            self._entries[names[end]] = _Entry(now + seconds, seconds)


def _prefixes(request: ModelRequest, prompt: list[Segment], parameters: str) -> list[bytes]:
    """A name for each prefix, the empty one first."""
    running = hashlib.sha256(f"{request.model}\0{request.speed or 'standard'}".encode())
    of_messages = len(request.tools) + len(request.system)
    has_image = any(b'"image"' in part.data for part in prompt[of_messages:])
    names = [running.digest()]
    for n, part in enumerate(prompt):
        if n == of_messages:
            running.update(f"{parameters}\0{request.effort}\0{has_image}".encode())
        running.update(hashlib.sha256(part.data).digest())
        names.append(running.digest())
    return names
