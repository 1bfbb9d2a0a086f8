"""The Messages API double: whom it serves, how it answers and streams, what it remembers."""

from __future__ import annotations

import json
import subprocess
import sys

import anthropic
import httpx2
import pytest

from freehold.testing.messages_faults import Cut, Fail, Refuse
from freehold.testing.messages_server import MessagesServer
from freehold.testing.script import script
from tests.contract.messages_bodies import (
    HEADERS,
    POINT,
    assistant,
    body_of,
    body_with,
    error_of,
    text,
    tool_result,
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


# ---------------------------------------------------------------- the edge
@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "x-api-key header is required"),
        ({"x-api-key": "wrong"}, "invalid x-api-key"),
        ({"authorization": "Bearer wrong"}, "Invalid bearer token"),
        ({"authorization": "Basic dGVzdA=="}, "x-api-key header is required"),
    ],
)
def test_without_the_key_nothing_is_served(api, headers, message):
    with httpx2.Client(base_url=api.url, headers=headers, trust_env=False) as http:
        found = error_of(http.post("/v1/messages", json=body_of()))
    assert found == (401, "authentication_error", message)


def test_the_key_may_be_a_bearer_token(api):
    headers = {"authorization": "Bearer test-key", "anthropic-version": "2023-06-01"}
    with httpx2.Client(base_url=api.url, headers=headers, trust_env=False) as http:
        assert http.post("/v1/messages", json=body_of()).status_code == 200


def test_the_version_is_required(api):
    with httpx2.Client(base_url=api.url, headers={"x-api-key": "test-key"}) as http:
        found = error_of(http.post("/v1/messages", json=body_of()))
    assert found == (400, "invalid_request_error", "anthropic-version: header is required")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_object_is_refused(http, content):
    headers = {"content-type": "application/json"}
    status, type_, _ = error_of(http.post("/v1/messages", content=content, headers=headers))
    assert (status, type_) == (400, "invalid_request_error")


def test_an_unknown_model_is_not_found(http):
    found = error_of(http.post("/v1/messages", json=body_of(model="claudette")))
    assert found == (404, "not_found_error", "model: claudette")


def test_models_can_be_looked_up(http):
    assert http.get("/v1/models/claude-opus-5").json()["id"] == "claude-opus-5"
    assert error_of(http.get("/v1/models/claudette"))[0] == 404
    assert error_of(http.get("/v1/other"))[0] == 404


# ---------------------------------------------------------------- thinking
@pytest.fixture
def thought(http):
    """A conversation whose latest reply thought twice before it called a tool."""
    asked = user(text(script({"think": "deep", "redacted": True, "say": "so", "tool": "bash"})))
    blocks = http.post("/v1/messages", json=body_with([asked])).json()["content"]
    return [asked, assistant(*blocks), user({**tool_result(), "tool_use_id": blocks[-1]["id"]})]


def _drop_first(blocks):
    del blocks[0]


def _swap(blocks):
    blocks[0], blocks[1] = blocks[1], blocks[0]


def _drop_redacted(blocks):
    del blocks[1]


def test_thinking_comes_back_as_it_was(http, thought):
    assert http.post("/v1/messages", json=body_with(thought)).status_code == 200


@pytest.mark.parametrize("change", [_drop_first, _swap, _drop_redacted])
def test_thinking_of_the_latest_reply_is_not_modified(http, thought, change):
    change(thought[1]["content"])
    _, _, said = error_of(http.post("/v1/messages", json=body_with(thought)))
    assert "blocks in the latest assistant message cannot be modified" in said


def test_an_altered_thought_has_no_signature(http, thought):
    thought[1]["content"][0]["thinking"] = "shallow"
    _, _, said = error_of(http.post("/v1/messages", json=body_with(thought)))
    assert said == "messages.1.content.0: Invalid `signature` in `thinking` block"


def test_a_signature_of_another_server_is_foreign(thought):
    with MessagesServer() as other, httpx2.Client(base_url=other.url, headers=HEADERS) as http:
        _, _, said = error_of(http.post("/v1/messages", json=body_with(thought)))
    assert "Invalid `signature`" in said


# ---------------------------------------------------------------- answers
def test_the_stream_is_framed_as_the_api_s(http):
    asked = script({"think": "hm", "say": "one two three four", "tool": "bash", "input": {"a": 1}})
    body = {**body_with([user(text(asked))]), "stream": True}
    with http.stream("POST", "/v1/messages", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        frames = answer.read().decode().removesuffix("\n\n").split("\n\n")
    events = []
    for frame in frames:
        name, data = frame.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    block = ["content_block_start", "content_block_stop"]
    kinds = [event["type"] for event in events]
    assert [kind for kind in kinds if kind != "content_block_delta"] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_stop",
        *block,
        *block,
        "message_delta",
        "message_stop",
    ]
    deltas = [event["delta"]["type"] for event in events if event["type"] == "content_block_delta"]
    assert deltas == [
        "thinking_delta",
        "thinking_delta",
        "signature_delta",
        "text_delta",
        "text_delta",
        "input_json_delta",
    ]


def test_the_sdk_accumulates_the_stream_to_the_whole_answer(api):
    asked = script({"think": "hm", "say": ["a", "b c d e"], "tool": "bash", "input": {"ä": [1]}})
    body = body_with([user(text(asked))])
    with anthropic.Anthropic(api_key=api.api_key, base_url=api.url, max_retries=0) as client:
        whole = client.messages.create(**body)
        with client.messages.stream(**body) as stream:
            streamed = stream.get_final_message()
    assert [b.to_dict() for b in streamed.content] == [b.to_dict() for b in whole.content]
    assert whole.stop_reason == streamed.stop_reason == "tool_use"
    assert streamed.usage.output_tokens == whole.usage.output_tokens


def test_faults_meet_one_request_each(api, http):
    api.fail_next(Refuse(429, "rate_limit_error", "Slow down", retry_after="9"), Refuse(529))
    limited = http.post("/v1/messages", json=body_of())
    assert error_of(limited) == (429, "rate_limit_error", "Slow down")
    assert limited.headers["retry-after"] == "9"
    assert http.post("/v1/messages", json=body_of()).status_code == 529
    assert http.post("/v1/messages", json=body_of()).status_code == 200


def test_a_stream_breaks_where_it_is_told_to(api, http):
    body = body_of(stream=True)
    api.fail_next(Cut(after=2), Fail(after=1))
    with http.stream("POST", "/v1/messages", json=body) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx2.RemoteProtocolError):
            answer.read()
    with http.stream("POST", "/v1/messages", json=body) as answer:
        frames = answer.read().decode().split("\n\n")
    assert [frame.split("\n")[0] for frame in frames if frame] == [
        "event: message_start",
        "event: error",
    ]


def test_requests_are_remembered_without_their_key(api, http):
    http.post("/v1/messages?beta=true", json=body_of(), headers={"anthropic-beta": "some-beta"})
    found = api.requests[-1]
    assert (found.path, found.status) == ("/v1/messages", 200)
    assert found.json == body_of()
    assert found.headers["anthropic-beta"] == "some-beta"
    assert "test-key" not in str(found)
    assert found.ended.wait(5)
    assert not found.left.is_set()


def test_the_prompt_is_comparable_from_turn_to_turn(api, http):
    http.post("/v1/messages", json=body_of())
    first = api.requests[-1].prompt
    more = body_of()
    more["messages"][-1]["content"][-1] |= POINT
    more["messages"] += [assistant(text("b")), user({**text("c"), **POINT})]
    http.post("/v1/messages", json=more)
    second = api.requests[-1].prompt
    assert second[: len(first)] == first
    assert len(second) == len(first) + 2


def test_it_runs_on_its_own():
    command = [sys.executable, "-m", "freehold.testing.messages_server", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().split()[-1]
            answer = httpx2.post(
                f"{url}/v1/messages", json=body_of(), headers=HEADERS, trust_env=False
            )
            assert answer.status_code == 200
        finally:
            process.terminate()
        assert process.wait(10) == 0
