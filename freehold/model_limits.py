"""How much each model takes in and says: its context window and its longest reply, in tokens."""

from __future__ import annotations

FAMILIES = ("claude-opus-", "claude-sonnet-", "claude-haiku-", "claude-fable-", "claude-mythos-")
_OLD_OPUS = ("claude-opus-4-0", "claude-opus-4-1", "claude-opus-4-2025")
_OLD_SONNET = ("claude-sonnet-4-0", "claude-sonnet-4-2025")
_GENERATION_4_5 = ("claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5")
OLDER = (*_OLD_OPUS, *_OLD_SONNET, *_GENERATION_4_5)
"""Models of these families before Opus 4.6."""


def most_output_tokens(model: str) -> int:
    """The most tokens that a reply of this model can have; for one nobody knows, what any takes."""
    if model.startswith(_OLD_OPUS) or not model.startswith(FAMILIES):
        return 32_000
    if model.startswith((*_OLD_SONNET, *_GENERATION_4_5)):
        return 64_000
    return 128_000


def context_window(model: str) -> int:
    """The most tokens that a request to this model and its reply can have together; for one nobody
    knows, what any of Claude takes. Models from Opus 4.6 on have a million without asking for it.
    """
    is_large = model.startswith(FAMILIES) and not model.startswith(OLDER)
    return 1_000_000 if is_large else 200_000
