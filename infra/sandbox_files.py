"""The file systems of sandboxes, and the function on each that may see all of it."""

from __future__ import annotations

from typing import Any, cast

from aws_cdk import Stack
from aws_cdk import aws_efs as efs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from freehold.settings_aws import WorkspacesEnvironment
from infra.acknowledged import acknowledge
from infra.context import Context
from infra.function import Function, Limits, Place
from infra.packaging import Package
from infra.sandbox_network import SandboxNetwork

MOUNT = "/mnt/files"
_LIMITS = Limits(seconds=900, megabytes=1769)
"""A whole processor: what it does with a workspace is to compress it."""


class SandboxFiles(Construct):
    """`ids` and `function_arns` are in the same order."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        context: Context,
        network: SandboxNetwork,
        bucket: s3.Bucket,
        package: Package,
    ) -> None:
        super().__init__(scope, id_)
        self._context = context
        self._network = network
        self._bucket = bucket
        self._package = package
        self.file_systems: list[efs.FileSystem] = []
        self.functions: list[Function] = []
        for number in range(1, context.sandbox_file_systems + 1):
            self._add(number)

    @property
    def ids(self) -> list[str]:
        return [one.file_system_id for one in self.file_systems]

    @property
    def function_arns(self) -> list[str]:
        return [one.live.function_arn for one in self.functions]

    def _add(self, number: int) -> None:
        function = self._function(number)
        file_system = self._file_system(number, function.role)
        everything = file_system.add_access_point(
            f"Everything{number}",
            path="/",
            posix_user=efs.PosixUser(uid="0", gid="0"),
        )
        resource = cast("lambda_.CfnFunction", function.resource.node.default_child)
        resource.file_system_configs = [
            lambda_.CfnFunction.FileSystemConfigProperty(
                arn=everything.access_point_arn, local_mount_path=MOUNT
            )
        ]
        resource.node.add_dependency(file_system.mount_targets_available)
        function.permit(
            [f"elasticfilesystem:Client{right}" for right in ("Mount", "Write", "RootAccess")],
            file_system.file_system_arn,
        )
        self.file_systems.append(file_system)
        self.functions.append(function)

    def _file_system(self, number: int, root: iam.Role) -> efs.FileSystem:
        return efs.FileSystem(
            self,
            f"FileSystem{number}",
            vpc=self._network.vpc,
            vpc_subnets=self._network.subnets,
            security_group=self._network.mount_targets,
            encrypted=True,
            throughput_mode=efs.ThroughputMode.ELASTIC,
            lifecycle_policy=efs.LifecyclePolicy.AFTER_7_DAYS,
            out_of_infrequent_access_policy=efs.OutOfInfrequentAccessPolicy.AFTER_1_ACCESS,
            removal_policy=self._context.removal_policy,
            file_system_policy=iam.PolicyDocument(statements=_policy(root)),
        )

    def _function(self, number: int) -> Function:
        function = Function(
            self,
            id_=f"Workspaces{number}",
            folder="workspaces",
            environment=WorkspacesEnvironment(
                sandbox_bucket_name=self._bucket.bucket_name, mount_path=MOUNT
            ),
            limits=_LIMITS,
            package=self._package,
            context=self._context,
            place=Place(self._network.vpc, self._network.subnets, self._network.workspaces),
        )
        objects = self._bucket.arn_for_objects("archives/*")
        function.permit(["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], objects)
        function.permit(["s3:ListBucket"], self._bucket.bucket_arn)  # to be told what is not there
        acknowledge_objects(function, self._bucket, "archives/*")
        return function


def acknowledge_objects(function: Function, bucket: s3.Bucket, pattern: str) -> None:
    """Part of the bucket of sandboxes."""
    resource = Stack.of(bucket).resolve(bucket.bucket_arn)["Fn::GetAtt"][0]
    acknowledge(
        function.role,
        f"IAM5[Resource::<{resource}.Arn>/{pattern}]",
        "Objects are named as they come; the bucket is for sandboxes alone.",
    )


def _policy(root: iam.Role) -> list[iam.PolicyStatement]:
    """Tasks have no credentials, so whoever mounts through an access point is let in; its id is as
    hard to guess as a key, and no task is told it. Root of the whole is one role's alone.
    """

    def deny(actions: list[str], conditions: dict[str, Any]) -> iam.PolicyStatement:
        return iam.PolicyStatement(
            effect=iam.Effect.DENY,
            principals=[iam.AnyPrincipal()],
            actions=actions,
            conditions=conditions,
        )

    clients = [f"elasticfilesystem:Client{right}" for right in ("Mount", "Write", "RootAccess")]
    return [
        iam.PolicyStatement(
            principals=[iam.AnyPrincipal()],
            actions=clients[:2],
            conditions={"Bool": {"elasticfilesystem:AccessedViaMountTarget": "true"}},
        ),
        deny(["*"], {"Bool": {"aws:SecureTransport": "false"}}),
        deny(clients, {"Null": {"elasticfilesystem:AccessPointArn": "true"}}),
        deny(clients[2:], {"ArnNotEquals": {"aws:PrincipalArn": root.role_arn}}),
    ]
