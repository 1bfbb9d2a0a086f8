"""What the Messages API refuses, with the texts it refuses it with.

Shape first (`messages_shapes`), then the rules between blocks: turns, tools and their results,
thinking, breakpoints, what a model takes. A rule that is broken raises `Refused`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from freehold.testing.messages_media import check_media
from freehold.testing.messages_refused import Refused, refuse
from freehold.testing.messages_shapes import (
    Adaptive,
    Enabled,
    Message,
    MessagesBody,
    Text,
    ToolResult,
    ToolUse,
)
from freehold.testing.messages_thinking import BINDING_BETA, Seal, check_thinking
from freehold.testing.messages_turns import check_turns, merged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from freehold.testing.messages_shapes import Block, CacheControl
    from freehold.toolset import JsonObject

_FAMILIES = ("claude-opus-", "claude-sonnet-", "claude-haiku-", "claude-fable-", "claude-mythos-")
_WITHOUT_ADAPTIVE = ("claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5")
_WITHOUT_EFFORT = ("claude-sonnet-4-5", "claude-haiku-4-5")
_WITH_BUDGET = (*_WITHOUT_ADAPTIVE, "claude-opus-4-6", "claude-sonnet-4-6")
_MOST_OUTPUT_TOKENS = dict.fromkeys(_WITHOUT_ADAPTIVE, 64_000)
_MOST_OUTPUT_TOKENS_OTHERWISE = 128_000
_MOST_POINTS = 4
FAST_MODE_BETA = "fast-mode-2026-02-01"


def check(body: JsonObject, *, betas: frozenset[str], seal: Seal) -> MessagesBody:
    """The parsed body. Raises Refused for the first rule that it breaks."""
    try:
        parsed = MessagesBody.model_validate(body)
    except ValidationError as error:
        refuse(_first(error))
    _check_model(parsed, betas)
    _check_tools(parsed)
    _check_points(parsed)
    _check_system(parsed)
    _check_texts(parsed.messages)
    check_media(parsed.messages)
    turns = merged(parsed.messages)
    check_turns(turns, parsed.model, is_resumed=_is_resumed(body, seal))
    _check_calls(turns)
    check_thinking(parsed, turns, seal)
    return parsed


def _is_resumed(body: JsonObject, seal: Seal) -> bool:
    """Whether the last message is a paused reply, sent back to be resumed."""
    messages = body["messages"]
    last = messages[-1] if isinstance(messages, list) and messages else None
    content = last.get("content") if isinstance(last, dict) else None
    return isinstance(content, list) and seal.was_paused(content)


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, in the API's form. It calls a client tool `custom`."""
    found = error.errors(include_url=False, include_input=False)[0]
    place = [str(part) for part in found["loc"]]
    if place[:1] == ["tools"] and len(place) > 2:  # noqa: PLR2004 - below one of the tools
        place.insert(2, "custom")
    return f"{'.'.join(place)}: {found['msg']}"


# ---------------------------------------------------------------- the model and its settings
def known_model(model: str) -> bool:
    """Whether there is such a model, as far as this double knows: any of Claude's families."""
    return model.startswith(_FAMILIES)


def most_output_tokens(model: str) -> int:
    """The largest `max_tokens` that the model takes."""
    found = (most for name, most in _MOST_OUTPUT_TOKENS.items() if model.startswith(name))
    return next(found, _MOST_OUTPUT_TOKENS_OTHERWISE)


def _check_model(body: MessagesBody, betas: frozenset[str]) -> None:
    model, thinking = body.model, body.thinking
    if not known_model(model):
        raise Refused(404, "not_found_error", f"model: {model}")
    most = most_output_tokens(model)
    if body.max_tokens > most:
        refuse(
            f"max_tokens: {body.max_tokens} > {most}, which is the maximum allowed number of "
            f"output tokens for {model}"
        )
    if isinstance(thinking, Adaptive) and model.startswith(_WITHOUT_ADAPTIVE):
        refuse("adaptive thinking is not supported on this model")
    if isinstance(thinking, Enabled) and not model.startswith(_WITH_BUDGET):
        refuse('"thinking.type.enabled" is not supported for this model.')
    if isinstance(thinking, Enabled) and thinking.budget_tokens >= body.max_tokens:
        refuse("`max_tokens` must be greater than `thinking.budget_tokens`.")
    effort = body.output_config and body.output_config.effort
    if effort and model.startswith(_WITHOUT_EFFORT):
        refuse("This model does not support the effort parameter.")
    if isinstance(thinking, Adaptive) and thinking.block_binding and BINDING_BETA not in betas:
        refuse("thinking.adaptive.block_binding: Extra inputs are not permitted")
    if body.speed == "fast" and FAST_MODE_BETA not in betas:
        refuse("speed: Extra inputs are not permitted")


def _check_tools(body: MessagesBody) -> None:
    names = [tool.name for tool in body.tools]
    if len(set(names)) < len(names):
        refuse("tools: Tool names must be unique.")
    chosen = body.tool_choice.name if body.tool_choice else None
    if chosen is not None and chosen not in names:
        refuse(f"Tool '{chosen}' not found in provided tools")


# ---------------------------------------------------------------- cache breakpoints
def _check_points(body: MessagesBody) -> None:
    points = list(_points(body))
    if len(points) > _MOST_POINTS:
        refuse(
            f"A maximum of {_MOST_POINTS} blocks with cache_control may be provided. "
            f"Found {len(points)}."
        )
    lives = [point.ttl for point in points]
    if "5m" in lives and "1h" in lives[lives.index("5m") :]:
        refuse(
            "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. "
            "Note that blocks are processed in the following order: `tools`, `system`, `messages`."
        )


def _points(body: MessagesBody) -> Iterator[CacheControl]:
    for part in (*body.tools, *body.system, *_blocks(body.messages)):
        found = getattr(part, "cache_control", None)
        if found is not None:
            yield found


def _blocks(messages: Sequence[Message]) -> Iterator[Block]:
    """Every content block, a tool result's own before the result."""
    for message in messages:
        for block in message.content:
            if isinstance(block, ToolResult):
                yield from block.content
            yield block


# ---------------------------------------------------------------- texts
def _check_system(body: MessagesBody) -> None:
    if any(not block.text for block in body.system):
        refuse("system: text content blocks must be non-empty")


def _check_texts(messages: Sequence[Message]) -> None:
    for n, message in enumerate(messages):
        if not message.content:
            refuse(
                f"messages.{n}: all messages must have non-empty content except for the optional "
                "final assistant message"
            )
    texts = [block.text for block in _blocks(messages) if isinstance(block, Text)]
    if "" in texts:
        refuse("messages: text content blocks must be non-empty")
    if any(not text.strip() for text in texts):
        refuse("messages: text content blocks must contain non-whitespace text")


# ---------------------------------------------------------------- tools and their results
def _check_calls(turns: Sequence[Message]) -> None:
    """Every use is answered at the beginning of the next turn, once, and nothing else is."""
    seen: set[str] = set()
    asked: list[str] = []
    for n, turn in enumerate(turns):
        uses = [block.id for block in turn.content if isinstance(block, ToolUse)]
        if turn.role == "user":
            _check_results(n, turn, asked)
        for use in uses:
            if use in seen:
                refuse(f"messages.{n}: `tool_use` ids must be unique")
            seen.add(use)
        asked = uses


def _check_results(n: int, turn: Message, asked: Sequence[str]) -> None:
    answered: list[str] = []
    leading = True
    for m, block in enumerate(turn.content):
        if not isinstance(block, ToolResult):
            leading = False
            continue
        place = f"messages.{n}.content.{m}"
        if block.tool_use_id not in asked:
            refuse(
                f"{place}: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{block.tool_use_id}. Each `tool_result` block must have a corresponding "
                "`tool_use` block in the previous message."
            )
        if block.tool_use_id in answered:
            refuse(
                f"{place}: each tool_use must have a single result. Found multiple `tool_result` "
                f"blocks with id: {block.tool_use_id}"
            )
        if block.is_error and not block.content:
            refuse(f"{place}.tool_result: content cannot be empty if `is_error` is true")
        if leading:
            answered.append(block.tool_use_id)
    left = [use for use in asked if use not in answered]
    if left:
        refuse(
            f"messages.{n - 1}: `tool_use` ids were found without `tool_result` blocks immediately "
            f"after: {', '.join(left)}. Each `tool_use` block must have a corresponding "
            "`tool_result` block in the next message."
        )
