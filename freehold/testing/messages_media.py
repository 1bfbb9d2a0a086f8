"""What the Messages API refuses of images and documents, with its texts.

From its documentation (Vision: "General limits"; PDF support: "PDF requirements") and from its own
refusals as they are reported in public. It reads files on its own: whoever prepares requests here
must not also judge them.
"""

from __future__ import annotations

import binascii
import struct
from typing import TYPE_CHECKING

from freehold.testing.messages_refused import refuse
from freehold.testing.messages_shapes import Base64Source, Document, Image, ToolResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from freehold.testing.messages_shapes import Block, Message

_MOST = 100
"""Images and documents of a request, for models with a window of 200,000 tokens; others take
600."""
_MOST_CHARACTERS = 10 * 1024 * 1024
_LONGEST_SIDE = 8000
_MANY = 20
_LONGEST_SIDE_OF_MANY = 2000
_JPEG_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = {0x01, *range(0xD0, 0xD9)}


def check_media(messages: Iterable[Message]) -> None:
    """Raises Refused."""
    found = [pair for n, m in enumerate(messages) for pair in _media(f"messages.{n}", m.content)]
    images = [(place, block) for place, block in found if isinstance(block, Image)]
    documents = [(place, block) for place, block in found if isinstance(block, Document)]
    if len(found) > _MOST:
        refuse(f"Too much media: {len(documents)} document pages + {len(images)} images > {_MOST}")
    for place, document in documents:
        if isinstance(document.source, Base64Source):
            _check_pdf(place, document.source)
    for place, image in images:
        if isinstance(image.source, Base64Source):
            _check_image(place, image.source, is_one_of_many=len(images) > _MANY)


def _media(place: str, blocks: Iterable[Block]) -> Iterator[tuple[str, Image | Document]]:
    for n, block in enumerate(blocks):
        here = f"{place}.content.{n}"
        if isinstance(block, ToolResult):
            yield from _media(f"{here}.tool_result", block.content)
        elif isinstance(block, Image | Document):
            yield here, block


def _decoded(place: str, source: Base64Source) -> bytes:
    try:
        return binascii.a2b_base64(source.data, strict_mode=True)
    except binascii.Error:
        refuse(f"{place}.source.base64.data: Invalid base64 data")


def _check_pdf(place: str, source: Base64Source) -> None:
    data = _decoded(place, source)
    if source.media_type != "application/pdf" or b"%PDF-" not in data[:1024]:
        refuse(f"{place}.pdf.source.base64.data: The PDF specified was not valid.")
    if b"/Encrypt" in data:
        refuse(f"{place}.pdf.source.base64.data: The PDF specified is password protected.")


def _check_image(place: str, source: Base64Source, *, is_one_of_many: bool) -> None:
    where = f"{place}.image.source.base64"
    if len(source.data) > _MOST_CHARACTERS:
        refuse(f"{where}: image exceeds 10 MB maximum: {len(source.data)} bytes > 10485760 bytes")
    try:
        found = _size(_decoded(place, source))
    except (struct.error, IndexError):
        found = None
    if found is None:
        refuse("Could not process image")
    media_type, width, height = found
    if media_type != source.media_type:
        refuse(
            f"{where}.media_type: Image does not match the provided media type {source.media_type}"
        )
    if min(width, height) < 1:
        refuse("Could not process image")
    if max(width, height) > _LONGEST_SIDE:
        refuse(
            f"{where}.data: At least one of the image dimensions exceed max allowed size: "
            f"{_LONGEST_SIDE} pixels"
        )
    if is_one_of_many and max(width, height) > _LONGEST_SIDE_OF_MANY:
        refuse(
            f"{where}.data: At least one of the image dimensions exceed max allowed size for "
            f"many-image requests: {_LONGEST_SIDE_OF_MANY} pixels"
        )


def _size(data: bytes) -> tuple[str, int, int] | None:
    """Media type, width and height; None for what is no image or no whole one."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        is_whole = b"IEND" in data[24:]
        return ("image/png", *struct.unpack_from(">II", data, 16)) if is_whole else None
    if data[:6] in (b"GIF87a", b"GIF89a"):
        is_whole = data.rstrip(b"\0").endswith(b";")
        return ("image/gif", *struct.unpack_from("<HH", data, 6)) if is_whole else None
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        is_whole = len(data) >= struct.unpack_from("<I", data, 4)[0] + 8
        return ("image/webp", *_webp(data)) if is_whole else None
    if data.startswith(b"\xff\xd8"):
        return ("image/jpeg", *_jpeg(data)) if b"\xff\xd9" in data[-64:] else None
    return None


def _webp(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        return width, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _jpeg(data: bytes) -> tuple[int, int]:
    """The size stands in the first frame header, behind other segments."""
    at = 2
    while data[at] == 0xFF:  # noqa: PLR2004 - a marker
        marker = data[at + 1]
        if marker == 0xFF:  # noqa: PLR2004 - fill
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        elif marker in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    raise IndexError
