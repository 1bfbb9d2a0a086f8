"""What the Messages API asks of thinking that comes back: that it is its own, that the latest reply
has all of it, and for newer models that nothing before it has changed.

The last is from the documentation, build-with-claude/preserved-thinking and its "Prefix checks on
thinking blocks": `system`, `tools` and the messages before a block are compared, `cache_control`
left aside; a request that fails is refused, or the thinking dropped, as
`thinking.block_binding.prefix_mismatch_behavior` says.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freehold.testing.messages_refused import refuse
from freehold.testing.messages_shapes import (
    Adaptive,
    RedactedThinking,
    Thinking,
    ToolResult,
    ToolUse,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from freehold.testing.messages_shapes import Message, MessagesBody
    from freehold.toolset import Json, JsonObject

BINDING_BETA = "thinking-binding-controls-2026-08-01"
_PRESERVED = (
    *("claude-fable-5-1", "claude-fable-5-2", "claude-mythos-5-1", "claude-mythos-5-2"),
    *("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"),
)
_MARK = {"cache_control"}


def _anywhere(_: str) -> None:
    """Of thinking that nobody bound to a conversation."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What the API knows of its own thinking: the signature of a text, and what a reply held.

    `thinking_before` answers the thinking blocks of the reply that made this tool use, None where
    this server made no such use. `was_paused`: whether these blocks are a reply it paused.
    `thought_behind` answers the prefixes that thinking with this signature came behind, None where
    this server does not know it.
    """

    sign: Callable[[str], str]
    thinking_before: Callable[[str], tuple[JsonObject, ...] | None]
    was_paused: Callable[[Sequence[Json]], bool]
    thought_behind: Callable[[str], Collection[bytes] | None] = _anywhere


def check_thinking(body: MessagesBody, turns: Sequence[Message], seal: Seal) -> None:
    """Raises Refused."""
    replies = [n for n, turn in enumerate(turns) if turn.role == "assistant"]
    for n in replies:
        for m, block in enumerate(turns[n].content):
            if isinstance(block, Thinking) and block.signature != seal.sign(block.thinking):
                refuse(f"messages.{n}.content.{m}: Invalid `signature` in `thinking` block")
            if isinstance(block, RedactedThinking) and block.data != seal.sign(""):
                refuse(f"messages.{n}.content.{m}: Invalid `data` in `redacted_thinking` block")
    if replies:
        _check_latest(replies[-1], turns[replies[-1]], seal)
    if body.model.startswith(_PRESERVED) and not _may_drop(body):
        _check_prefixes(body, turns, seal)


def _check_latest(n: int, turn: Message, seal: Seal) -> None:
    """The latest reply with tool uses comes back with the thinking that it had, in its order."""
    uses = [block.id for block in turn.content if isinstance(block, ToolUse)]
    issued = seal.thinking_before(uses[0]) if uses else None
    kept = [b.model_dump() for b in turn.content if isinstance(b, Thinking | RedactedThinking)]
    if issued is not None and kept != list(issued):
        refuse(
            f"messages.{n}.content.0: `thinking` or `redacted_thinking` blocks in the latest "
            "assistant message cannot be modified. These blocks must remain as they were in the "
            "original response."
        )


# ---------------------------------------------------------------- what came before
def prefixes(body: MessagesBody, turns: Sequence[Message]) -> Iterator[bytes]:
    """A name for what stands before each turn, and for all of it."""
    running = hashlib.sha256()
    for part in (*body.tools, *body.system):
        running.update(part.model_dump_json(exclude=_MARK).encode())
    yield running.digest()
    for turn in turns:
        for block in turn.content:
            inner = block.content if isinstance(block, ToolResult) else []
            shown = [part.model_dump_json(exclude=_MARK) for part in inner]
            bare = block.model_dump_json(exclude=_MARK | {"content"} if shown else _MARK)
            running.update(f"{turn.role} {bare} {shown}".encode())
        yield running.digest()


def _may_drop(body: MessagesBody) -> bool:
    binding = body.thinking.block_binding if isinstance(body.thinking, Adaptive) else None
    return binding is not None and binding.prefix_mismatch_behavior == "drop_block"


def _check_prefixes(body: MessagesBody, turns: Sequence[Message], seal: Seal) -> None:
    for n, (turn, prefix) in enumerate(zip(turns, prefixes(body, turns), strict=False)):
        for m, block in enumerate(turn.content):
            known = seal.thought_behind(block.signature) if isinstance(block, Thinking) else None
            if known is not None and prefix not in known:
                refuse(
                    f"messages.{n}.content.{m}: Invalid `signature` in `thinking` block. The block "
                    "is bound to a different conversation. Remove the block, or set "
                    '`thinking.block_binding.prefix_mismatch_behavior` to "drop_block".'
                )
