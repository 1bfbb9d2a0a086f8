"""Bodies for the Messages API double, and what its errors look like."""

from __future__ import annotations

import copy

HEADERS = {"x-api-key": "test-key", "anthropic-version": "2023-06-01"}
POINT = {"cache_control": {"type": "ephemeral"}}
TOOL = {"name": "bash", "input_schema": {"type": "object", "properties": {}}}


def text(content):
    return {"type": "text", "text": content}


def tool_use(n=1):
    return {"type": "tool_use", "id": f"toolu_{n}", "name": "bash", "input": {}}


def tool_result(n=1, **more):
    return {"type": "tool_result", "tool_use_id": f"toolu_{n}", "content": "done", **more}


def user(*blocks):
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def system(*blocks):
    return {"role": "system", "content": list(blocks)}


def body_of(**changes):
    """A request with one finished tool round, changed; a value of None leaves the field out."""
    body = {
        "model": "claude-sonnet-5-5",
        "max_tokens": 1000,
        "system": [text("Be brief.")],
        "tools": [copy.deepcopy(TOOL)],
        "messages": [
            user(text("hello")),
            assistant(text("I look."), tool_use(1), tool_use(2)),
            user(tool_result(1), tool_result(2), text("and?")),
        ],
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def body_with(messages):
    return body_of(messages=messages)


def error_of(response):
    body = response.json()
    assert body.keys() == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert response.headers["request-id"].startswith("req_")
    return response.status_code, body["error"]["type"], body["error"]["message"]
