"""What outlives every deployment: the table, the bucket, the key, the model key's place."""

from __future__ import annotations

from typing import Any

from aws_cdk import CfnOutput, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from freehold.adapters.dynamodb import schema
from infra.acknowledged import acknowledge
from infra.context import Context
from infra.private_bucket import private_bucket


class Data(Stack):
    """Sessions, their blobs, and the key their secrets are sealed under."""

    def __init__(self, scope: Construct, id_: str, *, context: Context, **stack: Any) -> None:
        super().__init__(scope, id_, **stack)
        self._context = context
        self.table = self._table()
        self.bucket = private_bucket(self, "Blobs", context=context)
        self.key = self._key()
        self.model_key = self._model_key()
        self._outputs()

    def _table(self) -> dynamodb.TableV2:
        """Of stored items the index holds keys only: the sweep reads the rest consistently."""
        table = dynamodb.TableV2(
            self,
            "Table",
            partition_key=_string(schema.PARTITION_KEY),
            sort_key=_string(schema.SORT_KEY),
            time_to_live_attribute=schema.TTL_ATTRIBUTE,
            dynamo_stream=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=self._context.retain_data,
            removal_policy=self._context.removal_policy,
        )
        table.add_global_secondary_index(
            index_name=schema.DUE_INDEX,
            partition_key=_string(schema.DUE_PARTITION_KEY),
            sort_key=_string(schema.DUE_SORT_KEY),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
        )
        return table

    def _key(self) -> kms.Key:
        return kms.Key(
            self,
            "Key",
            description="Seals the keys that sign, seal and authenticate what Freehold stores.",
            enable_key_rotation=True,
            removal_policy=self._context.removal_policy,
        )

    def _model_key(self) -> secretsmanager.CfnSecret:
        """Created without a value: a key in a template would be read by whoever reads templates.

        The L2 construct cannot do without: it generates a value.
        """
        secret = secretsmanager.CfnSecret(
            self, "ModelKey", description="The API key that pays for model requests."
        )
        secret.apply_removal_policy(RemovalPolicy.DESTROY)
        # Exported whatever the model is: CloudFormation would refuse to drop the export before the
        # stack that used it lets go, and the stacks are deployed the other way round.
        self.export_value(secret.ref)
        acknowledge(
            secret,
            "SMG4",
            "The provider of the model issues this key; there is no API that could rotate it.",
        )
        return secret

    def _outputs(self) -> None:
        """Read by the command line, and by whoever takes the stack down, under these names."""
        CfnOutput(self, "TableName", value=self.table.table_name)
        CfnOutput(self, "BucketName", value=self.bucket.bucket_name)
        CfnOutput(self, "KeyArn", value=self.key.key_arn)
        CfnOutput(self, "ModelKeySecretArn", value=self.model_key.ref)


def _string(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
