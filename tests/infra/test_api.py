"""The front door: routes, refusals of API Gateway itself, and what its log may hold."""

from __future__ import annotations

import json

import pytest

from freehold.errors import NotFound
from functions.envelope import error_body

TYPES = {
    "invalid_request_error": {400},
    "permission_error": {403},
    "not_found_error": {404},
    "request_too_large": {413},
    "rate_limit_error": {429},
    "timeout_error": {504},
    "api_error": {500},
}


def _refusals(assembly):
    return {
        r.properties["ResponseType"]: r.properties
        for r in assembly.all("AWS::ApiGateway::GatewayResponse")
    }


def _rendered(refusal):
    template = refusal["ResponseTemplates"]["application/json"]
    words = json.dumps('API Gateway said "no"')
    template = template.replace("$context.error.messageString", words)
    return json.loads(template.replace("$context.requestId", "the id"))


def test_whatever_api_gateway_refuses_has_the_shape_of_every_refusal(assembly):
    ours = json.loads(error_body(NotFound("gone"), "the id"))
    refusals = _refusals(assembly)
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= set(refusals)
    for refusal in refusals.values():
        body = _rendered(refusal)
        assert body.keys() == ours.keys()
        assert body["error"].keys() == ours["error"].keys()
        assert body["error"]["type"] in TYPES
        assert body["error"]["message"]
        assert body["request_id"] == "the id"
        assert refusal["ResponseParameters"] == {
            "gatewayresponse.header.request-id": "context.requestId"
        }


def test_a_path_that_is_no_route_is_not_found(assembly):
    refusal = _refusals(assembly)["MISSING_AUTHENTICATION_TOKEN"]
    assert refusal["StatusCode"] == "404"
    assert _rendered(refusal)["error"]["type"] == "not_found_error"


@pytest.mark.parametrize(
    ("kind", "type_"),
    [
        ("REQUEST_TOO_LARGE", "request_too_large"),
        ("THROTTLED", "rate_limit_error"),
        ("INTEGRATION_TIMEOUT", "timeout_error"),
        ("ACCESS_DENIED", "permission_error"),
    ],
)
def test_a_refusal_says_what_it_is(assembly, kind, type_):
    assert _rendered(_refusals(assembly)[kind])["error"]["type"] == type_


def test_the_function_gives_up_before_api_gateway_does(assembly):
    assert assembly.function("api").properties["Timeout"] <= 29


def test_the_access_log_holds_no_key_and_no_content(assembly):
    stage = assembly.one("AWS::ApiGateway::Stage").properties
    fields = json.loads(stage["AccessLogSetting"]["Format"])
    assert fields["request_id"] == "$context.requestId"
    for value in fields.values():
        assert not [
            word
            for word in ("header", "query", "body", "identity", "authorizer", "message")
            if word in value.lower()
        ]
    settings = stage.get("MethodSettings", [])
    assert not [s for s in settings if s.get("DataTraceEnabled") or s.get("LoggingLevel")]


def test_outputs_are_the_url_with_its_stage_and_the_next_command(assembly):
    outputs = assembly.outputs("Api")
    assert set(outputs) == {"BaseUrl", "NextCommand"}
    stage = assembly.one("AWS::ApiGateway::Stage")
    *_, path, end = outputs["BaseUrl"]["Fn::Join"][1]
    assert (path, end) == ({"Ref": stage.name}, "/")
    assert outputs["NextCommand"] == "freehold model-key set --stack Freehold-Data"


def test_the_api_comes_after_what_runs_sessions(assembly):
    manifest = json.loads((assembly.folder / "manifest.json").read_text())
    assert "Freehold-Engine" in manifest["artifacts"]["Freehold-Api"]["dependencies"]
