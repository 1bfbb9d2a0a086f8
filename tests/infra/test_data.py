"""What outlives every deployment."""

from __future__ import annotations

from freehold.adapters.dynamodb import schema
from tests.infra.templates import STACKS


def _keys(description):
    return [(key["AttributeName"], key["KeyType"]) for key in description["KeySchema"]]


def test_the_table_has_the_keys_that_the_store_reads_by(assembly):
    table = assembly.one("AWS::DynamoDB::GlobalTable").properties
    assert _keys(table) == [(schema.PARTITION_KEY, "HASH"), (schema.SORT_KEY, "RANGE")]
    (index,) = table["GlobalSecondaryIndexes"]
    assert index["IndexName"] == schema.DUE_INDEX
    assert _keys(index) == [(schema.DUE_PARTITION_KEY, "HASH"), (schema.DUE_SORT_KEY, "RANGE")]
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}
    assert {a["AttributeType"] for a in table["AttributeDefinitions"]} == {"S"}


def test_the_table_can_be_restored_streams_and_forgets_what_expires(assembly):
    table = assembly.one("AWS::DynamoDB::GlobalTable").properties
    (replica,) = table["Replicas"]
    assert replica["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert replica["DeletionProtectionEnabled"] is True
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert table["TimeToLiveSpecification"] == {
        "AttributeName": schema.TTL_ATTRIBUTE,
        "Enabled": True,
    }
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_what_holds_sessions_survives_the_deletion_of_its_stack(assembly):
    for kind in ("AWS::DynamoDB::GlobalTable", "AWS::S3::Bucket", "AWS::KMS::Key"):
        assert assembly.one(kind).body["DeletionPolicy"] == "Retain"


def test_nobody_outside_reads_the_bucket(assembly):
    bucket = assembly.one("AWS::S3::Bucket").properties
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (first, *_) = [
        statement
        for statement in assembly.one("AWS::S3::BucketPolicy").properties["PolicyDocument"][
            "Statement"
        ]
        if statement["Effect"] == "Deny"
    ]
    assert first["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_key_rotates(assembly):
    assert assembly.one("AWS::KMS::Key").properties["EnableKeyRotation"] is True


def test_the_model_key_is_created_empty(assembly):
    secret = assembly.one("AWS::SecretsManager::Secret").properties
    assert not {"SecretString", "GenerateSecretString"} & set(secret)


def test_outputs_name_what_the_command_line_looks_up(assembly):
    assert set(assembly.outputs("Data")) == {
        "BucketName",
        "KeyArn",
        "ModelKeySecretArn",
        "TableName",
    }


def test_no_secret_is_in_a_template(assembly):
    for stack in STACKS:
        text = str(assembly.template(stack))
        assert "sk-ant" not in text
        assert "SecretString" not in text
