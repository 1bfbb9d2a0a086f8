"""Results of tools as they enter the log: nothing in them fails a later request to the model.

What a tool brings is not ours to trust: a page, a file, a program's output. What the model's
provider would refuse becomes a text that says so, here, once, so that the transcript stays the same
in every later turn. What it refuses all the same is withdrawn (ADR 0005).
"""

from __future__ import annotations

import binascii

from freehold.toolset import (
    MAX_RESULT_CHARACTERS,
    PREVIEW_CHARACTERS,
    JsonObject,
    ToolResult,
    excerpt,
)
from freehold.toolset.images import image_size
from freehold.toolset.well_formed import well_formed
from freehold.wire.tool_content import why_not_taken

_LONGEST = MAX_RESULT_CHARACTERS + 2 * PREVIEW_CHARACTERS
"""What the excerpt of a longer one may have, with room for the words around it."""
_NAMES = {"image": "An image", "document": "A document", "search_result": "A search result"}


def as_taken(result: ToolResult) -> ToolResult:
    """The result as the model's provider takes it. An error, if nothing of it is left."""
    blocks = [_block(block) for block in result.content]
    is_empty = bool(blocks) and all(isinstance(block, str) for block in blocks)
    shown = [_text(f"[{b}]") if isinstance(b, str) else b for b in blocks]
    return ToolResult(tuple(shown), result.is_error or is_empty)


def _block(given: JsonObject) -> JsonObject | str:
    """The block, or why it is left out."""
    block = well_formed(given)
    if not isinstance(block, dict):
        return "A part of this result is left out: it is no content block."
    kind, text = block.get("type"), block.get("text")
    if kind == "text" and isinstance(text, str):
        return _text(text if len(text) <= _LONGEST else excerpt(text, "the rest is left out"))
    if kind == "image":
        block = _relabelled(block)
    why = why_not_taken(block)
    if why is None:
        return block
    return f"{_NAMES.get(str(kind), 'A part')} of this result is left out: {why}."


def _text(text: str) -> JsonObject:
    return {"type": "text", "text": text}


def _relabelled(block: JsonObject) -> JsonObject:
    """An image under the media type that its bytes have: files are often named wrongly."""
    source = block.get("source")
    if not isinstance(source, dict) or not isinstance(source.get("data"), str):
        return block
    try:
        found = image_size(binascii.a2b_base64(str(source["data"]), strict_mode=True))
    except (binascii.Error, ValueError):
        return block
    if found is None:
        return block
    return {**block, "source": {**source, "media_type": found.media_type}}
