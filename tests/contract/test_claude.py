"""Claude's adapter over real HTTP: what it sends, and what it makes of what comes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from freehold.errors import ModelError, ModelStopped
from freehold.model_limits import most_output_tokens
from freehold.ports import BlockDone, BlockStarted, ModelRequest, ReplyDone, UsageSeen
from freehold.testing import messages_rules
from freehold.testing.messages_faults import Cut, Garble, Refuse, Stall
from freehold.testing.messages_server import MessagesServer
from freehold.testing.model_contract import MODEL, TOOL, read, request_for, text
from tests.contract.claude_endpoint import BINDING_BETA, KEY, THINKING, failure_of, model_at


@pytest.fixture(scope="module")
def api():
    with MessagesServer(api_key=KEY) as server:
        yield server


@pytest.fixture(scope="module")
def claude(api):
    with model_at(api.url) as model:
        yield model


# ---------------------------------------------------------------- what is sent
def test_nothing_is_sent_before_the_first_chunk_is_asked_for(api, claude):
    before = len(api.requests)
    reply = claude.open(request_for({"say": "hello"}))
    assert len(api.requests) == before
    next(iter(reply))
    assert len(api.requests) == before + 1
    reply.close()


def test_the_request_is_the_port_s_and_nothing_is_retried(api, claude):
    before = len(api.requests)
    api.fail_next(Refuse(500))
    failure_of(claude)
    request = request_for({"say": "hello"})
    read(claude, request)
    failed, sent = api.requests[before:]
    assert failed.body == sent.body
    assert sent.json == {
        "model": MODEL,
        "max_tokens": 128_000,
        "system": [text("Be brief.")],
        "tools": [TOOL],
        "messages": list(request.messages),
        "thinking": THINKING,
        "stream": True,
    }


PRESERVED = ("fable-5-1", "mythos-5-1", "opus-5-5", "sonnet-5-5", "haiku-5-5", "opus-5-5-20261001")
NOT_CHECKED = ("fable-5", "opus-5", "opus-4-8", "sonnet-5", "haiku-4-5")


@pytest.mark.parametrize("model", PRESERVED)
def test_thinking_that_no_longer_fits_is_dropped_where_it_would_fail_the_request(
    api, claude, model
):
    messages = request_for({"say": "hello"}).messages
    read(claude, ModelRequest(f"claude-{model}", (), (), messages, speed="fast"))
    sent = api.requests[-1]
    assert sent.json["thinking"] == THINKING
    assert sent.headers["anthropic-beta"] == f"{BINDING_BETA},fast-mode-2026-02-01"


@pytest.mark.parametrize("model", NOT_CHECKED)
def test_a_model_that_does_not_check_is_not_asked_to_drop(api, claude, model):
    messages = request_for({"say": "hello"}).messages
    read(claude, ModelRequest(f"claude-{model}", (), (), messages))
    assert "block_binding" not in json.dumps(api.requests[-1].json)
    assert "anthropic-beta" not in api.requests[-1].headers


def test_effort_and_speed_are_sent_when_asked_for(api, claude):
    given = request_for({"say": "hello"})
    read(
        claude,
        ModelRequest(
            "claude-opus-5", (), (), given.messages, max_tokens=7, effort="low", speed="fast"
        ),
    )
    sent = api.requests[-1]
    assert sent.json["output_config"] == {"effort": "low"}
    assert sent.json["speed"] == "fast"
    assert sent.json["max_tokens"] == 7
    assert "fast-mode-2026-02-01" in sent.headers["anthropic-beta"]
    assert not sent.json.keys() & {"system", "tools"}
    read(claude, ModelRequest(MODEL, (), (), given.messages, speed="standard"))
    assert "speed" not in api.requests[-1].json


@pytest.mark.parametrize(
    "model",
    ["claude-opus-4-5", "claude-haiku-4-5", "claude-opus-4-6", "claude-sonnet-5", "claude-fable-5"],
)
def test_without_a_limit_the_most_that_fits_is_asked_for(api, claude, model):
    read(claude, ModelRequest(model, (), (), request_for({"say": "hello"}).messages))
    assert api.requests[-1].json["max_tokens"] == messages_rules.most_output_tokens(model)


def test_a_model_nobody_knows_is_asked_for_what_any_can_do():
    assert most_output_tokens("some-other-model") == 32_000


def test_a_connection_is_used_again(api):
    with model_at(api.url) as model:
        read(model, request_for({"say": "one"}))
        first = api.requests[-1].client
        read(model, request_for({"say": "two"}))
        assert api.requests[-1].client == first
        api.fail_next(Cut(2))
        failure_of(model)
        read(model, request_for({"say": "three"}))
        assert api.requests[-1].client != first


def test_a_connection_that_the_server_closed_is_opened_again():
    with MessagesServer(api_key=KEY) as api, model_at(api.url) as model:
        read(model, request_for({"say": "one"}))
        api.drop_connections()
        assert isinstance(read(model, request_for({"say": "two"}))[-1], ReplyDone)


# ---------------------------------------------------------------- chunks as they come
def test_a_chunk_is_there_before_the_next_event_is_sent(api, claude):
    api.fail_next(Stall(after=3))
    reply = claude.open(request_for({"say": "one two three four"}))
    chunks = iter(reply)
    assert isinstance(next(chunks), UsageSeen)
    assert next(chunks) == BlockStarted(0, "text")
    reply.close()
    with pytest.raises(ModelStopped):
        next(chunks)


def test_a_tool_use_cut_by_the_limit_is_dropped():
    delta = {"type": "input_json_delta", "partial_json": '{"command": "ec'}
    broken = {"type": "content_block_delta", "index": 0, "delta": delta}
    chunks = _replay(_tool_use(broken), stop_reason="max_tokens")
    assert not [chunk for chunk in chunks if isinstance(chunk, BlockDone)]
    assert chunks[-1].stop_reason == "max_tokens"
    with pytest.raises(ModelError, match="no JSON"):
        _replay(_tool_use(broken), stop_reason="tool_use")


def _tool_use(*deltas):
    block = {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {}}
    return [
        {"type": "content_block_start", "index": 0, "content_block": block},
        *deltas,
        {"type": "content_block_stop", "index": 0},
    ]


def _replay(events, *, stop_reason="end_turn", usage=None):
    """The chunks of a stream with these events between the envelope's."""
    message = {"type": "message_start", "message": {"usage": usage or {"input_tokens": 3}}}
    delta = {"type": "message_delta", "delta": {"stop_reason": stop_reason}}
    sent = [message, *events, {**delta, "usage": {"output_tokens": 5}}, {"type": "message_stop"}]
    frames = "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in sent)
    with MessagesServer(api_key=KEY) as api, model_at(api.url) as model:
        api.fail_next(Garble(frames.encode(), "text/event-stream"))
        return read(model, request_for({"say": "unused"}))


def test_events_and_deltas_of_later_kinds_are_passed_over():
    block = {"type": "text", "text": ""}
    chunks = _replay(
        [
            {"type": "novelty", "index": 9},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "novel_delta"}},
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": "a"},
            },
            {"type": "content_block_stop", "index": 0},
        ]
    )
    assert BlockDone(0, {"type": "text", "text": "a"}) in chunks


def test_cache_writes_are_told_apart_by_their_life():
    usage = {
        "input_tokens": 3,
        "cache_read_input_tokens": 2,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    }
    found = _replay([], usage=usage)[-1].usage
    assert (found.cache_creation_5m, found.cache_creation_1h) == (10, 20)
    assert (found.input_tokens, found.cache_read_input_tokens, found.output_tokens) == (3, 2, 5)
    del usage["cache_creation"]
    found = _replay([], usage=usage)[-1].usage
    assert (found.cache_creation_5m, found.cache_creation_1h) == (30, 0)


def test_importing_the_adapter_and_making_one_does_not_import_the_sdk():
    program = (
        "import sys\n"
        "from pydantic import SecretStr\n"
        "from freehold.adapters.claude import ClaudeApi, ClaudeModel\n"
        "model = ClaudeModel(ClaudeApi(SecretStr('k'), 'http://127.0.0.1:9'))\n"
        "assert 'anthropic' not in sys.modules\n"
        "model.warm_up()\n"
        "assert 'anthropic' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
