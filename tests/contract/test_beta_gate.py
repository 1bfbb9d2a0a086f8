"""Nothing of the API is there without its beta header (BEHAVIOUR 0, 1.1)."""

from __future__ import annotations

import anthropic
import httpx2
import pytest

from functions.api.routes import OPERATIONS
from tests.contract.fuzz_target import open_target
from tests.contract.test_errors import check, path_of
from tests.servers import server_in_thread

OURS = "managed-agents-2026-04-01"
OTHER = "files-api-2025-04-14"
NOBODYS = "telepathy-2027-01-01"
STREAMS = ("events/stream", "threads/{thread}/stream")

ABSENT = [
    [],
    [("anthropic-beta", "")],
    [("anthropic-beta", ", ,,")],
    [("anthropic-beta", OTHER)],
    [("anthropic-beta", "agent-memory-2026-07-22,dreaming-2026-04-21")],
    [("anthropic-version", OURS)],
]
UNKNOWN = [
    ([("anthropic-beta", NOBODYS)], NOBODYS),
    ([("anthropic-beta", f"{OURS},{NOBODYS}")], NOBODYS),
    ([("anthropic-beta", OURS), ("anthropic-beta", NOBODYS)], NOBODYS),
    ([("anthropic-beta", OURS.upper())], OURS.upper()),
    ([("anthropic-beta", f"{OURS};q=1")], f"{OURS};q=1"),
    ([("anthropic-beta", OURS.replace(",", " ") + " " + OTHER)], f"{OURS} {OTHER}"),
    ([("anthropic-beta", "managed-agents-2025-01-01")], "managed-agents-2025-01-01"),
]
PRESENT = [
    [("anthropic-beta", OURS)],
    [("Anthropic-Beta", OURS)],
    [("ANTHROPIC-BETA", f"{OTHER} ,   {OURS}")],
    [("anthropic-beta", f"{OTHER}, {OURS},{OURS}")],
    [("anthropic-beta", OTHER), ("Anthropic-Beta", OURS)],
    [("anthropic-beta", OURS), ("anthropic-beta", "")],
    [("anthropic-beta", f"{OURS},agent-memory-2026-07-22")],
]


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with open_target(tmp_path_factory.mktemp("gate")) as target:
        yield target


def ask(server, method, path, headers, **options):
    sent = [("x-api-key", server.key), *headers]
    return server.http.request(method, server.url + path, headers=sent, **options)


@pytest.mark.parametrize("headers", ABSENT, ids=str)
def test_without_the_value_every_operation_is_absent(target, headers):
    before = target.digest()
    for operation in OPERATIONS:
        for query in ("", "?beta=true"):
            answer = ask(target.server, operation.method, path_of(operation) + query, headers)
            check(answer, 404, "not_found_error", OURS)
    body = {"name": "A", "model": "claude-sonnet-5-5"}
    assert ask(target.server, "POST", "/v1/agents", headers, json=body).status_code == 404
    assert target.digest() == before


@pytest.mark.parametrize(("headers", "value"), UNKNOWN, ids=str)
def test_an_unknown_value_is_named_whatever_stands_beside_it(target, headers, value):
    text = f"Unexpected value(s) `{value}` for the `anthropic-beta` header."
    for operation in OPERATIONS:
        answer = ask(target.server, operation.method, path_of(operation), headers)
        check(answer, 400, "invalid_request_error", text)


@pytest.mark.parametrize("headers", PRESENT, ids=str)
def test_the_value_counts_wherever_it_stands(target, headers):
    assert ask(target.server, "GET", "/v1/agents", headers).status_code == 200
    assert ask(target.server, "GET", "/v1/sessions?beta=true", headers).status_code == 200


def test_a_wrong_key_is_said_before_the_header(target):
    for headers in ([], [("anthropic-beta", NOBODYS)]):
        sent = [("x-api-key", "wrong"), *headers]
        answer = target.server.http.get(target.server.url + "/v1/agents", headers=sent)
        check(answer, 401, "authentication_error")


def test_streams_have_the_same_gate(tmp_path):
    with server_in_thread(tmp_path) as server:
        session = server.new_session()
        place = f"/v1/sessions/{session}"
        thread = server.request("GET", f"{place}/threads").json()["data"][0]["id"]
        for path in (f"{place}/{name.format(thread=thread)}" for name in STREAMS):
            for headers in ABSENT:
                check(ask(server, "GET", path, headers), 404, "not_found_error", OURS)
            for headers, value in UNKNOWN:
                answer = ask(server, "GET", path, headers)
                check(answer, 400, "invalid_request_error", f"`{value}`")
            for headers in PRESENT:
                sent = [("x-api-key", server.key), *headers]
                with server.http.stream("GET", server.url + path, headers=sent) as answer:
                    assert answer.status_code == 200


def test_the_sdk_s_own_values_pass_and_another_s_alone_does_not(target):
    client = target.server.client()
    assert client.beta.agents.list(betas=[OTHER, "webhooks-2026-10-07"], limit=1).data
    with pytest.raises(anthropic.NotFoundError, match=OURS):
        client.beta.agents.list(extra_headers={"anthropic-beta": OTHER})
    with pytest.raises(anthropic.BadRequestError, match="Unexpected value"):
        client.beta.agents.list(betas=[NOBODYS])


def test_the_document_and_health_need_neither_key_nor_header(tmp_path):
    with server_in_thread(tmp_path) as server, httpx2.Client(trust_env=False) as http:
        for path in ("/openapi.json", "/healthz"):
            assert http.get(server.url + path).status_code == 200
