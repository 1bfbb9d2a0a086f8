"""A bucket that nobody but the installation's own functions reads."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.acknowledged import acknowledge
from infra.context import Context


def private_bucket(
    scope: Construct,
    id_: str,
    *,
    context: Context,
    lifecycle_rules: Sequence[s3.LifecycleRule] = (),
) -> s3.Bucket:
    """Without access of the public, without access lists, over TLS alone."""
    bucket = s3.Bucket(
        scope,
        id_,
        encryption=s3.BucketEncryption.S3_MANAGED,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        removal_policy=context.removal_policy,
        lifecycle_rules=list(lifecycle_rules),
    )
    acknowledge(
        bucket,
        "S1",
        "Only the functions read it, and theirs are data events of CloudTrail where an account"
        " records them. Server access logs would need a second bucket of their own.",
    )
    return bucket
