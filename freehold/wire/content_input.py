"""Content blocks as clients send them (BEHAVIOUR 5.7).

What the model's provider would refuse is refused here: stored, it would fail the turn that reads
it.
"""

import binascii
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from freehold.errors import NotYetSupported
from freehold.wire.content import (
    Base64DocumentSource,
    Base64ImageSource,
    DocumentBlock,
    FileDocumentSource,
    FileImageSource,
    ImageBlock,
    PlainTextDocumentSource,
    RedactedBlock,
    ResultContent,
    SearchResultBlock,
    TextBlock,
    UserContent,
)
from freehold.wire.image_size import image_size

IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
DOCUMENT_TYPES = ("application/pdf",)
MAX_IMAGE_BASE64 = 10 * 1024 * 1024
MAX_IMAGE_SIDE = 8000
MAX_DOCUMENT_TITLE = 500
_PDF_MARK = b"%PDF-"
_PDF_MARK_WITHIN = 1024

Block = TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | RedactedBlock


def _check_block(block: Block) -> Block:
    if block.type == "redacted":
        raise ValueError("`redacted` blocks cannot be sent")
    if block.type == "text":
        check_text(block.text)
    if isinstance(block, ImageBlock | DocumentBlock):
        _check_source(block.source)
    if isinstance(block, DocumentBlock):
        _check_names(block)
    return block


def check_text(text: str) -> None:
    """Raises ValueError for a text without a word."""
    if not text.strip():
        raise ValueError("text must not be empty")


def _check_names(block: DocumentBlock) -> None:
    if block.title is not None and not 1 <= len(block.title) <= MAX_DOCUMENT_TITLE:
        raise ValueError(f"title must have 1 to {MAX_DOCUMENT_TITLE} characters")
    if block.context == "":
        raise ValueError("context must not be empty")


def _check_source(source: object) -> None:
    if isinstance(source, FileImageSource | FileDocumentSource):
        raise NotYetSupported("file sources")
    if isinstance(source, Base64ImageSource):
        _check_image(source)
    elif isinstance(source, Base64DocumentSource):
        decoded = _decoded(source.media_type, source.data, DOCUMENT_TYPES)
        if _PDF_MARK not in decoded[:_PDF_MARK_WITHIN]:
            raise ValueError("data is not a PDF")
    elif isinstance(source, PlainTextDocumentSource):
        if not source.data.strip():
            raise ValueError("data must not be empty")
    else:
        _check_url(getattr(source, "url", ""))


def _check_image(source: Base64ImageSource) -> None:
    if len(source.data) > MAX_IMAGE_BASE64:
        raise ValueError(f"data of an image must not exceed {MAX_IMAGE_BASE64} bytes of base64")
    found = image_size(_decoded(source.media_type, source.data, IMAGE_TYPES))
    if found is None or found.media_type != source.media_type:
        raise ValueError(f"data is not of the media type {source.media_type}")
    if max(found.width, found.height) > MAX_IMAGE_SIDE:
        raise ValueError(
            f"an image of {found.width}x{found.height} pixels is too large: "
            f"no side may exceed {MAX_IMAGE_SIDE} pixels"
        )


def _decoded(media_type: str, data: str, known: tuple[str, ...]) -> bytes:
    if media_type not in known:
        raise ValueError(f"media_type must be one of {', '.join(known)}")
    try:
        decoded = binascii.a2b_base64(data, strict_mode=True)
    except (binascii.Error, ValueError):
        raise ValueError("data is not valid base64") from None
    if not decoded:
        raise ValueError("data must not be empty")
    return decoded


def _check_url(url: str) -> None:
    if not url.startswith(("https://", "http://")):
        raise ValueError("url must begin with https:// or http://")
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    if not host or any(character.isspace() for character in url):
        raise ValueError("url is not a URL")


CheckedUserContent = Annotated[UserContent, AfterValidator(_check_block)]
CheckedResultContent = Annotated[ResultContent, AfterValidator(_check_block)]
