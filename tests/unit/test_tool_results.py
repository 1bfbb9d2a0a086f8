"""What becomes of what a tool brings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.tool_results import as_taken
from freehold.ports import ModelRequest
from freehold.toolset import ToolResult
from tests.images import gif, jpeg, pdf, png, webp
from tests.judge import judge


def image(data, media_type="image/png"):
    source = {"type": "base64", "media_type": media_type, "data": data}
    return {"type": "image", "source": source}


def text(words):
    return {"type": "text", "text": words}


FOUND = {
    "type": "search_result",
    "source": "https://example.com",
    "title": "T",
    "content": [text("Words.")],
    "citations": {"enabled": False},
}
DOCUMENT = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": pdf()},
    "title": "T",
}


@pytest.mark.parametrize(
    "block",
    [text("a\0\tb"), text(""), image(png(8000, 1)), DOCUMENT, FOUND],
    ids=lambda b: b["type"],
)
def test_what_the_model_takes_stays_as_it_is(block):
    for is_error in (False, True):
        result = ToolResult((block, text("more")), is_error)
        assert as_taken(result) == result


@pytest.mark.parametrize("draw", [png, gif, jpeg, lambda: webp("lossy")])
def test_an_image_gets_the_media_type_that_it_has(draw):
    (block,) = as_taken(ToolResult((image(draw(), "image/bmp"),))).content
    assert block["source"]["data"] == draw()
    assert as_taken(ToolResult((block,))).content == (block,)
    assert block["source"]["media_type"] != "image/bmp"


def test_what_is_left_out_is_named_with_the_limit_and_the_rest_stays():
    result = as_taken(ToolResult((text("Here:"), image(png(9000, 10)))))
    assert result.content[0] == text("Here:")
    assert result.content[1] == text(
        "[An image of this result is left out: an image of 9000x10 pixels is too large: "
        "no side may exceed 8000 pixels.]"
    )
    assert not result.is_error


def test_a_result_of_which_nothing_is_left_is_an_error():
    assert as_taken(ToolResult((image("%"), image("")))).is_error
    assert not as_taken(ToolResult(())).is_error


def test_half_a_surrogate_pair_becomes_a_question_mark_wherever_it_stands():
    found = {**FOUND, "title": "a\ud800b", "content": [text("\udfff")]}
    (block,) = as_taken(ToolResult((found,))).content
    assert (block["title"], block["content"][0]["text"]) == ("a?b", "?")


def test_a_text_without_end_is_shown_in_part():
    (block,) = as_taken(ToolResult((text("x" * 1_000_000),))).content
    assert block["text"].startswith("[output truncated: 1000000 characters; the rest is left out]")
    assert len(block["text"]) < 30_000


WORDS = st.sampled_from(
    ["\ud800", "", " ", "\0", "words", png(), jpeg()[:40], gif(9, 9), pdf(), "%", "https://x.y/z"]
)
OTHERS = dict.fromkeys(["text", "title", "data", "url", "citations"], WORDS | st.none()) | {
    "type": st.sampled_from(["text", "image", "document", "search_result", "base64", "url", "x"]),
    "media_type": st.sampled_from(["image/png", "image/gif", "application/pdf", "text/plain", 7]),
}


def blocks(source):
    return st.fixed_dictionaries(
        {},
        optional={
            **OTHERS,
            "source": source | WORDS,
            "content": st.lists(st.fixed_dictionaries({}, optional=OTHERS), max_size=2),
        },
    )


@given(st.lists(blocks(st.fixed_dictionaries({}, optional=OTHERS)), max_size=4), st.booleans())
def test_whatever_a_tool_brings_a_request_with_it_keeps_the_rules(brought, is_error):
    result = as_taken(ToolResult(tuple(brought), is_error))
    shown = [b for b in result.content if b["type"] != "text" or b["text"].strip()]
    use = {"type": "tool_use", "id": "t", "name": "bash", "input": {}}
    answer = {"type": "tool_result", "tool_use_id": "t", "content": shown or [text("none")]}
    turns = (
        {"role": "user", "content": [text("Go.")]},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [{**answer, "is_error": result.is_error}]},
    )
    judge(ModelRequest("claude-opus-5", (), (), turns))
