"""Events as clients send them: which content is taken, and what enters the log (BEHAVIOUR 5.7)."""

from __future__ import annotations

import base64
import json
from functools import partial

import pytest

from freehold.errors import ApiError, InvalidRequest, NotYetSupported
from freehold.ids import is_id, new_id
from freehold.wire.event_input import SendEvents
from freehold.wire.parsing import parse_body
from freehold.wire.sessions import CreateSession
from freehold.wire.system_turns import takes_system_turns
from tests.images import gif, jpeg, pdf, png, webp

SESSION = {"agent": "agent_x", "environment_id": "env_x"}
PNG, PDF = png(), pdf()


def parse(model, body):
    return parse_body(model, json.dumps(body).encode())


def refusal(model, body):
    with pytest.raises(ApiError) as refused:
        parse(model, body)
    assert type(refused.value) is InvalidRequest
    return refused.value.message


def user_message(*blocks):
    return {"events": [{"type": "user.message", "content": list(blocks)}]}


# ---------------------------------------------------------------- content
TEXT = {"type": "text", "text": "t"}


@pytest.mark.parametrize(
    "block",
    [
        TEXT,
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/x.png"}},
        {
            "type": "document",
            "title": "T",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
        },
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "words"},
        },
    ],
)
def test_content_is_stored_as_it_was_sent(block):
    event = parse(SendEvents, user_message(block)).events[0].accepted()
    assert json.loads(event.model_dump_json())["content"] == [block]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"type": "redacted"}, "`redacted` blocks cannot be sent"),
        ({"type": "text", "text": " \n"}, "text must not be empty"),
        ({"type": "search_result"}, "type must be one of 'text', 'image', 'document', 'redacted'"),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "a"}},
            "data is not valid base64",
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}},
            "data must not be empty",
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "x/y", "data": PNG}},
            "media_type must be one of image/jpeg",
        ),
        (
            {"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}},
            "url must begin with",
        ),
    ],
)
def test_content_the_model_could_never_take_is_refused(block, message):
    assert refusal(SendEvents, user_message(TEXT, block)).startswith(
        f"events.0.content.1: {message}"
    )


def image(data, media_type="image/png"):
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": media_type, "data": data},
    }


IMAGES = {
    "png": (png, "image/png"),
    "gif": (gif, "image/gif"),
    "jpeg": (jpeg, "image/jpeg"),
    **{
        f"{kind} webp": (partial(webp, kind), "image/webp")
        for kind in ("lossy", "lossless", "extended")
    },
}


@pytest.mark.parametrize(("draw", "media_type"), IMAGES.values(), ids=IMAGES)
def test_an_image_is_taken_up_to_8000_pixels_a_side_and_by_its_own_media_type(draw, media_type):
    assert parse(SendEvents, user_message(image(draw(8000, 7999), media_type)))
    for wide, high in ((8001, 1), (1, 8001)):
        refused = refusal(SendEvents, user_message(image(draw(wide, high), media_type)))
        assert f"an image of {wide}x{high} pixels is too large" in refused
    other = "image/gif" if media_type != "image/gif" else "image/png"
    refused = refusal(SendEvents, user_message(image(draw(), other)))
    assert refused == f"events.0.content.0: data is not of the media type {other}"


def test_an_image_that_ends_in_its_header_is_none():
    for draw, media_type in IMAGES.values():
        cut = draw()[:12]
        assert "data is not of" in refusal(SendEvents, user_message(image(cut, media_type)))


def test_an_image_without_its_end_or_without_pixels_is_refused():
    for draw, media_type in IMAGES.values():
        data = base64.b64decode(draw(3, 4))
        cut = base64.b64encode(data[:-9] if media_type == "image/png" else data[:-1]).decode()
        refused = refusal(SendEvents, user_message(image(cut, media_type)))
        assert refused == "events.0.content.0: data ends before the image does"
    assert "0x7 pixels has none" in refusal(SendEvents, user_message(image(png(0, 7))))


def test_more_images_than_a_request_takes_are_refused_with_the_limit():
    assert parse(SendEvents, user_message(*[image(png(2000, 9))] * 100))
    assert parse(SendEvents, user_message(*[image(png(8000, 9))] * 20))
    refused = refusal(SendEvents, user_message(*[image(png())] * 101))
    assert refused == "events.0.content: 101 images are too many: at most 100 are taken"
    refused = refusal(SendEvents, user_message(*[image(png())] * 20, image(png(9, 2001))))
    assert "with more than 20 images no side of one may exceed 2000 pixels" in refused


def test_documents_and_images_have_the_size_of_a_request_together():
    source = {"type": "base64", "media_type": "application/pdf", "data": pdf() + "A" * 15_000_000}
    large = {"type": "document", "source": source}
    assert parse(SendEvents, user_message(large))
    refused = refusal(SendEvents, user_message(large, large))
    assert "must not exceed 28000000 bytes of base64 together" in refused


@pytest.mark.parametrize("lock", [b"/Encrypt 5 0 R", b"/Encrypt<< /V 4 >>", b"/Encrypt\n12 0 R"])
def test_a_pdf_that_is_encrypted_is_refused(lock):
    assert refusal(SendEvents, user_message(document(b"%PDF-1.7\ntrailer " + lock))) == (
        "events.0.content.0: data is a PDF that is encrypted"
    )
    spoken = b"%PDF-1.7\n(the key /Encrypt of a trailer)"
    assert parse(SendEvents, user_message(document(spoken)))


def document(data):
    encoded = base64.b64encode(data).decode()
    source = {"type": "base64", "media_type": "application/pdf", "data": encoded}
    return {"type": "document", "source": source}


def test_an_image_above_ten_megabytes_is_refused():
    large = png() + "A" * (10 * 1024 * 1024)
    assert "must not exceed 10485760" in refusal(SendEvents, user_message(image(large)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": {"type": "base64", "media_type": "application/pdf", "data": PNG}}, "not a PDF"),
        ({"source": {"type": "base64", "media_type": "image/png", "data": PNG}}, "media_type must"),
        (
            {"source": {"type": "text", "media_type": "text/plain", "data": " "}},
            "must not be empty",
        ),
        ({"source": {"type": "text", "media_type": "text/html", "data": "x"}}, "'text/plain'"),
        ({"source": {"type": "url", "url": "https://"}}, "url is not a URL"),
        ({"source": {"type": "url", "url": "https://a b/"}}, "url is not a URL"),
        ({"source": {"type": "content", "content": "x"}}, "type must be one of"),
        ({"title": ""}, "title must have 1 to 500"),
        ({"title": "t" * 501}, "title must have 1 to 500"),
        ({"context": ""}, "context must not be empty"),
        ({"citations": {"enabled": True}}, "unknown field"),
    ],
)
def test_a_document_the_model_could_never_take_is_refused(change, message):
    source = {"type": "text", "media_type": "text/plain", "data": "words"}
    block = {"type": "document", "source": source, **change}
    assert message in refusal(SendEvents, user_message(block))


@pytest.mark.parametrize("kind", ["image", "document"])
def test_a_file_source_is_refused_by_name(kind):
    block = {"type": kind, "source": {"type": "file", "file_id": "file_x"}}
    with pytest.raises(NotYetSupported, match="`file sources`"):
        parse(SendEvents, user_message(block))


# ---------------------------------------------------------------- system messages
MESSAGE = {"type": "user.message", "content": [TEXT]}
SYSTEM = {"type": "system.message", "content": [TEXT]}
CONFIRMATION = {"type": "user.tool_confirmation", "tool_use_id": "sevt_x", "result": "allow"}


@pytest.mark.parametrize("events", [[SYSTEM], [MESSAGE, SYSTEM], [MESSAGE, MESSAGE, SYSTEM]])
def test_a_system_message_stands_alone_or_last_behind_what_it_accompanies(events):
    assert parse(SendEvents, {"events": events}).events[-1].type == "system.message"


@pytest.mark.parametrize(
    "events",
    [
        [SYSTEM, MESSAGE],
        [MESSAGE, SYSTEM, SYSTEM],
        [SYSTEM, SYSTEM],
        [MESSAGE, SYSTEM, MESSAGE],
        [MESSAGE, {"type": "user.interrupt"}, SYSTEM],
        [CONFIRMATION, SYSTEM],
    ],
)
def test_a_system_message_elsewhere_is_refused_with_its_place(events):
    place = events.index(SYSTEM)
    refused = refusal(SendEvents, {"events": events})
    assert refused.startswith(f"Invalid system.message event at events[{place}]: it must be the")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "at least 1"),
        ([TEXT] * 1001, "at most 1000"),
        ([{"type": "text", "text": " "}], "text must not be empty"),
        ([image(PNG)], "events.0.content.0"),
        ("words", "events.0.content"),
    ],
)
def test_a_system_message_holds_one_to_a_thousand_texts(content, message):
    assert message in refusal(SendEvents, {"events": [{**SYSTEM, "content": content}]})


def test_a_system_message_begins_no_session():
    assert "type must be one of" in refusal(CreateSession, {**SESSION, "initial_events": [SYSTEM]})


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        ("claude-opus-4-8", True),
        ("claude-opus-5-20260101", True),
        ("claude-sonnet-5-5", True),
        ("claude-fable-5-1", True),
        ("claude-sonnet-5", False),
        ("claude-haiku-4-5", False),
        ("claude-opus-5-9", False),
        ("another-model", False),
    ],
)
def test_only_models_known_to_take_system_turns_are_given_them(model, takes):
    assert takes_system_turns(model) is takes


# ---------------------------------------------------------------- events
def test_an_accepted_event_is_new_and_queued():
    body = {"events": [{"type": "user.message", "content": [TEXT]}, {"type": "user.interrupt"}]}
    message, interrupt = (params.accepted() for params in parse(SendEvents, body).events)
    assert is_id("sevt", message.id)
    assert message.id != interrupt.id
    assert json.loads(interrupt.model_dump_json()) == {
        "id": interrupt.id,
        "type": "user.interrupt",
        "processed_at": None,
    }


def test_an_interrupt_may_name_a_thread():
    thread_id = new_id("sthr")
    body = {"events": [{"type": "user.interrupt", "session_thread_id": thread_id}]}
    assert parse(SendEvents, body).events[0].accepted().session_thread_id == thread_id
    body = {"events": [{"type": "user.interrupt", "session_thread_id": "sthr_1"}]}
    assert refusal(SendEvents, body) == "Invalid thread ID."


def test_a_confirmation_is_routed_by_its_id_and_not_by_the_thread_named_beside_it():
    answer = {"type": "user.tool_confirmation", "tool_use_id": "sevt_x", "result": "deny"}
    body = {"events": [{**answer, "deny_message": "no", "session_thread_id": "sthr_wrong"}]}
    event = parse(SendEvents, body).events[0].accepted()
    assert event.model_dump() == {
        **answer,
        "id": event.id,
        "deny_message": "no",
        "processed_at": None,
    }
    assert (
        "deny_message"
        not in parse(SendEvents, {"events": [answer]}).events[0].accepted().model_dump()
    )
    allowed = {**answer, "result": "allow", "deny_message": "no"}
    assert "only allowed when result" in refusal(SendEvents, {"events": [allowed]})


def test_only_messages_may_begin_a_session_and_no_more_than_fifty():
    event = {"type": "user.message", "content": [TEXT]}
    assert (
        len(parse(CreateSession, {**SESSION, "initial_events": [event] * 50}).initial_events) == 50
    )
    assert "at most 50" in refusal(CreateSession, {**SESSION, "initial_events": [event] * 51})
    interrupt = {"type": "user.interrupt"}
    assert "type must be one of" in refusal(
        CreateSession, {**SESSION, "initial_events": [interrupt]}
    )
