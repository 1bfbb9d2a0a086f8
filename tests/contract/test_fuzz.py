"""Every request model and query, against bodies derived from `GET /openapi.json`: what breaks the
document is a 400 that names where and stores nothing, what fits it is served.
"""

from __future__ import annotations

import json
import re
import secrets

import pytest

from tests.contract.derived_bodies import UNKNOWN, Broken
from tests.contract.derived_queries import broken_queries
from tests.contract.fuzz_target import (
    BODIES,
    DEFINED,
    OPERATIONS,
    UNSERVED,
    complaint,
    open_target,
)
from tests.contract.json_schema import misfits
from tests.servers import server_in_thread


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with open_target(tmp_path_factory.mktemp("fuzz")) as target:
        yield target


# ---------------------------------------------------------------- what does not fit
@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_breaks_the_document_is_refused_by_its_place_and_stores_nothing(target, name):
    before = target.digest()
    derived = list(target.deriver().broken(BODIES[name]))
    found = [complaint(target, name, broken, before) for broken in derived]
    assert [wrong for wrong in found if wrong] == []
    print(f"{name}: {len(derived)} bodies")


# ---------------------------------------------------------------- what fits
SEMANTIC = {
    "POST /v1/sessions/{session_id}/events": [
        (400, r"Invalid user\.\w+ event at events\[0\]: no "),
    ],
    "POST /v1/sessions/{session_id}": [(400, "budget can only be set when a session is created")],
}
"""Refusals of what fits, by operation: by what is there, not by shape."""


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_fits_the_document_is_served_and_its_answer_fits_too(tmp_path, name):
    (content,) = OPERATIONS[name]["responses"]["200"]["content"].values()
    refused, complaints = set(), []
    with open_target(tmp_path) as target:
        for body in target.deriver().fitting(BODIES[name]):
            if name == "POST /v1/environments":
                body = {**body, "name": secrets.token_hex(8)}  # noqa: PLW2901 - names are unique
            answer = target.send(name, body)
            if answer.status_code == 200:
                complaints += misfits(answer.json(), content["schema"], DEFINED)
                continue
            message = answer.json()["error"]["message"]
            reasons = {r for r in SEMANTIC.get(name, ()) if _is(answer, message, r)}
            refused |= reasons
            if not reasons:
                complaints.append(f"{answer.status_code} for {body}: {message}")
    assert complaints == []
    assert refused == set(SEMANTIC.get(name, ()))


def _is(answer, message, reason):
    status, pattern = reason
    return answer.status_code == status and re.match(pattern, message)


def unserved():
    """Operation, body, and how it is refused: what is described and not there yet."""
    outcome = {"type": "user.define_outcome", "description": "d"}
    rubric = {"type": "text", "content": "r"}
    files = [
        {"type": kind, "source": {"type": "file", "file_id": "file_x"}}
        for kind in ("image", "document")
    ]
    auto = {"enabled": True, "permission_policy": {"type": "auto"}}
    tools = [{"type": "agent_toolset_20260401", "default_config": auto}]
    redacted = [{"type": "redacted"}]
    later = "is not supported by this server yet"
    send = "POST /v1/sessions/{session_id}/events"
    yield send, {"events": [{**outcome, "rubric": rubric}]}, later
    yield send, {"events": [{"type": "user.tool_result", "tool_use_id": "x"}]}, later
    for block in files:
        yield send, {"events": [{"type": "user.message", "content": [block]}]}, later
    yield send, {"events": [{"type": "user.message", "content": redacted}]}, "cannot be sent"
    yield "POST /v1/agents", {"name": "a", "model": "m", "tools": tools}, later
    yield "POST /v1/environments", {"name": "a", "config": {"type": "self_hosted"}}, later
    update = "POST /v1/environments/{environment_id}"
    yield update, {"config": {"type": "self_hosted"}}, "config.type"


@pytest.mark.parametrize(("name", "body", "words"), [*unserved()])
def test_what_is_described_and_not_served_is_refused_in_words_and_stores_nothing(
    target, name, body, words
):
    before = target.digest()
    answer = target.send(name, body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert target.digest() == before


def test_what_is_said_to_be_unserved_is_described(target):
    text = json.dumps([BODIES, DEFINED])
    assert [name for name in UNSERVED if f'/{name}"' not in text] == []


# ---------------------------------------------------------------- what is no object of JSON
SCHEMA = b'{"name":"a","model":"m","tools":[{"type":"custom","name":"t","description":"d",'
SCHEMA += b'"input_schema":{"type":"object","x":%s}}]}'
NO_OBJECTS = [
    *(b"null", b"true", b"1", b'"text"', b"[]", b"[{}]"),
    *(b"{", b"}", b"{}{}", b"{,}", b'{"a":1,}', b"{'a':1}", b"{a:1}", b'{"a"}', b'{"a":01}'),
    *(b"/* */{}", b"\xef\xbb\xbf{}", b"{}\x00", b'{"a":"\x01"}', b"\x1f\x8b\x08\x00", b"a=1&b=2"),
    *(b"\xff", b'{"a":"\xff"}', b'{"a":"\\ud800"}', b'{"\\udc00":1}', b'{"a":"\\x41"}'),
    *("{}".encode("utf-16"), "{}".encode("utf-32-le")),
    *(b"[" * 100_000, b'{"a":' * 100_000, b'{"a":' * 150 + b"1" + b"}" * 150),
    b"[" + b"0," * 200_000 + b"0]",
    b'{"a":[' + b"0," * 200_000 + b"0]}",
    b"{" + b",".join(b'"a%d":0' % n for n in range(110_000)) + b"}",
]


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_object_of_json_is_refused_and_stores_nothing(target, name):
    before = target.digest()
    for body in NO_OBJECTS:
        answer = target.send(name, body)
        assert answer.status_code == 400, body[:80]
        assert answer.json()["error"]["message"].startswith("Failed to parse request body: ")
        assert len(answer.text) < 1000
    assert target.digest() == before


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"name":"a","name":"b","model":"m"}', '"name" is given twice'),
        (b'{"name":"a","model":{"id":"m","id":"m"}}', '"id" is given twice'),
        (b'{"name":"a","model":"m","metadata":{"k":"v","\\u006b":"w"}}', '"k" is given twice'),
        (SCHEMA % b'{"y":1,"y":2}', '"y" is given twice'),
        (SCHEMA % b"NaN", "NaN"),
        (SCHEMA % b"-Infinity", "-Infinity"),
        (SCHEMA % b"1e999", "1e999"),
        (SCHEMA % (b"1" * 5000), "number out of range"),
        (SCHEMA % (b"[" * 97 + b"]" * 97), "nested in more than 100 levels"),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(target, body, named):
    before = target.digest()
    answer = target.send("POST /v1/agents", body)
    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]
    assert target.digest() == before


def test_what_is_nested_as_deep_as_may_be_is_read_wherever_it_is_kept(tmp_path):
    """Too deep, it was stored, and failed every list of sessions afterwards."""
    deep = SCHEMA % (b"[" * 95 + b"]" * 95)
    with open_target(tmp_path) as target:
        agent = target.send("POST /v1/agents", deep).json()
        body = {"agent": agent["id"], "environment_id": target.ids["environment_id"]}
        session = target.send("POST /v1/sessions", body).json()
        assert session["agent"]["tools"] == agent["tools"] == json.loads(deep)["tools"]
        (listed, _) = target.send("GET /v1/sessions", b"").json()["data"]
        assert listed["agent"] == session["agent"]
        target.ids["session_id"] = session["id"]
        threads = target.send("GET /v1/sessions/{session_id}/threads", b"").json()["data"]
        assert threads[0]["agent"]["tools"] == agent["tools"]
        other = {"agent": {"tools": agent["tools"]}, "title": "t"}
        updated = target.send("POST /v1/sessions/{session_id}", other)
        assert updated.json()["agent"] == session["agent"]


# ---------------------------------------------------------------- operations without a body
@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - set(BODIES)))
def test_what_an_operation_would_ignore_is_refused(target, name):
    if name.endswith("/stream"):
        return  # another function; its queries are below
    before = target.digest()
    for value in (None, 1, {}):
        broken = Broken({UNKNOWN: value}, "unknown", (UNKNOWN,))
        assert complaint(target, name, broken, before) is None
    for body in (b"[]", b"1", b"x"):
        assert target.send(name, body).status_code == 400
    assert target.digest() == before


# ---------------------------------------------------------------- queries
@pytest.mark.parametrize("name", [name for name in OPERATIONS if not name.endswith("/stream")])
def test_a_query_that_breaks_the_document_is_refused_by_its_parameter(target, name):
    before = target.digest()
    for broken in broken_queries(OPERATIONS[name]["parameters"]):
        answer = target.send(name, b"", params=broken.pairs)
        assert answer.status_code == 400, broken
        error = answer.json()["error"]
        assert error["type"] == "invalid_request_error"
        assert broken.is_named_by(error["message"]), (broken, error)
    assert target.digest() == before


def test_a_stream_s_query_that_breaks_the_document_is_refused_by_its_parameter(tmp_path):
    with server_in_thread(tmp_path) as server:
        session = server.new_session()
        place = f"/v1/sessions/{session}"
        thread = server.request("GET", f"{place}/threads").json()["data"][0]["id"]
        for name in (name for name in OPERATIONS if name.endswith("/stream")):
            path = name.removeprefix("GET ").format(session_id=session, thread_id=thread)
            for broken in broken_queries(OPERATIONS[name]["parameters"]):
                answer = server.request("GET", path, params=broken.pairs)
                assert answer.status_code == 400, broken
                assert broken.is_named_by(answer.json()["error"]["message"]), broken


@pytest.mark.parametrize(
    "raw", ["?limit", "?=", "?&", "?limit=1&&", "?limit=%ff", "?limit=%zz", "?a=b;limit=1"]
)
def test_a_query_that_does_not_parse_is_refused_and_not_half_read(tmp_path_factory, raw):
    with server_in_thread(tmp_path_factory.mktemp("raw")) as server:
        answer = server.request("GET", f"/v1/agents{raw}")
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"
