"""Streams without a server, as the template has them: the half that no emulator can show."""

from __future__ import annotations

import json
import os
from fnmatch import fnmatchcase

import pytest

from freehold import keys
from freehold.settings_aws import StreamEnvironment
from tests.infra.synthesis import ROOT, synthesize

ADAPTER_ACCOUNT = "753240598075"


def methods(assembly):
    """The integration of each method, by path and method."""
    resources = {r.name: r.properties for r in assembly.all("AWS::ApiGateway::Resource")}

    def path(reference):
        if "Ref" not in reference:
            return ""
        resource = resources[reference["Ref"]]
        return f"{path(resource['ParentId'])}/{resource['PathPart']}"

    return {
        (path(m.properties["ResourceId"]), m.properties["HttpMethod"]): m.properties["Integration"]
        for m in assembly.all("AWS::ApiGateway::Method")
    }


STREAMS = (
    "/v1/sessions/{session_id}/events/stream",
    "/v1/sessions/{session_id}/threads/{thread_id}/stream",
)


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_is_sent_as_it_is_made(assembly, path):
    integration = methods(assembly)[path, "ANY"]
    assert integration["Type"] == "AWS_PROXY"
    assert integration["ResponseTransferMode"] == "STREAM"
    *_, function, end = integration["Uri"]["Fn::Join"][1]
    assert function == {"Ref": assembly.alias("stream").name}
    assert end == "/response-streaming-invocations"
    assert ":lambda:path/2021-11-15/functions/" in str(integration["Uri"])


def test_everything_else_is_answered_by_the_api_function(assembly):
    """Wherever a path leaves the way to a stream: a step without a method would be a dead end."""
    found = methods(assembly)
    ways = {path for path, _ in found} - set(STREAMS)
    assert {method for _, method in found} == {"ANY"}
    assert {"", "/{proxy+}", "/v1", "/v1/{proxy+}"} <= ways
    for path in STREAMS:
        steps = path.split("/")
        assert all("/".join(steps[:n]) in ways for n in range(1, len(steps)))
    for way in ways:
        children = {w.removeprefix(way) for w in ways if w.rpartition("/")[0] == way}
        assert any("{" in child for child in children) or way.endswith("{proxy+}"), way
        integration = found[way, "ANY"]
        assert assembly.alias("api").name in json.dumps(integration["Uri"])
        assert "ResponseTransferMode" not in integration


def test_a_stream_ends_itself_before_anything_cuts_it(assembly):
    function = assembly.function("stream").properties
    own = float(function["Environment"]["Variables"]["FREEHOLD_STREAM_SECONDS"])
    assert function["Timeout"] == 900
    for path in STREAMS:
        assert methods(assembly)[path, "ANY"]["TimeoutInMillis"] == 900_000
    # The client may be slow to take the last frame, and the function slow to start.
    assert own <= 900 - 30


def test_the_web_adapter_starts_the_program_and_streams(assembly):
    function = assembly.function("stream").properties
    assert function["Handler"] == "functions/stream/run.sh"
    variables = function["Environment"]["Variables"]
    assert {name: value for name, value in variables.items() if name.startswith("AWS_")} == {
        "AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap",
        "AWS_LWA_INVOKE_MODE": "response_stream",
        "AWS_LWA_PORT": "8080",
        "AWS_LWA_READINESS_CHECK_PATH": "/healthz",
    }
    _, adapter = function["Layers"]
    name = "".join(part if isinstance(part, str) else "?" for part in adapter["Fn::Join"][1])
    assert name == f"arn:?:lambda:?:{ADAPTER_ACCOUNT}:layer:LambdaAdapterLayerArm64:27"


def test_the_program_can_be_run_from_the_package(assembly):
    key = assembly.function("stream").properties["Code"]["S3Key"]
    program = assembly.folder / f"asset.{key.removesuffix('.zip')}" / "functions/stream/run.sh"
    assert os.access(program, os.X_OK)
    assert program.read_text().startswith("#!/bin/sh\n")
    layer = (ROOT / "requirements-layer.lock").read_text()
    assert "\nstarlette==" in layer
    assert "\nuvicorn==" in layer


def test_streams_may_be_limited_and_made_shorter_and_run_on_either_processor(assembly, tmp_path):
    assert "ReservedConcurrentExecutions" not in assembly.function("stream").properties
    other = tmp_path / "layer" / "x86_64" / "python"
    other.mkdir(parents=True)
    (other / "nothing.py").touch()
    changed = synthesize(
        tmp_path / "out",
        layer=str(tmp_path / "layer"),
        architecture="x86_64",
        reserved_concurrency={"stream": 50},
        stream_seconds="120",
    )
    function = changed.function("stream").properties
    assert function["ReservedConcurrentExecutions"] == 50
    variables = function["Environment"]["Variables"]
    assert StreamEnvironment.model_fields.keys() >= {"stream_seconds"}
    assert float(variables["FREEHOLD_STREAM_SECONDS"]) == 120
    assert "LambdaAdapterLayerX86:27" in str(function["Layers"])


def test_a_stream_may_write_nothing_but_that_it_listens_and_was_counted(assembly):
    role = assembly.function("stream").properties["Role"]["Fn::GetAtt"][0]
    (writes,) = [s for s in assembly.statements(role) if "dynamodb:PutItem" in str(s["Action"])]
    assert set(writes["Action"]) == {
        *("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem")
    }
    (patterns,) = writes["Condition"]["ForAllValues:StringLike"].values()
    topic = keys.feed("w", "t")
    for partition, may in (
        (keys.listeners(topic), True),
        (keys.rate_limit("w", "read").pk, True),
        (topic, False),
        (keys.previews(topic), False),
        (keys.SessionKey("w", "s").partition, False),
        (keys.api_key("digest").pk, False),
        (keys.idempotency("w", "digest").pk, False),
    ):
        assert any(fnmatchcase(partition, pattern) for pattern in patterns) is may, partition
