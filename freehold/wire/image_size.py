"""What kind of image some bytes are, and how large it is, from their first few fields."""

from typing import NamedTuple

_SIZELESS_JPEG_MARKERS = frozenset({0xC4, 0xC8, 0xCC})
_JPEG_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})


class ImageSize(NamedTuple):
    """`media_type` is what the bytes say, in pixels `width` and `height`."""

    media_type: str
    width: int
    height: int


def image_size(data: bytes) -> ImageSize | None:
    """Of a PNG, GIF, WebP or JPEG; None for anything else, and for one that ends in its header."""
    for read in (_png, _gif, _webp, _jpeg):
        found = read(data)
        if found is not None:
            return found
    return None


def _png(data: bytes) -> ImageSize | None:
    if not data.startswith(b"\x89PNG\r\n\x1a\n") or data[12:16] != b"IHDR" or len(data) < 24:  # noqa: PLR2004 - the header's end
        return None
    return ImageSize("image/png", _big(data[16:20]), _big(data[20:24]))


def _gif(data: bytes) -> ImageSize | None:
    if data[:6] not in (b"GIF87a", b"GIF89a") or len(data) < 10:  # noqa: PLR2004 - the header's end
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
    """The size stands in the first start-of-frame segment, behind any number of others."""
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
            return ImageSize("image/jpeg", _big(data[at + 7 : at + 9]), _big(data[at + 5 : at + 7]))
        else:
            at += 2 + _big(data[at + 2 : at + 4])
    return None


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")
