"""Events as clients send them: which content is taken, and what enters the log (BEHAVIOUR 5.7)."""

from __future__ import annotations

import base64
import json

import pytest

from freehold.errors import ApiError, InvalidRequest
from freehold.ids import is_id, new_id
from freehold.wire.event_input import SendEvents
from freehold.wire.parsing import parse_body
from freehold.wire.sessions import CreateSession

SESSION = {"agent": "agent_x", "environment_id": "env_x"}
PNG = base64.b64encode(b"\x89PNG").decode()


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
            "source": {"type": "base64", "media_type": "application/pdf", "data": PNG},
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
