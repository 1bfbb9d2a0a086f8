"""Images and documents of a conversation: as many as a request takes, by a stable rule."""

from __future__ import annotations

import base64
import json
from itertools import pairwise

import pytest

from freehold.domain.media import with_bounded_media
from tests.images import jpeg, pdf, png


def image(data=None):
    source = {"type": "base64", "media_type": "image/png", "data": data or png()}
    return {"type": "image", "source": source}


ELSEWHERE = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
WORDS = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
LARGE = image(png(2001, 10))


def document(size=0):
    source = {"type": "base64", "media_type": "application/pdf", "data": pdf() + "A" * size}
    return {"type": "document", "source": source}


def turn(*blocks):
    return {"role": "user", "content": list(blocks)}


def result(*blocks):
    return {"type": "tool_result", "tool_use_id": "t", "content": list(blocks)}


def shown(messages):
    """Whether each image or document, in its order, is still shown."""
    found = []
    for message in messages:
        for block in message["content"]:
            inner = block["content"] if block["type"] == "tool_result" else [block]
            found += [b["type"] != "text" for b in inner if b.get("text") != "words"]
    return found


@pytest.mark.parametrize(
    ("block", "most"), [(image(), 100), (LARGE, 20), (ELSEWHERE, 20), (document(), 100)]
)
def test_there_are_never_more_than_a_request_takes_and_the_newest_is_among_them(block, most):
    turns = []
    for n in range(3 * most):
        turns = [*turns, turn({"type": "text", "text": "words"}, result(block))]
        found = shown(with_bounded_media(turns))
        assert len(found) == n + 1
        assert most // 2 <= sum(found) <= most or sum(found) == n + 1
        assert found == sorted(found)


def test_between_two_batches_a_request_begins_with_the_one_before():
    turns, changes, texts = [], [], []
    for n in range(320):
        turns = [*turns, turn(image(png(n + 1, 1)))]
        texts.append([json.dumps(message) for message in with_bounded_media(turns)])
    for n, (before, after) in enumerate(pairwise(texts), start=1):
        if after[: len(before)] != before:
            changes.append(n)
    assert changes == [100, 151, 202, 253, 304]


def test_one_large_image_among_many_small_ones_gives_way_with_what_is_older():
    turns = [turn(LARGE), *[turn(image()) for _ in range(19)]]
    assert all(shown(with_bounded_media(turns)))
    found = shown(with_bounded_media([*turns, turn(image())]))
    assert found == [False] * 11 + [True] * 10
    found = shown(with_bounded_media([*turns, *[turn(image()) for _ in range(90)]]))
    assert sum(found) == 99


def test_many_images_of_one_turn_are_shown_together():
    earlier = [turn(image()) for _ in range(60)]
    found = shown(with_bounded_media([*earlier, turn(*[image() for _ in range(100)])]))
    assert found == [False] * 60 + [True] * 100
    found = shown(with_bounded_media([turn(LARGE), turn(*[image() for _ in range(25)])]))
    assert found == [False] + [True] * 25


def test_many_images_of_one_turn_are_shown_as_far_as_a_request_takes_them():
    found = shown(with_bounded_media([turn(*[result(image()) for _ in range(130)])]))
    assert found == [False] * 30 + [True] * 100


def test_bytes_are_bounded_and_what_is_too_large_alone_is_not_shown():
    turns = [turn(document(9_000_000)) for _ in range(4)]
    assert shown(with_bounded_media(turns)) == [False, False, False, True]
    assert shown(with_bounded_media([turn(document(29_000_000))])) == [False]
    largest = turn(document(27_900_000))
    assert shown(with_bounded_media([turn(image()), largest])) == [True, True]
    assert shown(with_bounded_media([turn(document(1_000_000)), largest])) == [False, True]


def test_a_document_of_words_is_words():
    turns = [turn(WORDS) for _ in range(300)]
    assert with_bounded_media(turns) == turns


def test_an_image_that_was_stored_unlooked_at_does_not_stop_a_turn():
    turns = [turn(image("%%%")), turn(image("AAAA"))]
    assert with_bounded_media(turns) == turns


@pytest.mark.parametrize("segments", [1, 30])
def test_a_size_far_behind_in_a_file_is_found(segments):
    plain = base64.b64decode(jpeg(30, 40))
    far = plain[:2] + (b"\xff\xe1\xff\xff" + bytes(65533)) * segments + plain[2:]
    small = [turn(image(base64.b64encode(far).decode())) for _ in range(3)]
    turns = [*small, *[turn(image()) for _ in range(30)]]
    assert with_bounded_media(turns) == turns
