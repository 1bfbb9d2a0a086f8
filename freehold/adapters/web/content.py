"""What was fetched, as content blocks: pages and other text as text, PDFs as documents, images as
images.
"""

from __future__ import annotations

from base64 import b64encode
from posixpath import basename
from urllib.parse import unquote

from freehold.adapters.web.charset import decode
from freehold.adapters.web.exchange import Answer
from freehold.adapters.web.failure import Failed
from freehold.adapters.web.lifeline import Lifeline
from freehold.adapters.web.page_text import PageReader
from freehold.toolset import MAX_IMAGE_BASE64_BYTES, JsonObject
from freehold.toolset.images import MAX_SIDE, image_size
from freehold.toolset.pdf import is_encrypted

CHARACTERS_A_TOKEN = 4
"""Of English text, about; `max_content_tokens` is a cap and not a count."""
_HTML = {"text/html", "application/xhtml+xml"}
_TEXTS = {
    "application/ecmascript",
    "application/graphql",
    "application/javascript",
    "application/json",
    "application/sql",
    "application/toml",
    "application/x-javascript",
    "application/x-ndjson",
    "application/x-sh",
    "application/x-yaml",
    "application/xml",
    "application/yaml",
}
_UNSAID = {"", "application/octet-stream", "binary/octet-stream", "application/unknown"}
_PDF = "application/pdf"


def blocks_of(
    answer: Answer, max_tokens: int | None, reader: PageReader, lifeline: Lifeline
) -> list[JsonObject]:
    """What the model is shown. Raises Failed, WebCallStopped."""
    data, kind = answer.body, answer.media_type
    if data.lstrip()[:5] == b"%PDF-" and kind in {_PDF, *_UNSAID}:
        return [_document(answer)]
    if kind.startswith("image/") and kind != "image/svg+xml":
        return [_image(data)]
    if kind in _UNSAID and image_size(data) is not None:
        return [_image(data)]
    if kind in _HTML or (not kind and data.lstrip()[:1] == b"<"):
        title, text = reader.read(decode(data, answer.charset), str(answer.url), lifeline)
        return [_text(answer, title, text, max_tokens)]
    is_text = kind.startswith("text/") or kind in _TEXTS or kind.endswith(("+json", "+xml"))
    if is_text or not kind:
        text = decode(data, answer.charset)
        if "\0" not in text:
            return [_text(answer, "", text, max_tokens)]
    raise Failed("unsupported_content_type", f"it is {kind or 'of a type that is not said'}")


def _text(answer: Answer, title: str, text: str, max_tokens: int | None) -> JsonObject:
    """Says where it is from: a redirect may have led elsewhere."""
    head = f"URL: {answer.url}\n" + (f"Title: {title}\n" if title else "")
    shown = text if text.strip() else "(no text)"
    if max_tokens is not None and len(shown) > max_tokens * CHARACTERS_A_TOKEN:
        cut = shown[: max_tokens * CHARACTERS_A_TOKEN]
        shown = f"{cut}\n[cut here: the page has more than {max_tokens} tokens]"
    return {"type": "text", "text": f"{head}\n{shown}"}


def _document(answer: Answer) -> JsonObject:
    """A PDF. One that needs a password is refused by the model's API, with all that follows it."""
    if is_encrypted(answer.body):
        raise Failed("unsupported_content_type", "it is a PDF that is encrypted")
    data = b64encode(answer.body).decode()
    name = unquote(basename(answer.url.target.partition("?")[0]))
    block: JsonObject = {
        "type": "document",
        "source": {"type": "base64", "media_type": _PDF, "data": data},
    }
    return {**block, "title": name} if name.strip() else block


def _image(data: bytes) -> JsonObject:
    image = image_size(data)
    if image is None:
        raise Failed("unsupported_content_type", "it is an image, but no PNG, JPEG, GIF or WebP")
    encoded = b64encode(data).decode()
    if len(encoded) > MAX_IMAGE_BASE64_BYTES or not image.is_taken:
        raise Failed(
            "content_too_large",
            f"an image has at most {MAX_IMAGE_BASE64_BYTES >> 20} MiB in base64 and"
            f" {MAX_SIDE} pixels a side",
        )
    source: JsonObject = {"type": "base64", "media_type": image.media_type, "data": encoded}
    return {"type": "image", "source": source}
