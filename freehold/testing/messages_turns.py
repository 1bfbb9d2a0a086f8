"""Whose turn it is: the order of messages that the Messages API takes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from freehold.testing.messages_refused import refuse
from freehold.testing.messages_shapes import (
    Document,
    Image,
    Message,
    RedactedThinking,
    SearchResult,
    Thinking,
    ToolResult,
    ToolUse,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_WITH_SYSTEM_TURNS = re.compile(
    r"claude-(opus-4-8|opus-5(-5)?|(sonnet|haiku)-5-5|(fable|mythos)-5(-1)?)(-\d{8})?"
)
_WRONG = {
    "user": (ToolUse, Thinking, RedactedThinking),
    "assistant": (ToolResult,),
    "system": (Document, Image, RedactedThinking, SearchResult, Thinking, ToolResult, ToolUse),
}


def merged(messages: Sequence[Message]) -> list[Message]:
    """Consecutive messages of one role are one turn."""
    turns: list[Message] = []
    for message in messages:
        if turns and turns[-1].role == message.role:
            blocks = [*turns[-1].content, *message.content]
            turns[-1] = turns[-1].model_copy(update={"content": blocks})
        else:
            turns.append(message)
    return turns


def check_turns(turns: Sequence[Message], model: str, *, is_resumed: bool) -> None:
    """Raises Refused. `is_resumed`: the last turn is a reply that the API had paused."""
    if not turns:
        refuse("messages: at least one message is required")
    for n, turn in enumerate(turns):
        if turn.role == "system":
            _check_system_turn(n, turns, model)
    if turns[0].role != "user":
        refuse('messages: first message must use the "user" role')
    if turns[-1].role == "assistant" and not is_resumed:
        refuse(
            "This model does not support assistant message prefill. "
            "The conversation must end with a user message."
        )
    for n, turn in enumerate(turns):
        _check_blocks(n, turn)


def _check_system_turn(n: int, turns: Sequence[Message], model: str) -> None:
    """Behind a user turn, and before a reply or at the end."""
    if _WITH_SYSTEM_TURNS.fullmatch(model) is None:
        refuse(f"messages.{n}: role 'system' is not supported on this model")
    if n == 0:
        refuse("messages.0: use the top-level 'system' parameter for the initial system prompt")
    if turns[n - 1].role != "user":
        refuse(
            f"messages.{n}: role 'system' must follow a 'user' message or an 'assistant' message "
            "ending in a server tool result"
        )
    if n < len(turns) - 1 and turns[n + 1].role != "assistant":
        refuse(f"messages.{n}: role 'system' must precede an 'assistant' message or end the array")


def _check_blocks(n: int, turn: Message) -> None:
    for block in turn.content:
        if not isinstance(block, _WRONG[turn.role]):
            continue
        if turn.role == "system":
            refuse(f"messages.{n}: `{block.type}` blocks cannot be in `system` messages")
        else:
            other = "assistant" if turn.role == "user" else "user"
            refuse(f"messages.{n}: `{block.type}` blocks can only be in `{other}` messages")
