"""A second installation in the same account, with every choice made otherwise."""

from __future__ import annotations

import json
import re

import pytest

from freehold.settings_aws import FUNCTIONS
from tests.infra.conftest import SANDBOXES
from tests.infra.synthesis import synthesize

ORIGINS = ["https://app.example.com", "https://beta.example.com"]
IDENTIFIERS = {
    "AWS::ApiGateway::RestApi": "Name",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::DynamoDB::GlobalTable": "TableName",
    "AWS::EC2::SecurityGroup": "GroupName",
    "AWS::ECS::Cluster": "ClusterName",
    "AWS::Events::Rule": "Name",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Role": "RoleName",
    "AWS::KMS::Alias": "AliasName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Lambda::LayerVersion": "LayerName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::Route53Resolver::FirewallDomainList": "Name",
    "AWS::Route53Resolver::FirewallRuleGroup": "Name",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::SecretsManager::Secret": "Name",
    "AWS::StepFunctions::StateMachine": "StateMachineName",
}
"""The property by which a template would give a resource a name of its own."""


@pytest.fixture(scope="module")
def second(assembly, tmp_path_factory):
    folder = tmp_path_factory.mktemp("second")
    return synthesize(
        folder / "out",
        name="Second",
        **SANDBOXES,
        layer=str(assembly.folder.parent / "layer"),
        alarm_email="operator@example.com",
        cors_origins=ORIGINS,
        reserved_concurrency={"run_turn": 40, "reaper": 2},
        retain_data=False,
        log_retention_days="90",
    )


def _names(assembly):
    return {
        (kind, json.dumps(resource.properties[name]))
        for kind, name in IDENTIFIERS.items()
        for resource in assembly.all(kind)
        if name in resource.properties
    }


def _exports(assembly):
    return {
        output["Export"]["Name"]
        for stack in assembly.stacks
        for output in assembly.template(stack).get("Outputs", {}).values()
        if "Export" in output
    }


def test_no_name_of_one_is_a_name_of_the_other(sandboxed, second):
    assert _names(sandboxed)
    assert len(_names(sandboxed)) == len(_names(second))
    assert not _names(sandboxed) & _names(second)
    assert not _exports(sandboxed) & _exports(second)


def test_what_is_named_carries_the_installations_name(second):
    assert not [name for _, name in _names(second) if "Second" not in name]


def test_neither_reads_what_the_other_made(second):
    for stack in second.stacks:
        assert "Freehold-" not in json.dumps(second.template(stack)["Resources"])


def test_each_counts_for_itself(second):
    for function in second.all("AWS::Lambda::Function"):
        variables = function.properties["Environment"]["Variables"]
        assert variables["FREEHOLD_INSTALLATION"] == "Second"
    alarms = json.dumps([a.properties for a in second.all("AWS::CloudWatch::Alarm")])
    assert '"Value": "Second"' in alarms
    assert '"Value": "Freehold"' not in alarms


def test_whatever_can_be_tagged_says_whose_it_is(second):
    tagged = [r for kind in TAGGED for r in second.all(kind)]
    assert len(tagged) > len(TAGGED)
    for resource in tagged:
        tags = resource.properties["Tags"]
        found = tags if isinstance(tags, dict) else {t["Key"]: t["Value"] for t in tags}
        assert found["application"] == "freehold", resource.name
        assert found["installation"] == "Second"
        assert re.fullmatch(r"\d+\.\d+\.\d+\S*", found["version"])


TAGGED = (
    "AWS::ApiGateway::RestApi",
    "AWS::ApiGateway::Stage",
    "AWS::CloudWatch::Alarm",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::Subnet",
    "AWS::EC2::VPC",
    "AWS::EC2::VPCEndpoint",
    "AWS::ECS::Cluster",
    "AWS::IAM::Role",
    "AWS::KMS::Key",
    "AWS::Lambda::Function",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SNS::Topic",
    "AWS::SecretsManager::Secret",
    "AWS::StepFunctions::StateMachine",
)


def test_concurrency_is_reserved_where_it_was_asked_for_and_nowhere_else(sandboxed, second):
    def reserved(found):
        key = "ReservedConcurrentExecutions"
        return {
            folder: function.properties[key]
            for folder in found.folders
            for function in found.functions(folder)
            if key in function.properties
        }

    assert reserved(sandboxed) == {}
    assert reserved(second) == {"run_turn": 40, "reaper": 2}


def test_alarms_are_sent_where_it_was_asked_for(sandboxed, second):
    assert sandboxed.all("AWS::SNS::Subscription") == []
    subscription = second.one("AWS::SNS::Subscription").properties
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "operator@example.com")


def test_logs_are_kept_as_long_as_was_asked_for(second):
    kept = {log.properties["RetentionInDays"] for log in second.all("AWS::Logs::LogGroup")}
    assert kept == {90}


# ---------------------------------------------------------------- CORS
def test_without_origins_nothing_says_a_word_of_cors(sandboxed):
    assert "Access-Control" not in json.dumps([sandboxed.template(s) for s in sandboxed.stacks])
    assert (
        not sandboxed.function("api")
        .properties["Environment"]["Variables"]
        .get("FREEHOLD_CORS_ORIGINS")
    )


def test_origins_reach_the_function_and_the_refusals_of_api_gateway(second):
    variables = second.function("api").properties["Environment"]["Variables"]
    assert variables["FREEHOLD_CORS_ORIGINS"] == ",".join(ORIGINS)
    settings = (
        FUNCTIONS["api"]
        .read({k: v if isinstance(v, str) else "resolved" for k, v in variables.items()})
        .settings()
    )
    assert list(settings.cors_origins) == ORIGINS
    refusals = second.all("AWS::ApiGateway::GatewayResponse")
    assert refusals
    for refusal in refusals:
        headers = refusal.properties["ResponseParameters"]
        assert headers["gatewayresponse.header.Access-Control-Allow-Origin"] == f"'{ORIGINS[0]}'"
    assert "Allow-Credentials" not in json.dumps([r.properties for r in refusals])


# ---------------------------------------------------------------- teardown
def test_what_outlives_its_stack_is_what_was_asked_for(sandboxed, second):
    def kept(found):
        return {
            resource.type
            for resource in found.everything()
            if resource.body.get("DeletionPolicy", "Delete") != "Delete"
        }

    account_wide = {"AWS::IAM::Role", "AWS::ApiGateway::Account"}
    sessions = {"AWS::DynamoDB::GlobalTable", "AWS::S3::Bucket", "AWS::KMS::Key"}
    assert kept(sandboxed) == sessions | {"AWS::EFS::FileSystem"} | account_wide
    assert kept(second) == account_wide
    protected = second.one("AWS::DynamoDB::GlobalTable").properties["Replicas"][0]
    assert protected.get("DeletionProtectionEnabled", False) is False
