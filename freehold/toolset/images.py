"""What kind of image some bytes are, how large it is, and whether it is all there, from the fields
of the format; no pixel is read. What the Messages API takes of images (docs/divergences.md).
"""

from __future__ import annotations

from typing import NamedTuple

IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
MAX_SIDE = 8000
"""Pixels, of an image in a request with at most `MANY_IMAGES`."""
MANY_IMAGES = 20
MAX_SIDE_OF_MANY = 2000
"""Pixels, of every image in a request with more."""
MAX_IMAGES = 100
"""In one request. Models with a large window take 600, but who asks may change the model."""

_SIZELESS_JPEG_MARKERS = frozenset({0xC4, 0xC8, 0xCC})
_GIF_TRAILER, _GIF_IMAGE = 0x3B, 0x2C
_JPEG_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})


class ImageSize(NamedTuple):
    """`media_type` is what the bytes say, in pixels `width` and `height`."""

    media_type: str
    width: int
    height: int

    @property
    def side(self) -> int:
        """The longer one."""
        return max(self.width, self.height)

    @property
    def is_taken(self) -> bool:
        """Whether the API takes an image of this size."""
        return min(self.width, self.height) > 0 and self.side <= MAX_SIDE


def image_size(data: bytes) -> ImageSize | None:
    """Of a PNG, GIF, WebP or JPEG; None for anything else, and for one that ends in its header."""
    for read in (_png, _gif, _webp, _jpeg):
        found = read(data)
        if found is not None:
            return found
    return None


def is_whole(data: bytes) -> bool:
    """Whether an image that has a size ends where its format says so: the API refuses one that is
    cut short. What follows the end does not matter.
    """
    if data.startswith(b"\x89PNG"):
        return _is_whole_png(data)
    if data.startswith(b"RIFF"):
        return _little(data[4:8]) + 8 <= len(data)
    if data.startswith(b"GIF"):
        return _is_whole_gif(data)
    # Behind the frame: a thumbnail before it has an end of its own.
    return data.find(b"\xff\xd9", _frame_of_jpeg(data) or 0) > 0


def _is_whole_png(data: bytes) -> bool:
    at = 8
    while at + 12 <= len(data):
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at += 12 + _big(data[at : at + 4])
    return False


def _is_whole_gif(data: bytes) -> bool:
    """Blocks of one or more parts, each with its length before it, the last of length 0."""
    at = 13 + _colours(data[10])
    while at < len(data) and data[at] != _GIF_TRAILER:
        if data[at] == _GIF_IMAGE and at + 9 < len(data):
            at += 11 + _colours(data[at + 9])
        else:
            at += 2
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return at < len(data)


def _colours(flags: int) -> int:
    """Bytes of a table of colours."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _png(data: bytes) -> ImageSize | None:
    if not data.startswith(b"\x89PNG\r\n\x1a\n") or data[12:16] != b"IHDR" or len(data) < 24:  # noqa: PLR2004 - the header's end
        return None
    return ImageSize("image/png", _big(data[16:20]), _big(data[20:24]))


def _gif(data: bytes) -> ImageSize | None:
    if data[:6] not in (b"GIF87a", b"GIF89a") or len(data) < 13:  # noqa: PLR2004 - the header's end
        return None
    return ImageSize("image/gif", _little(data[6:8]), _little(data[8:10]))


def _webp(data: bytes) -> ImageSize | None:
    """Lossy, lossless and extended files put their size in three different places."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:  # noqa: PLR2004 - the header's end
        return None
    chunk = data[12:16]
    if chunk == b"VP8X":
        return ImageSize("image/webp", _little(data[24:27]) + 1, _little(data[27:30]) + 1)
    if chunk == b"VP8L":
        bits = _little(data[21:25])
        return ImageSize("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if chunk == b"VP8 ":
        return ImageSize("image/webp", _little(data[26:28]) & 0x3FFF, _little(data[28:30]) & 0x3FFF)
    return None


def _jpeg(data: bytes) -> ImageSize | None:
    at = _frame_of_jpeg(data)
    if at is None:
        return None
    return ImageSize("image/jpeg", _big(data[at + 7 : at + 9]), _big(data[at + 5 : at + 7]))


def _frame_of_jpeg(data: bytes) -> int | None:
    """Where the first start-of-frame segment begins, behind any number of others."""
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:  # noqa: PLR2004 - every segment begins so
        marker = data[at + 1]
        if marker == 0xFF:  # noqa: PLR2004 - padding
            at += 1
        elif marker in _JPEG_WITHOUT_LENGTH:
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in _SIZELESS_JPEG_MARKERS:  # noqa: PLR2004 - start of frame
            return at
        else:
            at += 2 + _big(data[at + 2 : at + 4])
    return None


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")
