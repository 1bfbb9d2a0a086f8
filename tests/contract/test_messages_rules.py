"""The rules of the Messages API that the double enforces, and the words it refuses with.

Each rule has a request that breaks it and nothing else.
"""

from __future__ import annotations

import httpx2
import pytest

from freehold.testing.messages_server import MessagesServer
from tests.contract.messages_bodies import (
    HEADERS,
    POINT,
    TOOL,
    assistant,
    body_of,
    body_with,
    error_of,
    system,
    text,
    tool_result,
    tool_use,
    user,
)


@pytest.fixture(scope="module")
def api():
    with MessagesServer() as server:
        yield server


@pytest.fixture(scope="module")
def http(api):
    with httpx2.Client(base_url=api.url, headers=HEADERS, trust_env=False) as client:
        yield client


# ---------------------------------------------------------------- rules
def test_a_request_that_keeps_the_rules_is_answered(http):
    answer = http.post("/v1/messages", json=body_of())
    assert answer.status_code == 200
    assert answer.json()["content"] == [text("You said: and?")]


LEFT = "`tool_use` ids were found without `tool_result` blocks immediately after"
ENDS = "This model does not support assistant message prefill."
FIVE = [{**text(str(n)), **POINT} for n in range(5)]
HOUR = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
BROKEN = {
    "no model": (body_of(model=None), "model: Field required"),
    "no max_tokens": (body_of(max_tokens=None), "max_tokens: Field required"),
    "no messages": (body_of(messages=None), "messages: Field required"),
    "empty messages": (body_with([]), "messages: at least one message is required"),
    "unknown field": (body_of(colour="red"), "colour: Extra inputs are not permitted"),
    "sampling": (body_of(temperature=0.5), "temperature: Extra inputs are not permitted"),
    "unknown field of a block": (
        body_with([user({**text("hi"), "id": "x"})]),
        "messages.0.content.0.text.id: Extra inputs are not permitted",
    ),
    "unknown field of a tool": (
        body_of(tools=[{**TOOL, "kind": "x"}]),
        "tools.0.custom.kind: Extra inputs are not permitted",
    ),
    "unknown kind of block": (
        body_with([user({"type": "video"})]),
        "messages.0.content.0: Input tag 'video' found",
    ),
    "unknown role": (
        body_with([{"role": "tool", "content": "hi"}]),
        "messages.0.role: Input should be 'user', 'assistant' or 'system'",
    ),
    "a system turn of an older model": (
        body_of(
            model="claude-sonnet-5", messages=[user(text("hi")), system(text("so"))], max_tokens=5
        ),
        "messages.1: role 'system' is not supported on this model",
    ),
    "begins with a system turn": (
        body_with([system(text("so")), user(text("hi"))]),
        "messages.0: use the top-level 'system' parameter for the initial system prompt",
    ),
    "a system turn behind a reply": (
        body_with([user(text("a")), assistant(text("b")), system(text("so"))]),
        "messages.2: role 'system' must follow a 'user' message or an 'assistant' message ending",
    ),
    "a system turn before a user turn": (
        body_with([user(text("a")), system(text("so")), user(text("b"))]),
        "messages.1: role 'system' must precede an 'assistant' message or end the array",
    ),
    "a system turn between a call and its result": (
        body_with(
            [user(text("a")), assistant(tool_use(1)), system(text("so")), user(tool_result(1))]
        ),
        "messages.2: role 'system' must follow a 'user' message",
    ),
    "a call in a system turn": (
        body_with([user(text("a")), system(tool_use(1))]),
        "messages.1: `tool_use` blocks cannot be in `system` messages",
    ),
    "empty text in a system turn": (
        body_with([user(text("a")), system(text(""))]),
        "messages: text content blocks must be non-empty",
    ),
    "content of a wrong type": (
        body_with([{"role": "user", "content": 3}]),
        "messages.0.content: Input should be a valid list",
    ),
    "begins with the assistant": (
        body_with([assistant(text("hi")), user(text("hi"))]),
        'messages: first message must use the "user" role',
    ),
    "ends with the assistant": (body_with([user(text("hi")), assistant(text("so"))]), ENDS),
    "ends with the assistant's call": (body_with([user(text("hi")), assistant(tool_use())]), ENDS),
    "empty content": (
        body_with([user(text("hi")), assistant(), user(text("hi"))]),
        "messages.1: all messages must have non-empty content",
    ),
    "empty string": (
        body_with([{"role": "user", "content": ""}]),
        "messages.0: all messages must have non-empty content",
    ),
    "empty text": (
        body_with([user(text("hi"), text(""))]),
        "messages: text content blocks must be non-empty",
    ),
    "blank text": (
        body_with([user(text(" \n"))]),
        "messages: text content blocks must contain non-whitespace text",
    ),
    "empty text in a result": (
        body_with([user(text("a")), assistant(tool_use()), user(tool_result(content=[text("")]))]),
        "messages: text content blocks must be non-empty",
    ),
    "empty system text": (
        body_of(system=[text("")]),
        "system: text content blocks must be non-empty",
    ),
    "a call without a result": (
        body_with([user(text("a")), assistant(tool_use(1), tool_use(2)), user(tool_result(1))]),
        f"messages.1: {LEFT}: toolu_2.",
    ),
    "a call answered by words": (
        body_with([user(text("a")), assistant(tool_use(1)), user(text("no"))]),
        f"messages.1: {LEFT}: toolu_1.",
    ),
    "a result after other content": (
        body_with([user(text("a")), assistant(tool_use(1)), user(text("so"), tool_result(1))]),
        f"messages.1: {LEFT}: toolu_1.",
    ),
    "a result too late": (
        body_with(
            [
                user(text("a")),
                assistant(tool_use(1)),
                user(text("b")),
                assistant(text("c")),
                user(tool_result(1)),
            ]
        ),
        f"messages.1: {LEFT}: toolu_1.",
    ),
    "a result of nothing": (
        body_with([user(text("a")), assistant(text("b")), user(tool_result(7))]),
        "messages.2.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_7.",
    ),
    "a result in the first message": (
        body_with([user(tool_result(7))]),
        "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_7.",
    ),
    "two results of one call": (
        body_with([user(text("a")), assistant(tool_use(1)), user(tool_result(1), tool_result(1))]),
        "messages.2.content.1: each tool_use must have a single result.",
    ),
    "a failed result without content": (
        body_with(
            [
                user(text("a")),
                assistant(tool_use(1)),
                user(tool_result(1, content=[], is_error=True)),
            ]
        ),
        "messages.2.content.0.tool_result: content cannot be empty if `is_error` is true",
    ),
    "two calls of one id": (
        body_with([user(text("a")), assistant(tool_use(1), tool_use(1)), user(tool_result(1))]),
        "messages.1: `tool_use` ids must be unique",
    ),
    "a call by the user": (
        body_with([user(text("a"), tool_use(1))]),
        "messages.0: `tool_use` blocks can only be in `assistant` messages",
    ),
    "a result by the assistant": (
        body_with([user(text("a")), assistant(tool_result(1)), user(text("b"))]),
        "messages.1: `tool_result` blocks can only be in `user` messages",
    ),
    "five breakpoints": (
        body_with([user(*FIVE)]),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    "five breakpoints in all places": (
        body_of(
            tools=[{**TOOL, **POINT}],
            system=[{**text("s"), **POINT}],
            messages=[
                user(text("a")),
                assistant(tool_use()),
                user({**tool_result(content=[{**text("in it"), **POINT}]), **POINT}, FIVE[0]),
            ],
        ),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    "an hour after five minutes": (
        body_of(system=[{**text("s"), **POINT}], messages=[user({**text("a"), **HOUR})]),
        "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block.",
    ),
    "a breakpoint on thinking": (
        body_with(
            [
                user(text("a")),
                assistant({"type": "thinking", "thinking": "t", "signature": "s", **POINT}),
                user(text("b")),
            ]
        ),
        "messages.1.content.0.thinking.cache_control: Extra inputs are not permitted",
    ),
    "thinking signed by somebody else": (
        body_with(
            [
                user(text("a")),
                assistant({"type": "thinking", "thinking": "t", "signature": "c2lnbmVk"}),
                user(text("b")),
            ]
        ),
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
    "redacted thinking of somebody else": (
        body_with(
            [
                user(text("a")),
                assistant({"type": "redacted_thinking", "data": "c2VhbGVk"}),
                user(text("b")),
            ]
        ),
        "messages.1.content.0: Invalid `data` in `redacted_thinking` block",
    ),
    "two tools of one name": (body_of(tools=[TOOL, TOOL]), "tools: Tool names must be unique."),
    "a tool's name": (
        body_of(tools=[{**TOOL, "name": "a b"}]),
        "tools.0.custom.name: String should match pattern",
    ),
    "a tool's schema": (
        body_of(tools=[{**TOOL, "input_schema": {"type": "string"}}]),
        "tools.0.custom.input_schema.type: Input should be 'object'",
    ),
    "a tool without a schema": (
        body_of(tools=[{"name": "bash"}]),
        "tools.0.custom.input_schema: Field required",
    ),
    "a choice of no tool": (
        body_of(tool_choice={"type": "tool", "name": "grep"}),
        "Tool 'grep' not found in provided tools",
    ),
    "an image that is none": (
        body_with([user({"type": "image", "source": {"type": "base64", "data": "?"}})]),
        "messages.0.content.0.image.source.base64.media_type: Field required",
    ),
    "too many tokens": (
        body_of(max_tokens=128_001),
        "max_tokens: 128001 > 128000, which is the maximum allowed number of output tokens",
    ),
    "adaptive thinking of an old model": (
        body_of(model="claude-haiku-4-5", thinking={"type": "adaptive"}),
        "adaptive thinking is not supported on this model",
    ),
    "a thinking budget of a new model": (
        body_of(thinking={"type": "enabled", "budget_tokens": 1024}),
        '"thinking.type.enabled" is not supported for this model.',
    ),
    "effort of a model that knows none": (
        body_of(model="claude-haiku-4-5", output_config={"effort": "low"}),
        "This model does not support the effort parameter.",
    ),
    "fast without its beta": (body_of(speed="fast"), "speed: Extra inputs are not permitted"),
}


@pytest.mark.parametrize(("body", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_refused(http, body, message):
    status, type_, said = error_of(http.post("/v1/messages", json=body))
    assert (status, type_) == (400, "invalid_request_error")
    assert said.startswith(message)


def test_consecutive_messages_of_one_role_are_one_turn(http):
    body = body_with(
        [
            user(text("a")),
            assistant(text("b")),
            assistant(tool_use(1)),
            user(tool_result(1)),
            user(text("c")),
        ]
    )
    assert http.post("/v1/messages", json=body).status_code == 200


@pytest.mark.parametrize(
    "messages",
    [
        [user(text("a")), system(text("so"))],
        [user(text("a")), system(text("so")), system(text("and so"))],
        [user(text("a")), system(text("so")), assistant(text("b")), user(text("c"))],
        [
            user(text("a")),
            assistant(tool_use(1)),
            user(tool_result(1)),
            {"role": "system", "content": "so"},
        ],
    ],
)
def test_a_system_turn_stands_behind_a_user_turn_and_before_a_reply_or_last(http, messages):
    answer = http.post("/v1/messages", json=body_with(messages))
    assert answer.status_code == 200, answer.text


BINDING = {"anthropic-beta": "thinking-binding-controls-2026-08-01"}
DROPPING = {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}}
ERRING = {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "error"}}


def thought(http, **changes):
    """A conversation in which the model has thought once, as the body of its next request."""
    asked = user(text('script: [{"think": "Hm.", "say": "Yes."}, {"say": "No."}]'))
    body = body_of(messages=[asked], **changes)
    reply = assistant(*http.post("/v1/messages", json=body).json()["content"])
    return {**body, "messages": [asked, reply, user(text("and?"))]}


PREFIXES = {
    "tools": lambda body: {**body, "tools": [{**TOOL, "description": "another"}]},
    "system": lambda body: {**body, "system": [text("Be long.")]},
    "a message": lambda body: {
        **body,
        "messages": [
            user(*body["messages"][0]["content"], text("in addition")),
            *body["messages"][1:],
        ],
    },
}


@pytest.mark.parametrize("change", PREFIXES.values(), ids=PREFIXES)
def test_thinking_behind_what_has_changed_is_refused_or_dropped_as_asked(http, change):
    body = thought(http)
    assert http.post("/v1/messages", json=body).status_code == 200
    changed = change(body)
    for thinking, headers in ((None, {}), (ERRING, BINDING)):
        given = {**changed, "thinking": thinking} if thinking else changed
        _, _, said = error_of(http.post("/v1/messages", json=given, headers=headers))
        assert said.startswith("messages.1.content.0: Invalid `signature` in `thinking` block. The")
    given = {**changed, "thinking": DROPPING}
    assert http.post("/v1/messages", json=given, headers=BINDING).status_code == 200
    older = {**change(thought(http, model="claude-opus-5")), "thinking": {"type": "adaptive"}}
    assert http.post("/v1/messages", json=older).status_code == 200


def test_breakpoints_may_move_before_thinking(http):
    body = thought(http)
    asked = user({**body["messages"][0]["content"][0], **POINT})
    moved = {**body, "messages": [asked, *body["messages"][1:]], "tools": [{**TOOL, **POINT}]}
    assert http.post("/v1/messages", json=moved).status_code == 200


def test_what_becomes_of_thinking_is_asked_for_under_its_beta(http):
    _, _, said = error_of(http.post("/v1/messages", json=body_of(thinking=DROPPING)))
    assert said == "thinking.adaptive.block_binding: Extra inputs are not permitted"


def test_a_paused_reply_is_resumed_when_it_comes_back_as_it_was_and_no_other(http):
    asked = user(text('script: [{"say": "One,", "stop_reason": "pause_turn"}, {"say": "two."}]'))
    first = http.post("/v1/messages", json=body_with([asked])).json()
    assert first["stop_reason"] == "pause_turn"
    resumed = http.post("/v1/messages", json=body_with([asked, assistant(*first["content"])]))
    assert resumed.json()["content"] == [text("two.")]
    other = http.post("/v1/messages", json=body_with([asked, assistant(text("Another."))]))
    assert error_of(other)[2].startswith(ENDS)
