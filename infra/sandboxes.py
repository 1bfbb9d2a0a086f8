"""Where tools run: tasks without credentials in a network without exits, and what looks after
them (ADR 0009).
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from freehold.settings_aws import DispatchEnvironment, SlotsEnvironment
from infra.acknowledged import acknowledge
from infra.context import Context, repository_arn
from infra.data import Data
from infra.egress import CIDR as EGRESS_CIDR
from infra.egress import Egress
from infra.execution_role import execution_role
from infra.function import Function, Limits, Place, retention
from infra.packaging import package
from infra.private_bucket import private_bucket
from infra.sandbox_files import SandboxFiles, acknowledge_objects
from infra.sandbox_network import CIDR, SandboxNetwork
from infra.sandbox_permissions import SandboxPermissions

_LIMITS = {
    "slots": Limits(seconds=300, megabytes=256),
    "dispatch": Limits(seconds=60, megabytes=512),
}
"""`dispatch` holds an answer of 64 MB at most, twice; it waits 40 s for one. Of packages it holds
parts of 8 MB, ten at once.
"""


class Sandboxes(Stack):
    """`variables` is what a function is told that uses them, `permissions` what it may do."""

    def __init__(
        self, scope: Construct, id_: str, *, context: Context, data: Data, **stack: Any
    ) -> None:
        super().__init__(scope, id_, **stack)
        self._context = context
        self._data = data
        self._package = package(self, context)
        self.bucket = self._bucket()
        self.network = SandboxNetwork(self, "Network", context=context, bucket=self.bucket)
        self._cluster = self._fleet()
        self._log = logs.LogGroup(
            self,
            "TaskLog",
            retention=retention(context),
            removal_policy=RemovalPolicy.DESTROY,
        )
        self._execution_role = execution_role(
            self, repository_arn=repository_arn(context.sandbox_image), log=self._log
        )
        self._egress = (
            Egress(self, "Egress", context=context, network=self.network)
            if context.egress_image
            else None
        )
        self._files = SandboxFiles(
            self,
            "Files",
            context=context,
            network=self.network,
            bucket=self.bucket,
            package=self._package,
        )
        self._dispatch = self._function_dispatch()
        self.permissions = SandboxPermissions(
            stack=self,
            data=data,
            cluster_name=self._cluster.ref,
            family_prefix=context.name,
            execution_role_arn=self._execution_role.role_arn,
            dispatch_arn=self._dispatch.live.function_arn,
            bucket=self.bucket,
            files=self._files,
            egress=self._egress,
        )
        self.slots = self._upkeep()
        self.functions = (self.slots, self._dispatch, *self._files.functions)
        self.network.let_resolve(self._names())
        CfnOutput(self, "SandboxVpcId", value=self.network.vpc.vpc_id)

    @property
    def variables(self) -> dict[str, Any]:
        """Fields of `FleetEnvironment`."""
        subnets = self.network.vpc.isolated_subnets
        return {
            "sandbox_cluster_arn": self._cluster.attr_arn,
            "sandbox_subnets": ",".join(subnet.subnet_id for subnet in subnets),
            "sandbox_security_group": self.network.sandboxes.security_group_id,
            "sandbox_dispatch_arn": self._dispatch.live.function_arn,
            "sandbox_bucket_name": self.bucket.bucket_name,
            "sandbox_family_prefix": self._context.name,
            "sandbox_idle_minutes": self._context.sandbox_idle_minutes,
            **(self._egress.variables if self._egress else {}),
        }

    # ------------------------------------------------------------ parts
    def _bucket(self) -> s3.Bucket:
        """`transfers/` is on its way and gone after a day, `packages/` are installed anew after 30;
        `archives/` are workspaces.
        """
        return private_bucket(
            self,
            "Bucket",
            context=self._context,
            lifecycle_rules=[
                s3.LifecycleRule(prefix="transfers/", expiration=Duration.days(1)),
                s3.LifecycleRule(prefix="packages/", expiration=Duration.days(30)),
                s3.LifecycleRule(abort_incomplete_multipart_upload_after=Duration.days(1)),
            ],
        )

    def _fleet(self) -> ecs.CfnCluster:
        cluster = ecs.CfnCluster(
            self,
            "Cluster",
            configuration=ecs.CfnCluster.ClusterConfigurationProperty(
                execute_command_configuration=ecs.CfnCluster.ExecuteCommandConfigurationProperty(
                    logging="NONE"
                )
            ),
        )
        acknowledge(
            cluster,
            "ECS4",
            "Container Insights has a price for each task; the functions say which slots fail.",
        )
        return cluster

    def _function_dispatch(self) -> Function:
        function = Function(
            self,
            folder="dispatch",
            environment=DispatchEnvironment(
                sandbox_bucket_name=self.bucket.bucket_name,
                sandbox_network=IPv4Network(CIDR),
                sandbox_egress_network=IPv4Network(EGRESS_CIDR) if self._egress else None,
            ),
            limits=_LIMITS["dispatch"],
            package=self._package,
            context=self._context,
            place=Place(self.network.vpc, self.network.subnets, self.network.dispatch),
        )
        self._carry(function)
        return function

    def _carry(self, function: Function) -> None:
        """What is too large for a function's event, installed packages, and nothing else in the
        bucket.
        """
        objects = self.bucket.arn_for_objects("transfers/*")
        function.permit(["s3:GetObject", "s3:PutObject"], objects)
        function.permit(["s3:ListBucket"], self.bucket.bucket_arn)
        acknowledge_objects(function, self.bucket, "transfers/*")
        kept = self.bucket.arn_for_objects("packages/*")
        function.permit(["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], kept)
        acknowledge_objects(function, self.bucket, "packages/*")

    # ------------------------------------------------------------ upkeep
    def _upkeep(self) -> Function:
        function = Function(
            self,
            folder="slots",
            environment=self._slots_environment(),
            limits=_LIMITS["slots"],
            package=self._package,
            context=self._context,
        )
        self.permissions.look_after_slots(function)
        events.Rule(
            self,
            "EveryMinute",
            schedule=events.Schedule.rate(Duration.minutes(1)),
            targets=[targets.LambdaFunction(function.live, retry_attempts=0)],
        )
        inventory = events.RuleTargetInput.from_object({"inventory": True})
        events.Rule(
            self,
            "EveryHour",
            schedule=events.Schedule.rate(Duration.hours(1)),
            targets=[targets.LambdaFunction(function.live, event=inventory, retry_attempts=0)],
        )
        return function

    def _slots_environment(self) -> SlotsEnvironment:
        context = self._context
        return SlotsEnvironment(
            **self.variables,
            table_name=self._data.table.table_name,
            key_arn=self._data.key.key_arn,
            sandbox_image=context.sandbox_image,
            sandbox_cpu=context.sandbox_cpu,
            sandbox_memory_mib=context.sandbox_memory_mib,
            sandbox_disk_gib=context.sandbox_disk_gib,
            sandbox_architecture=context.architecture,
            sandbox_execution_role_arn=self._execution_role.role_arn,
            sandbox_log_group=self._log.log_group_name,
            sandbox_region=self.region,
            sandbox_file_systems=",".join(self._files.ids),
            sandbox_workspaces_arns=",".join(self._files.function_arns),
            sandbox_pool=context.sandbox_pool,
            sandbox_started=context.sandbox_started,
            sandbox_archive_days=context.sandbox_archive_days,
        )

    def _names(self) -> list[str]:
        """What must resolve for a task to start, to log and to mount, and for the functions."""
        service = f"{self.region}.{self.url_suffix}"
        return [
            f"api.ecr.{service}",
            self._context.sandbox_registry,
            f"logs.{service}",
            f"{self.network.layer_bucket}.s3.{service}",
            f"{self.bucket.bucket_name}.s3.{service}",
            *(f"{one}.efs.{service}" for one in self._files.ids),
        ]
