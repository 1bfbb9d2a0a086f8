"""A folder of `functions/` on Lambda, with a role and a log of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from freehold.settings_aws import START, Environment
from infra.acknowledged import acknowledge
from infra.context import Context
from infra.packaging import RUNTIME, Package

_INTERFACES = [
    *("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"),
    *("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"),
    *("ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"),
]
"""Lambda asks for them with the role of a function that it places in a network."""
_RETENTION = {
    7: logs.RetentionDays.ONE_WEEK,
    30: logs.RetentionDays.ONE_MONTH,
    90: logs.RetentionDays.THREE_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
}
LIVE = "live"
"""The alias. CloudFormation deletes the version it pointed to after the whole deployment stands."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a network a function runs."""

    vpc: ec2.IVpc
    subnets: ec2.SubnetSelection
    group: ec2.ISecurityGroup


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds until Lambda ends an invocation, and megabytes; processor time goes with memory."""

    seconds: int
    megabytes: int


class Function(Construct):
    """Named as its folder: `run_turn` is the construct `RunTurn`.

    Whatever calls it calls `live`: a deployment publishes a version and then moves the alias, so
    that a call meets the old code with the old variables or the new with the new, never a mixture.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        folder: str,
        handler: str | None = None,
        environment: Environment,
        limits: Limits,
        package: Package,
        context: Context,
        snap_start: bool = False,
        traced: bool = True,
        place: Place | None = None,
        id_: str | None = None,
    ) -> None:
        """`handler`: of a program that is not Python's. `place` None is no network of the account.
        `id_` is for a folder that is deployed more than once.
        """
        super().__init__(scope, id_ or construct_id(folder))
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.limits = limits
        self.folder = folder
        log = log_group(self, context)
        self.resource = lambda_.Function(
            self,
            "Function",
            runtime=RUNTIME,
            architecture=package.architecture,
            code=package.code,
            layers=[package.layer],
            handler=handler or f"functions.{folder}.index.handler",
            role=self.role,
            environment={**environment.of(context.name).variables(), **START},
            timeout=Duration.seconds(limits.seconds),
            memory_size=limits.megabytes,
            log_group=log,
            logging_format=lambda_.LoggingFormat.JSON,
            tracing=lambda_.Tracing.ACTIVE if traced else lambda_.Tracing.DISABLED,
            snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS if snap_start else None,
            reserved_concurrent_executions=context.reserved_concurrency.get(folder),
            vpc=place.vpc if place else None,
            vpc_subnets=place.subnets if place else None,
            security_groups=[place.group] if place else None,
        )
        self.live = lambda_.Alias(
            self, "Live", alias_name=LIVE, version=self.resource.current_version
        )
        if place is not None:
            self.permit(_INTERFACES, "*")
        self._permit_telemetry(log)

    def permit(
        self,
        actions: list[str],
        *resources: str,
        conditions: Mapping[str, object] | None = None,
    ) -> None:
        """Adds to what the function may do."""
        self.role.add_to_policy(
            iam.PolicyStatement(actions=actions, resources=list(resources), conditions=conditions)
        )

    def _permit_telemetry(self, log: logs.LogGroup) -> None:
        """Its own log group only; the managed policy would open every log group of the account."""
        self.permit(["logs:CreateLogStream", "logs:PutLogEvents"], log.log_group_arn)
        acknowledge(
            self.role,
            "IAM5[Resource::*]",
            "xray:PutTraceSegments and xray:PutTelemetryRecords know no resources, nor do the"
            " network interfaces that Lambda makes for a function in a network.",
        )


def log_group(scope: Construct, context: Context) -> logs.LogGroup:
    """Kept for the days of the context, deleted with the stack: the audit trail is the session's
    own log, not this one.
    """
    return logs.LogGroup(
        scope,
        "Log",
        retention=retention(context),
        removal_policy=RemovalPolicy.DESTROY,
    )


def retention(context: Context) -> logs.RetentionDays:
    """How long a log of this installation is kept."""
    return _RETENTION[context.log_retention_days]


def construct_id(folder: str) -> str:
    """`run_turn` is `RunTurn` wherever AWS shows it."""
    return "".join(word.capitalize() for word in folder.split("_"))
