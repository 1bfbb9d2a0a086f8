"""The WebSocket as it is deployed, and what brings events to it."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

import pytest

from freehold import keys
from freehold.adapters.dynamodb import schema
from freehold.testing.table_stream import matches

FUNCTIONS = ("websocket", "fan_out")


def test_a_socket_has_its_three_routes_and_they_reach_the_function(assembly):
    routes = assembly.all("AWS::ApiGatewayV2::Route")
    assert {r.properties["RouteKey"] for r in routes} == {"$connect", "$disconnect", "$default"}
    name = assembly.alias("websocket").name
    for integration in assembly.all("AWS::ApiGatewayV2::Integration"):
        assert integration.properties["IntegrationType"] == "AWS_PROXY"
        assert name in json.dumps(integration.properties["IntegrationUri"])


def test_no_route_answers_by_itself(assembly):
    """An answer would be a message that the client cannot tell from ours."""
    assert not assembly.all("AWS::ApiGatewayV2::RouteResponse")
    for route in assembly.all("AWS::ApiGatewayV2::Route"):
        assert "RouteResponseSelectionExpression" not in route.properties


def test_what_all_connections_say_together_is_bounded(assembly):
    stage = assembly.one("AWS::ApiGatewayV2::Stage").properties
    settings = stage["DefaultRouteSettings"]
    assert 0 < settings["ThrottlingBurstLimit"] <= settings["ThrottlingRateLimit"] <= 1000
    assert not settings.get("DataTraceEnabled")
    assert not settings.get("LoggingLevel")


def test_the_access_log_holds_no_key_and_no_content(assembly):
    stage = assembly.one("AWS::ApiGatewayV2::Stage").properties
    fields = json.loads(stage["AccessLogSettings"]["Format"])
    assert fields["request_id"] == "$context.requestId"
    for value in fields.values():
        assert not [
            word
            for word in ("header", "query", "body", "identity", "authorizer", "message", "protocol")
            if word in value.lower()
        ]


def test_connections_are_managed_on_this_api_alone(assembly):
    api = assembly.one("AWS::ApiGatewayV2::Api").name
    for folder in FUNCTIONS:
        resources = assembly.permissions(folder)["execute-api:ManageConnections"]
        texts = [json.dumps(resource) for resource in resources]
        assert len(texts) == 2
        for text, method in zip(texts, ("POST", "DELETE"), strict=True):
            assert f'{{"Ref": "{api}"}}, "/live/{method}/@connections/*"' in text


def test_functions_send_where_the_api_holds_its_connections(assembly):
    api = assembly.one("AWS::ApiGatewayV2::Api").name
    for folder in FUNCTIONS:
        variables = assembly.function(folder).properties["Environment"]["Variables"]
        url = json.dumps(variables["FREEHOLD_CONNECTIONS_URL"])
        assert url.startswith('{"Fn::Join": ["", ["https://", {"Ref": "' + api)
        assert url.endswith('"/live"]]}')


def test_the_stream_has_two_consumers(assembly):
    """A third would throttle both."""
    mappings = assembly.all("AWS::Lambda::EventSourceMapping")
    folders = [folder for folder in ("wake", "fan_out") if assembly.consumer(folder)]
    assert len(mappings) == len(folders)


def test_a_record_that_fails_holds_nobody_up_for_long_and_is_told_in_the_end(assembly):
    mapping = assembly.consumer("fan_out")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping.get("MaximumBatchingWindowInSeconds", 0) == 0
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    # A number of attempts would be used up within a table's bad moment, and nobody rings again.
    assert mapping.get("MaximumRetryAttempts", -1) == -1
    assert mapping["MaximumRecordAgeInSeconds"] == 300
    assert mapping.get("ParallelizationFactor", 1) == 1
    queue = assembly.one("AWS::SQS::Queue")
    assert mapping["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][0] == queue.name
    assert queue.properties["SqsManagedSseEnabled"] is True
    assert queue.properties["MessageRetentionPeriod"] == 14 * 86_400


def test_the_fan_out_sees_what_the_laptops_stream_rings_for(assembly):
    filters = assembly.consumer("fan_out")["FilterCriteria"]["Filters"]
    assert [json.loads(found["Pattern"]) for found in filters] == list(schema.DOORBELLS)


def _record(kind, sk, **image):
    change = {"Keys": {"pk": {"S": "w/x/y"}, "sk": {"S": sk}}, "NewImage": image}
    return {"eventName": kind, "dynamodb": change}


@pytest.mark.parametrize(
    ("record", "rings"),
    [
        (_record("INSERT", "000000000001/000000000001", first_seq={"N": "1"}), True),
        (_record("INSERT", "preview_1", frames={"S": "[]"}), True),
        (_record("INSERT", "socket/a", attempts={"N": "0"}), True),
        (_record("MODIFY", "socket/a", attempts={"N": "2"}), True),
        (_record("MODIFY", "socket/a", attempts={"N": "0"}), False),
        (_record("REMOVE", "socket/a"), False),
        (_record("INSERT", "stream/a", wanted={"BOOL": True}), False),
        (_record("MODIFY", "thread/sthr_1/head", next_seq={"N": "1"}), False),
        (_record("REMOVE", "000000000001/000000000001"), False),
    ],
    ids=[
        *("commit", "preview", "begins to follow", "was kept waiting", "cursor moves"),
        *("stops following", "stream's lease", "head", "purge"),
    ],
)
def test_what_rings(record, rings):
    assert any(matches(record, pattern) for pattern in schema.DOORBELLS) == rings


def test_the_output_is_where_clients_connect(assembly):
    outputs = assembly.outputs("Live")
    assert set(outputs) == {"WebSocketUrl"}
    text = json.dumps(outputs["WebSocketUrl"])
    assert "wss://" in text
    assert text.endswith('"/live"]]}')


def test_access_logs_have_the_role_that_the_api_makes(assembly):
    manifest = json.loads((assembly.folder / "manifest.json").read_text())
    assert "Freehold-Api" in manifest["artifacts"]["Freehold-Live"]["dependencies"]


def test_the_fan_out_may_change_nothing_but_who_listens(assembly):
    role = assembly.function("fan_out").properties["Role"]["Fn::GetAtt"][0]
    (writes,) = [s for s in assembly.statements(role) if "dynamodb:UpdateItem" in str(s["Action"])]
    assert set(writes["Action"]) == {"dynamodb:UpdateItem", "dynamodb:DeleteItem"}
    (patterns,) = writes["Condition"]["ForAllValues:StringLike"].values()
    topic = keys.feed("w", "t")
    for partition, may in (
        (keys.listeners(topic), True),
        (keys.connection("c").pk, True),
        (topic, False),
        (keys.previews(topic), False),
        (keys.SessionKey("w", "s").partition, False),
        (keys.api_key("digest").pk, False),
        (keys.ticket("digest").pk, False),
    ):
        assert any(fnmatchcase(partition, pattern) for pattern in patterns) is may, partition
