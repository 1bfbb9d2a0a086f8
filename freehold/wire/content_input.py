"""Content blocks as clients send them (BEHAVIOUR 5.7).

What the model's provider would refuse is refused here: stored, it would fail the turn that reads
it.
"""

import binascii
from collections.abc import Sequence
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator

from freehold.errors import NotYetSupported
from freehold.toolset import MAX_MEDIA_CHARACTERS
from freehold.toolset.images import (
    IMAGE_TYPES,
    MANY_IMAGES,
    MAX_IMAGES,
    MAX_SIDE,
    MAX_SIDE_OF_MANY,
    image_size,
    is_whole,
)
from freehold.toolset.pdf import is_encrypted, is_pdf
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

DOCUMENT_TYPES = ("application/pdf",)
MAX_IMAGE_BASE64 = 10 * 1024 * 1024
MAX_DOCUMENT_TITLE = 500

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
        _check_pdf(source)
    elif isinstance(source, PlainTextDocumentSource):
        if not source.data.strip():
            raise ValueError("data must not be empty")
    else:
        _check_url(getattr(source, "url", ""))


def _check_pdf(source: Base64DocumentSource) -> None:
    if len(source.data) > MAX_MEDIA_CHARACTERS:
        raise ValueError(f"data of a PDF must not exceed {MAX_MEDIA_CHARACTERS} bytes of base64")
    decoded = _decoded(source.media_type, source.data, DOCUMENT_TYPES)
    if not is_pdf(decoded):
        raise ValueError("data is not a PDF")
    if is_encrypted(decoded):
        raise ValueError("data is a PDF that is encrypted")


def _check_image(source: Base64ImageSource) -> None:
    if len(source.data) > MAX_IMAGE_BASE64:
        raise ValueError(f"data of an image must not exceed {MAX_IMAGE_BASE64} bytes of base64")
    decoded = _decoded(source.media_type, source.data, IMAGE_TYPES)
    found = image_size(decoded)
    if found is None or found.media_type != source.media_type:
        raise ValueError(f"data is not of the media type {source.media_type}")
    size = f"an image of {found.width}x{found.height} pixels"
    if found.side > MAX_SIDE:
        raise ValueError(f"{size} is too large: no side may exceed {MAX_SIDE} pixels")
    if not found.is_taken:
        raise ValueError(f"{size} has none")
    if not is_whole(decoded):
        raise ValueError("data ends before the image does")


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


B = TypeVar("B", bound=Block)


def check_media(blocks: Sequence[B] | None) -> Sequence[B] | None:
    """Raises ValueError for more images, larger ones, or more bytes than one request to the model
    takes: no later turn could show this event.
    """
    sources = [b.source for b in blocks or () if isinstance(b, ImageBlock | DocumentBlock)]
    images = [b.source for b in blocks or () if isinstance(b, ImageBlock)]
    if len(images) > MAX_IMAGES:
        raise ValueError(f"{len(images)} images are too many: at most {MAX_IMAGES} are taken")
    total = sum(len(getattr(source, "data", "")) for source in sources)
    if total > MAX_MEDIA_CHARACTERS:
        raise ValueError(
            f"images and documents must not exceed {MAX_MEDIA_CHARACTERS} bytes of base64 together"
        )
    given = [source for source in images if isinstance(source, Base64ImageSource)]
    if len(images) > MANY_IMAGES and any(_side(source) > MAX_SIDE_OF_MANY for source in given):
        raise ValueError(
            f"with more than {MANY_IMAGES} images no side of one may exceed"
            f" {MAX_SIDE_OF_MANY} pixels"
        )
    return blocks


def _side(source: Base64ImageSource) -> int:
    """The longer one, in pixels."""
    found = image_size(binascii.a2b_base64(source.data))
    return found.side if found else 0


CheckedUserContent = Annotated[UserContent, AfterValidator(_check_block)]
CheckedResultContent = Annotated[ResultContent, AfterValidator(_check_block)]
