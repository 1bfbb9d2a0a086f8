"""Who may do what, and why a wildcard stands where one does."""

from __future__ import annotations

import json

import pytest

from tests.infra.templates import listed

RECORDS = {
    f"dynamodb:{action}"
    for action in (
        *("BatchGetItem", "Query"),
        *("PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem"),
    )
}
TELEMETRY = {
    *("logs:CreateLogStream", "logs:PutLogEvents"),
    *("xray:PutTraceSegments", "xray:PutTelemetryRecords"),
}
STORE = {
    *RECORDS,
    *("s3:GetObject", "s3:PutObject", "s3:ListBucket"),
    *("kms:Decrypt", "kms:GenerateDataKey"),
}
STREAM = {
    *("dynamodb:DescribeStream", "dynamodb:GetRecords"),
    *("dynamodb:GetShardIterator", "dynamodb:ListStreams"),
}
ALLOWED = {
    "api": STORE,
    "run_turn": STORE | {"secretsmanager:GetSecretValue"},
    "run_tools": STORE | {"secretsmanager:GetSecretValue"},
    "reaper": STORE | {"s3:DeleteObject"},
    "stream": {
        *("dynamodb:BatchGetItem", "dynamodb:Query"),
        *("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"),
        *("s3:GetObject", "s3:ListBucket"),
    },
    "wake": STREAM,
    "websocket": STORE | {"execute-api:ManageConnections"},
    "fan_out": {
        *("dynamodb:BatchGetItem", "dynamodb:Query"),
        *("dynamodb:UpdateItem", "dynamodb:DeleteItem"),
        *("s3:GetObject", "s3:ListBucket", "sqs:SendMessage"),
        *("sqs:GetQueueAttributes", "sqs:GetQueueUrl"),
        "execute-api:ManageConnections",
        *STREAM,
    },
}
"""Besides telemetry, and besides the start of runs, which all but `stream` and `fan_out` may do."""


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_function_may_do_what_its_ports_do_and_nothing_else(assembly, folder):
    granted = set(assembly.permissions(folder))
    starts = set() if folder in ("stream", "fan_out") else {"states:StartExecution"}
    traces = {action for action in TELEMETRY if action.startswith("xray:")}
    telemetry = TELEMETRY - traces if folder == "wake" else TELEMETRY
    assert granted == ALLOWED[folder] | telemetry | starts


def test_only_the_reaper_asks_what_is_due(assembly):
    for folder in ALLOWED:
        resources = json.dumps(assembly.permissions(folder).get("dynamodb:Query", []))
        assert ("/index/" in resources) == (folder == "reaper")


def test_no_action_is_a_wildcard(assembly):
    for policy in assembly.all("AWS::IAM::Policy"):
        for statement in policy.properties["PolicyDocument"]["Statement"]:
            assert not [action for action in listed(statement["Action"]) if "*" in action]


WHOLE_ACCOUNT = {
    *("xray:PutTraceSegments", "xray:PutTelemetryRecords"),
    *("xray:GetSamplingRules", "xray:GetSamplingTargets"),
    *("logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery"),
    *("logs:DeleteLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy"),
    *("logs:DescribeResourcePolicies", "logs:DescribeLogGroups"),
}
"""Actions that know no resources."""


def test_a_statement_about_everything_is_about_actions_without_resources(assembly):
    found = set()
    for policy in assembly.all("AWS::IAM::Policy"):
        for statement in policy.properties["PolicyDocument"]["Statement"]:
            if "*" in listed(statement["Resource"]):
                found |= set(listed(statement["Action"]))
    assert found
    assert found <= WHOLE_ACCOUNT


def test_a_role_belongs_to_one_function_and_has_no_managed_policy(assembly):
    roles = [f.properties["Role"]["Fn::GetAtt"][0] for f in assembly.all("AWS::Lambda::Function")]
    assert len(roles) == len(set(roles))
    for role in assembly.all("AWS::IAM::Role"):
        managed = json.dumps(role.properties.get("ManagedPolicyArns", []))
        assert managed == "[]" or "AmazonAPIGatewayPushToCloudWatchLogs" in managed


def test_only_these_services_call_the_functions(assembly):
    callers = {p.properties["Principal"] for p in assembly.all("AWS::Lambda::Permission")}
    assert callers == {"apigateway.amazonaws.com", "events.amazonaws.com"}
    assert all("SourceArn" in p.properties for p in assembly.all("AWS::Lambda::Permission"))
