"""API and streams as a service that is always there, for who has more streams open than that costs
or sends larger bodies than a function takes. Not made unless asked for: it has a monthly price.

No image is built: containers of the image that AWS publishes for its functions fetch the assets of
the functions, and run the same code with the same Python and the same packages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from freehold.settings_aws import START, ServiceEnvironment
from infra.acknowledged import acknowledge
from infra.context import ROOT, SERVICE_PORT, Context
from infra.data import Data
from infra.function import log_group
from infra.packaging import RUNTIME, code_asset, layer_asset
from infra.permissions import Permissions

_IMAGE = f"public.ecr.aws/lambda/{RUNTIME.name.replace('python', 'python:')}"
_FETCH = ROOT / "functions" / "service" / "fetch.py"
_TASKS = 2
_PROCESSORS, _MEGABYTES = 512, 1024
"""Of a task: half a processor; a body of 32 MB takes a few hundred while it is read."""
_IDLE_SECONDS = 120
"""Of a connection through the load balancer. A stream says something every ten seconds."""
_DRAIN_SECONDS = 10
"""The load balancer cuts a stream when they are over, before the task is told to end: clients open
another. What is not a stream is answered by then."""
_NOBODY = "65534:65534"
_FOLDER = "/program"
_ARCHITECTURES = {
    "arm64": ecs.CpuArchitecture.ARM64,
    "x86_64": ecs.CpuArchitecture.X86_64,
}


class StreamService(Stack):
    """A load balancer, and two tasks that nobody else reaches."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        context: Context,
        data: Data,
        state_machine_arn: str,
        **stack: Any,
    ) -> None:
        super().__init__(scope, id_, **stack)
        self._context = context
        self.role = iam.Role(
            self, "TaskRole", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com")
        )
        self._permit(data, state_machine_arn)
        vpc = self._vpc()
        outside, inside = self._security_groups(vpc)
        service = self._service(vpc, inside, self._task(data, state_machine_arn))
        self.balancer, self.tasks = self._load_balancer(vpc, outside, service)

    def permit(
        self,
        actions: list[str],
        *resources: str,
        conditions: Mapping[str, object] | None = None,
    ) -> None:
        """Adds to what the tasks may do."""
        self.role.add_to_policy(
            iam.PolicyStatement(actions=actions, resources=list(resources), conditions=conditions)
        )

    def _permit(self, data: Data, state_machine_arn: str) -> None:
        permissions = Permissions(data, state_machine_arn)
        permissions.use_store(self)
        permissions.start_runs(self)

    # ------------------------------------------------------------ the network
    def _vpc(self) -> ec2.Vpc:
        """Public subnets alone: an address for each task costs a tenth of a way out through NAT.
        What may come in is said by the security groups.
        """
        vpc = ec2.Vpc(
            self,
            "Vpc",
            max_azs=2,
            nat_gateways=0,
            restrict_default_security_group=False,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="Public", subnet_type=ec2.SubnetType.PUBLIC, map_public_ip_on_launch=False
                )
            ],
            gateway_endpoints={
                "Table": ec2.GatewayVpcEndpointOptions(
                    service=ec2.GatewayVpcEndpointAwsService.DYNAMODB
                ),
                "Blobs": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3),
            },
        )
        acknowledge(
            vpc,
            "VPC7",
            "Two tasks that only the load balancer can reach; what it lets through they log.",
        )
        return vpc

    def _security_groups(self, vpc: ec2.Vpc) -> tuple[ec2.SecurityGroup, ec2.SecurityGroup]:
        """Of the load balancer, and of the tasks."""
        outside = ec2.SecurityGroup(self, "Outside", vpc=vpc, allow_all_outbound=False)
        inside = ec2.SecurityGroup(self, "Inside", vpc=vpc, allow_all_outbound=False)
        outside.add_ingress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "Clients.")
        outside.add_egress_rule(inside, ec2.Port.tcp(SERVICE_PORT), "Tasks.")
        inside.add_ingress_rule(outside, ec2.Port.tcp(SERVICE_PORT), "The load balancer.")
        inside.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "AWS.")
        acknowledge(outside, "EC23", "An API for clients anywhere, each of which needs a key.")
        return outside, inside

    def _load_balancer(
        self, vpc: ec2.Vpc, outside: ec2.SecurityGroup, service: ecs.FargateService
    ) -> tuple[elb.ApplicationLoadBalancer, elb.ApplicationTargetGroup]:
        """With what it sends requests to."""
        balancer = elb.ApplicationLoadBalancer(
            self,
            "LoadBalancer",
            vpc=vpc,
            internet_facing=True,
            security_group=outside,
            idle_timeout=Duration.seconds(_IDLE_SECONDS),
            drop_invalid_header_fields=True,
        )
        acknowledge(
            balancer, "ELB2", "Its log would need a bucket of its own; the tasks log what fails."
        )
        certificate = acm.Certificate.from_certificate_arn(
            self, "Certificate", self._context.stream_service_certificate_arn
        )
        listener = balancer.add_listener(
            "Https",
            port=443,
            open=False,
            certificates=[certificate],
            ssl_policy=elb.SslPolicy.RECOMMENDED_TLS,
        )
        tasks = listener.add_targets(
            "Tasks",
            port=SERVICE_PORT,
            protocol=elb.ApplicationProtocol.HTTP,
            targets=[service],
            deregistration_delay=Duration.seconds(_DRAIN_SECONDS),
            health_check=elb.HealthCheck(path="/healthz", interval=Duration.seconds(10)),
        )
        CfnOutput(
            self,
            "LoadBalancerName",
            value=balancer.load_balancer_dns_name,
            description="What the name of the certificate must point to.",
        )
        return balancer, tasks

    # ------------------------------------------------------------ the tasks
    def _service(
        self, vpc: ec2.Vpc, inside: ec2.SecurityGroup, task: ecs.FargateTaskDefinition
    ) -> ecs.FargateService:
        cluster = ecs.Cluster(self, "Cluster", vpc=vpc)
        acknowledge(
            cluster, "ECS4", "Priced by the metric; the load balancer counts and times requests."
        )
        return ecs.FargateService(
            self,
            "Service",
            cluster=cluster,
            task_definition=task,
            desired_count=_TASKS,
            min_healthy_percent=100,
            max_healthy_percent=200,
            circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
            assign_public_ip=True,
            security_groups=[inside],
            health_check_grace_period=Duration.seconds(60),
        )

    def _task(self, data: Data, state_machine_arn: str) -> ecs.FargateTaskDefinition:
        task = ecs.FargateTaskDefinition(
            self,
            "Task",
            cpu=_PROCESSORS,
            memory_limit_mib=_MEGABYTES,
            task_role=self.role,
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=_ARCHITECTURES[self._context.architecture],
                operating_system_family=ecs.OperatingSystemFamily.LINUX,
            ),
        )
        task.add_volume(name="program")
        logging = ecs.LogDriver.aws_logs(
            stream_prefix="service", log_group=log_group(self, self._context)
        )
        fetch = self._fetch_container(task, logging)
        service = self._service_container(task, logging, data, state_machine_arn)
        service.add_container_dependencies(
            ecs.ContainerDependency(
                container=fetch, condition=ecs.ContainerDependencyCondition.SUCCESS
            )
        )
        acknowledge(task, "ECS2", "Names of resources, no secret: those are in the table, sealed.")
        return task

    def _image(self) -> ecs.ContainerImage:
        return ecs.ContainerImage.from_registry(f"{_IMAGE}-{self._context.architecture}")

    def _fetch_container(
        self, task: ecs.FargateTaskDefinition, logging: ecs.LogDriver
    ) -> ecs.ContainerDefinition:
        assets = {
            "code": code_asset(self, "Code"),
            "layer": layer_asset(self, "Layer", self._context),
        }
        for asset in assets.values():
            self.permit(["s3:GetObject"], asset.bucket.arn_for_objects(asset.s3_object_key))
        container = task.add_container(
            "Fetch",
            image=self._image(),
            essential=False,
            entry_point=["python3", "-c", _FETCH.read_text()],
            command=[f"{_FOLDER}/{name}={_place(asset)}" for name, asset in assets.items()],
            readonly_root_filesystem=True,
            logging=logging,
        )
        container.add_mount_points(
            ecs.MountPoint(container_path=_FOLDER, source_volume="program", read_only=False)
        )
        return container

    def _service_container(
        self,
        task: ecs.FargateTaskDefinition,
        logging: ecs.LogDriver,
        data: Data,
        state_machine_arn: str,
    ) -> ecs.ContainerDefinition:
        environment = ServiceEnvironment(
            **self._context.spending(),
            state_machine_arn=state_machine_arn,
            table_name=data.table.table_name,
            bucket_name=data.bucket.bucket_name,
            key_arn=data.key.key_arn,
            create_requests_per_minute=self._context.create_requests_per_minute or None,
            read_requests_per_minute=self._context.read_requests_per_minute or None,
            cors_origins=",".join(self._context.cors_origins),
            port=SERVICE_PORT,
            keep_alive_seconds=_IDLE_SECONDS + 10,
            metrics_port=self._context.stream_service_metrics_port or None,
        )
        container = task.add_container(
            "Service",
            image=self._image(),
            entry_point=["python3", "-m", "functions.service"],
            environment={
                **environment.variables(),
                **START,
                "PYTHONPATH": f"{_FOLDER}/code:{_FOLDER}/layer/python",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            user=_NOBODY,
            readonly_root_filesystem=True,
            stop_timeout=Duration.seconds(30),
            logging=logging,
            port_mappings=[ecs.PortMapping(container_port=SERVICE_PORT)],
        )
        container.add_mount_points(
            ecs.MountPoint(container_path=_FOLDER, source_volume="program", read_only=True)
        )
        return container


def _place(asset: s3_assets.Asset) -> str:
    return f"{asset.s3_bucket_name}/{asset.s3_object_key}"
