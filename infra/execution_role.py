"""What ECS does for a task before its program runs. The program never has the role."""

from __future__ import annotations

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.acknowledged import acknowledge


def execution_role(
    scope: Construct, *, repository_arn: str, log: logs.LogGroup, id_: str = "ExecutionRole"
) -> iam.Role:
    """Fetches the image from one repository, and writes one log."""
    role = iam.Role(
        scope,
        id_,
        assumed_by=iam.ServicePrincipal(
            "ecs-tasks.amazonaws.com",
            conditions={"StringEquals": {"aws:SourceAccount": Stack.of(scope).account}},
        ),
    )
    for actions, resource in (
        (["ecr:GetAuthorizationToken"], "*"),
        (
            [
                *("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage"),
                "ecr:GetDownloadUrlForLayer",
            ],
            repository_arn,
        ),
        (["logs:CreateLogStream", "logs:PutLogEvents"], log.log_group_arn),
    ):
        role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
    acknowledge(role, "IAM5[Resource::*]", "ecr:GetAuthorizationToken knows no resources.")
    return role
