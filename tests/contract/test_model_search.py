"""`web_search` by the model's provider: a request of its own to the Messages API."""

from __future__ import annotations

import json
import threading

import pytest

from freehold.adapters.web import PublicWeb
from freehold.errors import WebCallStopped
from freehold.ports import Usage
from freehold.testing.messages_faults import Garble, Refuse, Silence
from freehold.testing.messages_server import MessagesServer
from freehold.testing.model_contract import MODEL
from tests.contract.claude_endpoint import KEY, model_at

QUERY = "how tall is the tower"
TOWER, BLOG, PRIVATE = "https://tower.example/", "https://blog.example/a", "http://127.0.0.1/x"


def result(url, title):
    sealed = {"encrypted_content": "c2VhbGVk", "page_age": None}
    return {"type": "web_search_result", "url": url, "title": title, **sealed}


def citation(url, text):
    kind = "web_search_result_location"
    return {"type": kind, "url": url, "title": "", "cited_text": text, "encrypted_index": "x"}


def found(*results):
    return {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [*results]}


def failed(code):
    content = {"type": "web_search_tool_result_error", "error_code": code}
    return {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": content}


def said(*citations, text="As the page says."):
    return {"type": "text", "text": text, "citations": [*citations]}


def stream(*blocks, stop_reason="end_turn"):
    """A reply of the API as it streams one."""
    usage = {"input_tokens": 11, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL}
    events = [{"type": "message_start", "message": {**message, "content": [], "usage": usage}}]
    for n, block in enumerate(blocks):
        at = {"index": n}
        cited = block.get("citations", [])
        events.append({"type": "content_block_start", **at, "content_block": {**block}})
        if cited:
            events[-1]["content_block"] = {**block, "citations": []}
        for one in cited:
            delta = {"type": "citations_delta", "citation": one}
            events.append({"type": "content_block_delta", **at, "delta": delta})
        events.append({"type": "content_block_stop", **at})
    end = {"stop_reason": stop_reason, "stop_sequence": None}
    events += [
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]
    lines = (f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events)
    return Garble("".join(lines).encode(), "text/event-stream")


@pytest.fixture(scope="module")
def api():
    with MessagesServer(api_key=KEY) as server:
        yield server


@pytest.fixture(scope="module")
def web(api):
    with model_at(api.url) as model:
        yield PublicWeb(search_model=model)


def search(web, *, permits=lambda _: True, domains=(), location=None):
    return web.search(QUERY, permits=permits, domains=domains, location=location or {}, model=MODEL)


def test_it_is_offered(web):
    assert web.tools == ("web_fetch", "web_search")


def test_what_is_sent_asks_for_one_search_and_nothing_of_the_conversation(api, web):
    api.fail_next(stream(found(result(TOWER, "Tower"))))
    before = len(api.requests)
    search(web, domains=("tower.example",), location={"country": "FR"}).result()
    (sent,) = api.requests[before:]
    assert sent.json["model"] == MODEL
    assert sent.json["messages"] == [{"role": "user", "content": [{"type": "text", "text": QUERY}]}]
    assert sent.json["tools"] == [
        {
            "type": "web_search_20250305",
            "name": "web_search",
            "max_uses": 1,
            "allowed_domains": ["tower.example"],
            "user_location": {"type": "approximate", "country": "FR"},
        }
    ]


def test_pages_come_with_what_was_quoted_from_them_and_quoted_ones_first(api, web):
    api.fail_next(
        stream(
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
            found(result(BLOG, "Blog"), result(TOWER, "The  Tower")),
            said(citation(TOWER, "It is 330 metres tall."), citation(TOWER, "Since 2022.")),
        )
    )
    call = search(web)
    blocks = call.result().content
    assert [(b["source"], b["title"], b["content"][0]["text"]) for b in blocks] == [
        (TOWER, "The Tower", "It is 330 metres tall.\n\nSince 2022."),
        (BLOG, "Blog", "Blog"),
    ]
    assert {b["type"] for b in blocks} == {"search_result"}
    assert call.usage == Usage(input_tokens=11, output_tokens=7, model=MODEL)


def test_a_page_that_the_agent_may_not_reach_is_left_out(api, web):
    api.fail_next(stream(found(result(PRIVATE, "p"), result(BLOG, "b"), result(TOWER, "t"))))
    shown = search(web, permits=lambda url: "blog" not in url).result()
    assert [block["source"] for block in shown.content] == [TOWER]
    api.fail_next(stream(said(citation(TOWER, "Quoted without a search."))))
    assert search(web).result().content[0]["text"] == "No results."


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("too_many_requests", "too_many_requests: the search failed: too_many_requests"),
        ("max_uses_exceeded", "unavailable: the search failed: max_uses_exceeded"),
        ("query_too_long", "invalid_tool_input: the search failed: query_too_long"),
    ],
)
def test_a_search_that_fails_is_an_error_result(api, web, code, shown):
    api.fail_next(stream(failed(code)))
    answer = search(web).result()
    assert answer.is_error
    assert answer.content[0]["text"] == shown


def test_a_provider_that_does_not_search_is_an_error_result(api, web):
    api.fail_next(Refuse(400, "invalid_request_error", "web search is not enabled"))
    answer = search(web).result()
    assert answer.is_error
    assert answer.content[0]["text"].startswith("unavailable: the search failed: ")
    assert KEY not in answer.content[0]["text"]


def test_a_closed_search_ends_at_once(api, web):
    api.fail_next(Silence())
    call, ended = search(web), []
    before = len(api.requests)

    def ask():
        with pytest.raises(WebCallStopped):
            call.result()
        ended.append(True)

    reader = threading.Thread(target=ask)
    reader.start()
    while len(api.requests) == before:
        assert reader.is_alive()
    call.close()
    reader.join(20)
    assert ended
    assert api.requests[-1].left.wait(20), "the connection was kept"
