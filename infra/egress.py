"""The egress proxy of sandboxes: a task in a network of its own, the only one with a way out
(ADR 0010).

The networks are peered. Peering is not passed on: through it a sandbox reaches the proxy's
addresses, and never the gateway behind them. Names resolve here, and not where sandboxes are.
"""

from __future__ import annotations

from typing import Any

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_logs as logs
from constructs import Construct

from freehold.settings_aws import EGRESS_CONTROL_PORT, EGRESS_PORT
from infra.acknowledged import acknowledge
from infra.context import Context, repository_arn
from infra.execution_role import execution_role
from infra.function import retention
from infra.sandbox_network import CIDR as SANDBOXES_CIDR
from infra.sandbox_network import SandboxNetwork

CIDR = "10.65.0.0/24"
_CPU, _MEMORY_MIB = "256", "512"
_STOP_SECONDS = 5


class Egress(Construct):
    """`variables` are fields of `EgressEnvironment`, for who starts the task."""

    def __init__(
        self, scope: Construct, id_: str, *, context: Context, network: SandboxNetwork
    ) -> None:
        super().__init__(scope, id_)
        self._context = context
        self._network = network
        self._log = logs.LogGroup(
            self, "Log", retention=retention(context), removal_policy=RemovalPolicy.DESTROY
        )
        self.execution_role = execution_role(
            self, repository_arn=repository_arn(context.egress_image), log=self._log
        )
        self._vpc = self._make_vpc()
        self._group = self._make_group()
        self._peer()
        self.family = f"{context.name}-egress"
        self._define_task()

    @property
    def variables(self) -> dict[str, Any]:
        subnets = self._vpc.public_subnets
        return {
            "sandbox_egress_family": self.family,
            "sandbox_egress_subnets": ",".join(subnet.subnet_id for subnet in subnets),
            "sandbox_egress_security_group": self._group.security_group_id,
            "package_hosts": ",".join(self._context.package_hosts),
            "refused_ranges": ",".join(self._context.refused_ranges),
        }

    # ------------------------------------------------------------ the network
    def _make_vpc(self) -> ec2.Vpc:
        vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr(CIDR),
            max_azs=self._context.sandbox_zones,
            nat_gateways=0,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="Proxy",
                    subnet_type=ec2.SubnetType.PUBLIC,
                    cidr_mask=27,
                    map_public_ip_on_launch=False,
                )
            ],
        )
        acknowledge(
            vpc,
            "VPC7",
            "The proxy alone is in it; nobody gets in from outside, and what it lets out it logs.",
        )
        return vpc

    def _make_group(self) -> ec2.SecurityGroup:
        group = ec2.SecurityGroup(
            self,
            "Proxy",
            vpc=self._vpc,
            description="The egress proxy of sandboxes.",
            allow_all_outbound=False,
        )
        for port in (80, 443):
            group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(port))
        return group

    def _peer(self) -> None:
        """Both ways in the routing; who begins is said by the groups."""
        network = self._network
        peering = ec2.CfnVPCPeeringConnection(
            self, "Peering", vpc_id=network.vpc.vpc_id, peer_vpc_id=self._vpc.vpc_id
        )
        ways = [(subnet, CIDR) for subnet in network.vpc.isolated_subnets]
        ways += [(subnet, SANDBOXES_CIDR) for subnet in self._vpc.public_subnets]
        for number, (subnet, cidr) in enumerate(ways):
            ec2.CfnRoute(
                self,
                f"Way{number}",
                route_table_id=subnet.route_table.route_table_id,
                destination_cidr_block=cidr,
                vpc_peering_connection_id=peering.ref,
            )
        for name, group, port in (
            ("Sandboxes", network.sandboxes, EGRESS_PORT),
            ("Dispatch", network.dispatch, EGRESS_CONTROL_PORT),
        ):
            self._let_in(name, group, port, peering)

    def _let_in(
        self, name: str, group: ec2.SecurityGroup, port: int, peering: ec2.CfnVPCPeeringConnection
    ) -> None:
        """Groups of another network may be named once the peering is there."""
        out = ec2.CfnSecurityGroupEgress(
            self,
            f"{name}Out",
            group_id=group.security_group_id,
            destination_security_group_id=self._group.security_group_id,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
        )
        into = ec2.CfnSecurityGroupIngress(
            self,
            f"{name}In",
            group_id=self._group.security_group_id,
            source_security_group_id=group.security_group_id,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
        )
        for rule in (out, into):
            rule.add_dependency(peering)

    # ------------------------------------------------------------ the task
    def _define_task(self) -> None:
        """No task role: the program can ask AWS for nothing. Its settings come with `RunTask`."""
        ecs.CfnTaskDefinition(
            self,
            "Task",
            family=self.family,
            requires_compatibilities=["FARGATE"],
            network_mode="awsvpc",
            cpu=_CPU,
            memory=_MEMORY_MIB,
            execution_role_arn=self.execution_role.role_arn,
            runtime_platform=ecs.CfnTaskDefinition.RuntimePlatformProperty(
                cpu_architecture=self._context.architecture.upper(),
                operating_system_family="LINUX",
            ),
            container_definitions=[self._container()],
        )

    def _container(self) -> ecs.CfnTaskDefinition.ContainerDefinitionProperty:
        of = ecs.CfnTaskDefinition
        return of.ContainerDefinitionProperty(
            name="egress",
            image=self._context.egress_image,
            essential=True,
            readonly_root_filesystem=True,
            stop_timeout=_STOP_SECONDS,
            port_mappings=[
                of.PortMappingProperty(container_port=port, protocol="tcp")
                for port in (EGRESS_PORT, EGRESS_CONTROL_PORT)
            ],
            linux_parameters=of.LinuxParametersProperty(
                capabilities=of.KernelCapabilitiesProperty(drop=["ALL"])
            ),
            ulimits=[of.UlimitProperty(name="nofile", soft_limit=65536, hard_limit=65536)],
            log_configuration=of.LogConfigurationProperty(
                log_driver="awslogs",
                options={
                    "awslogs-group": self._log.log_group_name,
                    "awslogs-region": self._log.stack.region,
                    "awslogs-stream-prefix": "egress",
                },
            ),
        )
