"""Results as they come out of a sandbox: untrusted, so parsed before anything is done with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.errors import SandboxLost
from freehold.toolset import MAX_PDF_BYTES, MAX_RESULT_CHARACTERS, PREVIEW_CHARACTERS, ToolResult
from freehold.toolset.well_formed import well_formed

if TYPE_CHECKING:
    from freehold.toolset import Json, JsonObject

_MAX_BLOCKS = 16
_MAX_TEXT_CHARACTERS = MAX_RESULT_CHARACTERS + 2 * PREVIEW_CHARACTERS
_MAX_DATA_CHARACTERS = MAX_PDF_BYTES // 3 * 4 + 4
_MEDIA_TYPES = {
    "image": ("image/png", "image/jpeg", "image/gif", "image/webp"),
    "document": ("application/pdf",),
}
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")


def parse_result(answer: JsonObject) -> ToolResult:
    """The result in a supervisor's answer, rebuilt from the parts that are known.

    Raises SandboxLost: a supervisor that answers anything else is broken or was taken over.
    """
    content, is_error = answer.get("content"), answer.get("is_error")
    if not isinstance(content, list) or len(content) > _MAX_BLOCKS:
        raise _malformed()
    if not isinstance(is_error, bool):
        raise _malformed()
    return ToolResult(tuple(_block(block) for block in content), is_error)


def _block(block: Json) -> JsonObject:
    if not isinstance(block, dict):
        raise _malformed()
    if block.get("type") == "text":
        text = block.get("text")
        if not isinstance(text, str) or len(text) > _MAX_TEXT_CHARACTERS:
            raise _malformed()
        return {"type": "text", "text": well_formed(text)}
    kind, source = block.get("type"), block.get("source")
    if not isinstance(kind, str) or not isinstance(source, dict):
        raise _malformed()
    media_type, data = source.get("media_type"), source.get("data")
    if media_type not in _MEDIA_TYPES.get(kind, ()) or not isinstance(data, str):
        raise _malformed()
    if len(data) > _MAX_DATA_CHARACTERS or not _BASE64.issuperset(data):
        raise _malformed()
    return {"type": kind, "source": {"type": "base64", "media_type": media_type, "data": data}}


def _malformed() -> SandboxLost:
    return SandboxLost("The sandbox answered something that is not a result.")
