"""The request for a summary, and how much room a model leaves for a conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.domain.compaction import Room
from freehold.domain.step import Summary
from freehold.errors import NoSummary
from freehold.model_limits import context_window, most_output_tokens
from freehold.ports import BlockDone, OpenReply, ReplyDone, Usage, UsageSeen

if TYPE_CHECKING:
    from freehold.settings import Settings

SUMMARY_TOKENS = 16_000
"""Of a summary and the thinking before it, at the first attempt."""


def room_of(settings: Settings, model: str) -> Room:
    """What the window leaves for a prompt: `compact_at` of it, and never what a reply needs."""
    window = settings.context_window or context_window(model)
    share = int(window * settings.compact_at)
    return Room(min(share, window - reply_tokens(settings, model)), settings.clear_tool_results)


def reply_tokens(settings: Settings, model: str) -> int:
    """The longest reply to ask for: the model's own, unless a third of its window is less."""
    window = settings.context_window or context_window(model)
    return min(most_output_tokens(model), window // 3)


class SummaryReader:
    """Reads the reply that is a summary. `usage` is what was metered of it so far."""

    def __init__(self) -> None:
        self.usage = Usage()

    def read(self, reply: OpenReply) -> Summary:
        """Its text; a call of a tool is not carried out. Raises ModelError and ModelStopped,
        NoSummary where there is no text.
        """
        texts: list[str] = []
        for chunk in reply:
            if isinstance(chunk, UsageSeen):
                self.usage = chunk.usage
            elif isinstance(chunk, BlockDone) and chunk.block.get("type") == "text":
                texts.append(str(chunk.block.get("text")).strip())
            elif isinstance(chunk, ReplyDone):
                self.usage = chunk.usage
                if not any(texts) or chunk.stop_reason == "refusal":
                    break
                return Summary("\n\n".join(filter(None, texts)), chunk.usage)
        raise NoSummary
