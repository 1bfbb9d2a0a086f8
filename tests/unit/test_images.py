"""The reader of image headers, on what images are and on what they are not."""

from __future__ import annotations

import base64
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from freehold.toolset.images import IMAGE_TYPES, image_size, is_whole
from tests.images import gif, jpeg, png, webp

DRAWN = {
    "png": png,
    "gif": gif,
    "jpeg": jpeg,
    **{kind: partial(webp, kind) for kind in ("lossy", "lossless", "extended")},
}
STARTS = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"GIF89a", b"\xff\xd8\xff", b"\xff\xd8"]
STARTS += [b"RIFF\0\0\0\0WEBP" + kind for kind in (b"VP8 ", b"VP8L", b"VP8X", b"????")]


def drawn(draw, *size):
    return base64.b64decode(draw(*size))


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
@pytest.mark.parametrize("size", [(1, 1), (640, 480), (8000, 3), (16383, 16383)])
def test_a_size_is_read_from_the_header(draw, size):
    found = image_size(drawn(draw, *size))
    assert (found.width, found.height, found.side) == (*size, max(size))
    assert found.media_type in IMAGE_TYPES
    assert found.is_taken is (max(size) <= 8000)


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_every_beginning_of_an_image_is_none_or_is_not_whole(draw):
    data = drawn(draw, 5, 6)
    assert is_whole(data)
    assert is_whole(data + b"\0 what follows does not matter")
    sizes = [image_size(data[:n]) for n in range(len(data))]
    assert {found for found in sizes if found} == {image_size(data)}
    ends = [n for n in range(len(data)) if image_size(data[:n]) and is_whole(data[:n])]
    assert all(data[n:].strip(b"\0crc.") == b"" for n in ends)


def test_a_thumbnail_does_not_end_an_image():
    thumbnail = b"\xff\xe1\0\x06\xff\xd8\xff\xd9"
    data = drawn(jpeg, 30, 40)
    assert is_whole(data[:2] + thumbnail + data[2:])
    assert not is_whole(data[:2] + thumbnail + data[2:-2])


def test_a_gif_ends_behind_its_colours_and_frames():
    header = b"GIF89a\x05\0\x06\0\x80\0\0" + b";;;" * 2
    extension = b"\x21\xf9\x04;;;;\0"
    frame = b"\x2c\0\0\0\0\x05\0\x06\0\x81" + b";" * 12 + b"\x02\x03;;;\x01;\0"
    for end in (header, header + extension, header + extension + frame):
        assert not is_whole(end)
        assert is_whole(end + b";")


@given(st.sampled_from(STARTS), st.binary(max_size=200))
@example(b"\xff\xd8", b"\xff\xe0\0\0" * 50)
@example(b"GIF89a", b"\1\0\1\0\xff\xff\xff,")
def test_no_bytes_break_the_reader(start, rest):
    data = start + rest
    found = image_size(data)
    if found is not None:
        assert found.media_type in IMAGE_TYPES
        assert min(found.width, found.height) >= 0
        assert is_whole(data) in (True, False)


@given(st.binary(max_size=64))
def test_what_begins_like_no_image_is_none(data):
    if not data.startswith((b"\x89PNG", b"GIF8", b"\xff\xd8", b"RIFF")):
        assert image_size(data) is None
