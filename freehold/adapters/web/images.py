"""Images as the model takes them: of four kinds, and no larger than it accepts. One that is refused
there would fail every later turn of the conversation.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAX_PIXELS_A_SIDE = 8000
_JPEG_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = {0x01, *range(0xD0, 0xD9)}


@dataclass(frozen=True, slots=True)
class Image:
    """Told by its first bytes, whatever a header says."""

    media_type: str
    width: int
    height: int

    @property
    def is_too_large(self) -> bool:
        return not (0 < self.width <= MAX_PIXELS_A_SIDE and 0 < self.height <= MAX_PIXELS_A_SIDE)


def look_at(data: bytes) -> Image | None:
    """None for what is no PNG, JPEG, GIF or WebP, or is cut before its size is said."""
    for recognise in (_png, _gif, _webp, _jpeg):
        try:
            found = recognise(data)
        except (struct.error, IndexError):
            return None
        if found is not None:
            return found
    return None


def _png(data: bytes) -> Image | None:
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    return Image("image/png", *struct.unpack_from(">II", data, 16))


def _gif(data: bytes) -> Image | None:
    if data[:6] not in (b"GIF87a", b"GIF89a"):
        return None
    return Image("image/gif", *struct.unpack_from("<HH", data, 6))


def _webp(data: bytes) -> Image | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        return Image("image/webp", width, int.from_bytes(data[27:30], "little") + 1)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return Image("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    width, height = struct.unpack_from("<HH", data, 26)
    return Image("image/webp", width & 0x3FFF, height & 0x3FFF)


def _jpeg(data: bytes) -> Image | None:
    """The size stands in the first frame header, behind other segments."""
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    at = 2
    while data[at] == 0xFF:  # noqa: PLR2004 - a marker
        marker = data[at + 1]
        if marker == 0xFF:  # noqa: PLR2004 - fill
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        elif marker in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return Image("image/jpeg", width, height)
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None
