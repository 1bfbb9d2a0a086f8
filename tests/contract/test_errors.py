"""One error shape for everything that is refused, whatever refuses it (BEHAVIOUR 1.3)."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from typing import get_args

import pytest

from freehold.testing.lambda_transport import LambdaTransport
from functions.admission import KNOWN_BETAS
from functions.api.handler import make_handler
from functions.api.routes import OPERATIONS
from tests.servers import HEADERS, server_in_process

SOME_ID = {
    "agent_id": "agent_00000000000000000000000000",
    "environment_id": "env_00000000000000000000000000",
    "session_id": "sesn_00000000000000000000000000",
    "thread_id": "sthr_00000000000000000000000000",
}
LIMIT = 20_000


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("errors")
    with server_in_process(data_dir, settings={"max_body_bytes": LIMIT}) as local:
        yield local


def path_of(operation):
    return re.sub(r"<(\w+)>", lambda found: SOME_ID[found[1]], operation.path)


def check(answer, status, kind, text=None):
    """The envelope, the headers, and nothing else."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert set(body["error"]) - {"details"} == {"type", "message"}
    assert body["error"]["type"] == kind
    assert answer.headers["request-id"] == body["request_id"]
    assert body["request_id"].startswith("req_")
    assert answer.headers["content-type"] == "application/json"
    if text is not None:
        assert text in body["error"]["message"]
    return body["error"]


# ---------------------------------------------------------------- who may come in
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: f"{o.method} {o.path}")
def test_every_operation_refuses_strangers(server, operation):
    for headers in (
        {"x-api-key": None},
        {"x-api-key": "wrong"},
        {"x-api-key": ""},
        {"x-api-key": None, "authorization": "Basic abc"},
        {"x-api-key": None, "authorization": "Bearer "},
        {"x-api-key": None, "authorization": "Bearer wrong"},
    ):
        answer = server.request(operation.method, path_of(operation), headers=headers)
        check(answer, 401, "authentication_error")
        assert "anthropic-workspace-id" not in answer.headers


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: f"{o.method} {o.path}")
def test_every_operation_is_absent_without_the_beta_header(server, operation):
    answer = server.request(operation.method, path_of(operation), headers={"anthropic-beta": None})
    check(answer, 404, "not_found_error", "managed-agents-2026-04-01")


@pytest.mark.parametrize(
    "operation",
    [o for o in OPERATIONS if "<" in o.path and not o.path.startswith("/v1/environments")],
    ids=lambda o: f"{o.method} {o.path}",
)
def test_a_well_formed_id_of_nothing_is_not_found(server, operation):
    body = {"POST": b"{}"}.get(operation.method, b"")
    if operation.path.endswith("/events") and operation.method == "POST":
        body = json.dumps({"events": [{"type": "user.interrupt"}]}).encode()
    answer = server.request(operation.method, path_of(operation), content=body)
    assert answer.status_code in (400, 404), "an update without a version is refused before"
    check(
        answer,
        answer.status_code,
        "not_found_error" if answer.status_code == 404 else "invalid_request_error",
    )


def test_a_beta_value_that_nobody_knows_is_named(server):
    values = "managed-agents-2026-04-01, telepathy-2027-01-01"
    answer = server.request("GET", "/v1/agents", headers={"anthropic-beta": values})
    text = "Unexpected value(s) `telepathy-2027-01-01` for the `anthropic-beta` header."
    check(answer, 400, "invalid_request_error", text)


def test_every_beta_value_of_the_sdk_is_known():
    from anthropic.types import AnthropicBetaParam

    of_sdk = {value for arm in get_args(AnthropicBetaParam) for value in get_args(arm)}
    assert of_sdk
    assert of_sdk <= KNOWN_BETAS


def test_all_known_beta_values_together_are_accepted(server):
    values = ",".join([*KNOWN_BETAS, *KNOWN_BETAS])
    assert (
        server.request("GET", "/v1/agents", headers={"anthropic-beta": values}).status_code == 200
    )


def test_another_workspace_cannot_be_asked_for(server):
    mine = server.request("GET", "/v1/agents").headers["anthropic-workspace-id"]
    same = server.request("GET", "/v1/agents", headers={"anthropic-workspace-id": mine})
    assert same.status_code == 200
    other = server.request("GET", "/v1/agents", headers={"anthropic-workspace-id": "wrkspc_other"})
    check(other, 403, "permission_error")


# ---------------------------------------------------------------- routes and methods
@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v2/agents", "/v1/agents/a/b/c", "/v1/nothing", "/v1/agents/%00", "/v1//agents"],
)
def test_an_unknown_path_is_not_found_and_not_worth_a_retry(server, path):
    answer = server.request("GET", path)
    assert check(answer, 404, "not_found_error")["message"] == "Not found"
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/models", "/v1/messages/count_tokens"])
def test_the_model_api_is_said_to_be_elsewhere(server, path):
    answer = server.request("POST", path, content=b"{}")
    check(answer, 404, "not_found_error", "not served here")


@pytest.mark.parametrize("path", ["/v1/vaults", "/v1/files/file_1/content", "/v1/skills"])
def test_what_is_not_built_yet_is_named(server, path):
    check(server.request("GET", path), 404, "not_found_error", "not supported by this server yet")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/agents", "GET, POST"),
        ("PATCH", f"/v1/sessions/{SOME_ID['session_id']}", "DELETE, GET, POST"),
        ("DELETE", f"/v1/agents/{SOME_ID['agent_id']}", "GET, POST"),
        ("GET", f"/v1/agents/{SOME_ID['agent_id']}/archive", "POST"),
    ],
)
def test_a_method_that_a_path_does_not_have(server, method, path, allowed):
    answer = server.request(method, path)
    check(answer, 405, "invalid_request_error", method)
    assert answer.headers["allow"] == allowed


def test_a_trailing_slash_is_the_same_path(server):
    assert server.request("GET", "/v1/agents/").status_code == 200


# ---------------------------------------------------------------- bodies and queries
@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"nonsense", b'"text"', b"\xff\xfe", b'{"name": "a"} trailing', b"null"]
)
def test_a_body_that_is_not_a_json_object(server, body):
    check(server.request("POST", "/v1/agents", content=body), 400, "invalid_request_error")


def test_an_unknown_field_is_named(server):
    answer = server.request("POST", "/v1/agents", json={"name": "a", "model": "m", "colour": 1})
    error = check(answer, 400, "invalid_request_error")
    assert error["message"] == 'Failed to parse request body: unknown field "colour"'


def test_a_body_over_the_limit_names_the_limit(server):
    answer = server.request("POST", "/v1/agents", content=b"x" * (LIMIT + 1))
    check(answer, 413, "request_too_large", str(LIMIT))


def test_a_body_at_the_limit_is_read(server):
    body = json.dumps({"name": "a", "model": "claude-sonnet-5-5"}).encode()
    answer = server.request("POST", "/v1/agents", content=body + b" " * (LIMIT - len(body)))
    assert answer.status_code == 200


@pytest.mark.parametrize("body", [b"", b"{}", b"  \n"])
def test_archive_needs_no_body(server, body):
    made = server.request("POST", "/v1/agents", json={"name": "a", "model": "claude-sonnet-5-5"})
    answer = server.request("POST", f"/v1/agents/{made.json()['id']}/archive", content=body)
    assert answer.status_code == 200


def test_archive_refuses_what_it_would_ignore(server):
    path = f"/v1/agents/{SOME_ID['agent_id']}/archive"
    check(server.request("POST", path, json={"really": True}), 400, "invalid_request_error")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/agents?colour=red"),
        ("GET", f"/v1/agents/{SOME_ID['agent_id']}?version=0"),
        ("GET", f"/v1/agents/{SOME_ID['agent_id']}?version=1&version=2"),
        ("GET", "/v1/sessions?limit=many"),
        ("GET", "/v1/sessions?order=up"),
        ("GET", f"/v1/sessions/{SOME_ID['session_id']}?expand=all"),
        ("POST", "/v1/agents?dry_run=true"),
        ("DELETE", f"/v1/environments/{SOME_ID['environment_id']}?force=perhaps"),
    ],
)
def test_a_query_that_is_not_understood_is_refused(server, method, path):
    check(server.request(method, path, content=b""), 400, "invalid_request_error")


def test_the_sdks_beta_parameter_is_ignored(server):
    assert server.request("GET", "/v1/agents?beta=true&limit=1").status_code == 200


# ---------------------------------------------------------------- as Lambda sees it
def event(server, **fields):
    return {
        "path": "/v1/agents",
        "httpMethod": "POST",
        "headers": {"X-Api-Key": server.key, "Anthropic-Beta": HEADERS["anthropic-beta"]},
        "multiValueQueryStringParameters": None,
        "requestContext": {"stage": "prod", "path": "/prod/v1/agents"},
        "body": None,
        "isBase64Encoded": False,
        **fields,
    }


def test_a_base64_body_is_decoded(server):
    handler = make_handler(server.app)
    body = json.dumps({"name": "ä", "model": "claude-sonnet-5-5"}).encode()
    text = base64.b64encode(body).decode()
    answer = handler(event(server, body=text, isBase64Encoded=True), None)
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["name"] == "ä"


@pytest.mark.parametrize("text", ["%%%", "abc"])
def test_broken_base64_is_a_400(server, text):
    answer = make_handler(server.app)(event(server, body=text, isBase64Encoded=True), None)
    assert answer["statusCode"] == 400
    assert json.loads(answer["body"])["error"]["type"] == "invalid_request_error"


def test_header_names_have_no_case(server):
    headers = {"X-API-KEY": server.key, "ANTHROPIC-BETA": HEADERS["anthropic-beta"]}
    got = make_handler(server.app)(event(server, httpMethod="GET", headers=headers), None)
    assert got["statusCode"] == 200


def test_no_headers_at_all_is_a_401(server):
    answer = make_handler(server.app)(event(server, headers=None), None)
    assert answer["statusCode"] == 401


# ---------------------------------------------------------------- defects
class Broken:
    """A store whose every read fails with something that must not reach a caller."""

    def get(self, keys):
        raise RuntimeError("secret-path /var/lib/freehold and key sk-12345")

    def __getattr__(self, name):
        return self.get


def test_a_crash_is_a_500_that_tells_the_log_and_not_the_caller(server, caplog):
    import httpx2

    app = replace(server.app, records=Broken())
    with httpx2.Client(transport=LambdaTransport(make_handler(app))) as http:
        answer = replace(server, http=http).request("GET", "/v1/agents")
    error = check(answer, 500, "api_error")
    assert "secret" not in answer.text
    assert "sk-12345" not in answer.text
    assert answer.headers["request-id"] in error["message"]
    (record,) = [r for r in caplog.records if r.message == "request_crashed"]
    assert record.request_id == answer.headers["request-id"]


def test_concurrent_requests_do_not_see_each_other(server):
    """Powertools keeps the current event on a class; a swap would answer with another's id."""
    import threading

    names = [f"name-{n}" for n in range(60)]
    handler = make_handler(server.app)
    answers = {}

    def create(name):
        body = json.dumps({"name": name, "model": "claude-sonnet-5-5"})
        answers[name] = json.loads(handler(event(server, body=body), None)["body"])

    threads = [threading.Thread(target=create, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: answer["name"] for name, answer in answers.items()} == {
        name: name for name in names
    }
