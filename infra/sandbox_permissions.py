"""What a function may do with sandboxes, in the words of what it does with them."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_s3 as s3

from infra.acknowledged import acknowledge
from infra.data import Data
from infra.egress import Egress
from infra.function import Function
from infra.permissions import Permissions
from infra.sandbox_files import SandboxFiles

_ECS = "arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>"


@dataclass(frozen=True, slots=True)
class SandboxPermissions:
    """On the sandboxes of one installation."""

    stack: Stack
    data: Data
    cluster_name: str
    family_prefix: str
    execution_role_arn: str
    dispatch_arn: str
    bucket: s3.Bucket
    files: SandboxFiles
    egress: Egress | None

    def start(self, function: Function) -> None:
        """`Sandboxes.prewarm`: a task of any slot, and the proxy's."""
        function.permit(["ecs:RunTask"], self._families())
        if self.egress is not None:
            function.permit(["ecs:RunTask"], self._proxy(self.egress))
            function.permit(["iam:PassRole"], self.egress.execution_role.role_arn)
            self._acknowledge(function, f"{_ECS}:task-definition/{self.egress.family}:*")
        function.permit(["ecs:TagResource"], self._tasks())
        function.permit(["iam:PassRole"], self.execution_role_arn)
        cluster = self._shown(function, self.cluster_name)
        self._acknowledge(function, f"{_ECS}:task/{cluster}/*")
        self._acknowledge(function, f"{_ECS}:task-definition/{self.family_prefix}-slot_*")

    def use(self, function: Function) -> None:
        """The whole port but `remove`, which is a write of the table."""
        self.start(function)
        function.permit(["ecs:DescribeTasks", "ecs:StopTask"], self._tasks())
        function.permit(["lambda:InvokeFunction"], self.dispatch_arn)
        objects = self.bucket.arn_for_objects("transfers/*")
        function.permit(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], objects)
        function.permit(["s3:ListBucket"], self.bucket.bucket_arn)
        bucket = self._shown(function, self.bucket.bucket_arn)
        self._acknowledge(function, f"{bucket}/transfers/*")

    def look_after_slots(self, function: Function) -> None:
        """`slots`: all that slots are made of, made and unmade."""
        self.start(function)
        store = Permissions(self.data, "")
        store.use_slots(function)
        function.permit(["ecs:DescribeTasks", "ecs:StopTask"], self._tasks())
        function.permit(["ecs:DeleteTaskDefinitions", "ecs:TagResource"], self._families())
        function.permit(
            [
                *("ecs:RegisterTaskDefinition", "ecs:DeregisterTaskDefinition"),
                *("ecs:ListTaskDefinitions", "ecs:ListTaskDefinitionFamilies", "ecs:ListTasks"),
            ],
            "*",
        )
        for file_system in self.files.file_systems:
            function.permit(
                [
                    *("elasticfilesystem:CreateAccessPoint", "elasticfilesystem:TagResource"),
                    "elasticfilesystem:DescribeAccessPoints",
                ],
                file_system.file_system_arn,
            )
        function.permit(["elasticfilesystem:DeleteAccessPoint"], self._access_points())
        for arn in (self.dispatch_arn, *self.files.function_arns):
            function.permit(["lambda:InvokeFunction"], arn)
        objects = self.bucket.arn_for_objects("archives/*")
        function.permit(["s3:GetObject", "s3:DeleteObject"], objects)
        function.permit(["s3:ListBucket"], self.bucket.bucket_arn)
        bucket = self._shown(function, self.bucket.bucket_arn)
        self._acknowledge(function, f"{bucket}/archives/*")
        self._acknowledge(
            function,
            "arn:<AWS::Partition>:elasticfilesystem:<AWS::Region>:<AWS::AccountId>:access-point/*",
        )

    # ------------------------------------------------------------ names
    def _families(self) -> str:
        return self.stack.format_arn(
            service="ecs", resource="task-definition", resource_name=f"{self.family_prefix}-slot_*"
        )

    def _proxy(self, egress: Egress) -> str:
        """Any revision of the family that the stack registers."""
        return self.stack.format_arn(
            service="ecs", resource="task-definition", resource_name=f"{egress.family}:*"
        )

    def _tasks(self) -> str:
        return self.stack.format_arn(
            service="ecs", resource="task", resource_name=f"{self.cluster_name}/*"
        )

    def _access_points(self) -> str:
        return self.stack.format_arn(
            service="elasticfilesystem",
            resource="access-point",
            resource_name="*",
            arn_format=ArnFormat.SLASH_RESOURCE_NAME,
        )

    # ------------------------------------------------------------ reasons
    def _shown(self, function: Function, name: str) -> str:
        """As the rules show what a template refers to."""
        if Stack.of(function) is self.stack:
            (kind, of), *_ = self.stack.resolve(name).items()
            return f"<{of}>" if kind == "Ref" else f"<{'.'.join(of)}>"
        exported: str = self.stack.resolve(self.stack.export_value(name))["Fn::ImportValue"]
        return exported

    def _acknowledge(self, function: Function, resource: str) -> None:
        acknowledge(
            function.role,
            f"IAM5[Resource::{resource}]",
            "Slots, their tasks and their objects are named as they come.",
        )
