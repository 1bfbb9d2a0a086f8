"""Where the images of sandboxes and of the egress proxy are built: in the account itself."""

from __future__ import annotations

from typing import Any

from aws_cdk import CfnOutput, Duration, IgnoreMode, RemovalPolicy, Stack
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from infra.acknowledged import acknowledge
from infra.context import ROOT, Context
from infra.function import retention

DOCKERFILES = {"Sandbox": "sandbox_task/Dockerfile", "Egress": "egress_proxy/Dockerfile"}
"""By the name of the image's repository in this stack."""
_KEPT = 5
_PUSH = (
    *("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload"),
    *("ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:PutImage"),
    "ecr:UploadLayerPart",
)
_MACHINES = {
    "arm64": codebuild.LinuxArmBuildImage.AMAZON_LINUX_2023_STANDARD_3_0,
    "x86_64": codebuild.LinuxBuildImage.AMAZON_LINUX_2023_5,
}


class Images(Stack):
    """Deployed before `Sandboxes`, which is told of an image that is there. Nothing is built by a
    deployment: an output has the command.
    """

    def __init__(self, scope: Construct, id_: str, *, context: Context, **stack: Any) -> None:
        super().__init__(scope, id_, **stack)
        self._context = context
        self._source = s3_assets.Asset(
            self, "Source", path=str(ROOT), ignore_mode=IgnoreMode.DOCKER, exclude=_left_at_home()
        )
        tag = self._source.asset_hash[:16]
        self._repositories = {name: self._repository(name) for name in DOCKERFILES}
        self._images = {
            name: f"{found.repository_uri}:{tag}" for name, found in self._repositories.items()
        }
        project = self._project()
        for name, image in self._images.items():
            CfnOutput(self, f"{name}Image", value=image)
        command = f"aws codebuild start-build --project-name {project.project_name}"
        CfnOutput(self, "BuildImages", value=command)

    def _repository(self, name: str) -> ecr.Repository:
        """A further build of the same sources has the tag of the one before: tasks that start from
        then on have its security updates.
        """
        return ecr.Repository(
            self,
            name,
            image_scan_on_push=True,
            image_tag_mutability=ecr.TagMutability.MUTABLE,
            removal_policy=RemovalPolicy.DESTROY,
            empty_on_delete=True,
            lifecycle_rules=[
                ecr.LifecycleRule(
                    tag_status=ecr.TagStatus.UNTAGGED, max_image_age=Duration.days(7)
                ),
                ecr.LifecycleRule(max_image_count=_KEPT),
            ],
        )

    def _project(self) -> codebuild.Project:
        log = logs.LogGroup(
            self,
            "BuildLog",
            retention=retention(self._context),
            removal_policy=RemovalPolicy.DESTROY,
        )
        project = codebuild.Project(
            self,
            "Build",
            role=self._role(log).without_policy_updates(),
            description="The images of sandboxes and of the egress proxy.",
            source=codebuild.Source.s3(bucket=self._source.bucket, path=self._source.s3_object_key),
            build_spec=codebuild.BuildSpec.from_object(_steps(self._images)),
            environment=codebuild.BuildEnvironment(
                build_image=_MACHINES[self._context.architecture],
                compute_type=codebuild.ComputeType.LARGE,
                privileged=True,
            ),
            logging=codebuild.LoggingOptions(
                cloud_watch=codebuild.CloudWatchLoggingOptions(log_group=log)
            ),
            concurrent_build_limit=1,
            timeout=Duration.hours(2),
        )
        acknowledge(
            project, "CB3", "An engine that builds images needs it, and builds our sources."
        )
        acknowledge(project, "CB4", "What it builds goes to ECR, encrypted; nothing else is kept.")
        return project

    def _role(self, log: logs.LogGroup) -> iam.Role:
        """What the CDK would grant by itself is all of the bucket and of the account's logs."""
        role = iam.Role(
            self,
            "BuildRole",
            assumed_by=iam.ServicePrincipal(
                "codebuild.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            ),
        )
        source = self._source.bucket.arn_for_objects(self._source.s3_object_key)
        for actions, resources in (
            (["ecr:GetAuthorizationToken"], ["*"]),
            (_PUSH, [found.repository_arn for found in self._repositories.values()]),
            (["s3:GetObject", "s3:GetObjectVersion"], [source]),
            (["logs:CreateLogStream", "logs:PutLogEvents"], [log.log_group_arn]),
        ):
            role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=resources))
        acknowledge(role, "IAM5[Resource::*]", "ecr:GetAuthorizationToken knows no resources.")
        return role


def _left_at_home() -> list[str]:
    """As an engine on this machine is told."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _steps(images: dict[str, str]) -> dict[str, Any]:
    registry = images["Sandbox"].partition("/")[0]
    log_in = "aws ecr get-login-password | docker login --username AWS --password-stdin"
    build = [
        f"docker build --tag {image} --file {DOCKERFILES[name]} ." for name, image in images.items()
    ]
    push = [f"docker push {image}" for image in images.values()]
    return {
        "version": "0.2",
        "phases": {"build": {"commands": [f"{log_in} {registry}", *build, *push]}},
    }
