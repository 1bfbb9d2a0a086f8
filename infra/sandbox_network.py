"""The network of sandboxes: no way out but what is named here."""

from __future__ import annotations

from typing import cast

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_route53resolver as resolver
from aws_cdk import aws_s3 as s3
from constructs import Construct

from freehold.settings_aws import SANDBOX_PORT
from infra.context import Context, repository_arn
from infra.function import retention

CIDR = "10.64.0.0/16"
_NOWHERE = {
    "CidrIp": "255.255.255.255/32",
    "Description": "Nowhere",
    "IpProtocol": "icmp",
    "FromPort": 252,
    "ToPort": 86,
}
_HTTPS, _NFS = ec2.Port.tcp(443), ec2.Port.tcp(2049)
_IMAGE_ACTIONS = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage"]
_IMAGE_ACTIONS += ["ecr:GetDownloadUrlForLayer"]


class SandboxNetwork(Construct):
    """One subnet a zone, without a gateway to the internet and without address translation.

    The egress proxy is in a network of its own (`infra/egress.py`): this one has no gateway, and
    what resolves in it is a list.
    """

    def __init__(self, scope: Construct, id_: str, *, context: Context, bucket: s3.IBucket) -> None:
        super().__init__(scope, id_)
        self._context = context
        self._bucket = bucket
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr(CIDR),
            max_azs=context.sandbox_zones,
            nat_gateways=0,
            create_internet_gateway=False,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="Sandboxes", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=20
                )
            ],
        )
        self.sandboxes = self._group("Sandboxes", "Tasks that run what models write.")
        self.dispatch = self._group("Dispatch", "The function that calls supervisors.")
        self.workspaces = self._group("Workspaces", "The function that moves workspaces.")
        self.mount_targets = self._group("MountTargets", "Where file systems are mounted.")
        self._endpoints = self._group("Endpoints", "AWS services, for images and logs of tasks.")
        self._open_ways()
        self._add_endpoints()
        self._log_rejected()

    def let_resolve(self, names: list[str]) -> None:
        """What names resolve in this network; all others do not exist. Exact names, no patterns."""
        everything = self._domains("Everything", ["*"])
        known = self._domains("Known", names)
        rules = [
            resolver.CfnFirewallRuleGroup.FirewallRuleProperty(
                action="ALLOW",
                priority=1,
                firewall_domain_list_id=known.attr_id,
                firewall_domain_redirection_action="TRUST_REDIRECTION_DOMAIN",
            ),
            resolver.CfnFirewallRuleGroup.FirewallRuleProperty(
                action="BLOCK",
                block_response="NXDOMAIN",
                priority=2,
                firewall_domain_list_id=everything.attr_id,
            ),
        ]
        group = resolver.CfnFirewallRuleGroup(self, "Rules", firewall_rules=rules)
        resolver.CfnFirewallRuleGroupAssociation(
            self,
            "RulesOfVpc",
            firewall_rule_group_id=group.attr_id,
            priority=101,
            vpc_id=self.vpc.vpc_id,
            mutation_protection="ENABLED",
        )

    @property
    def subnets(self) -> ec2.SubnetSelection:
        return ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)

    # ------------------------------------------------------------ who reaches whom
    def _group(self, id_: str, description: str) -> ec2.SecurityGroup:
        """Its one rule in place leads nowhere. Without a rule of its own a group begins with one
        that allows everything, and those that allow something here come as resources after it.
        """
        group = ec2.SecurityGroup(
            self, id_, vpc=self.vpc, description=description, allow_all_outbound=False
        )
        resource = cast("ec2.CfnSecurityGroup", group.node.default_child)
        resource.add_property_override("SecurityGroupEgress", [_NOWHERE])
        return group

    def _connect(self, source: ec2.ISecurityGroup, to: ec2.ISecurityGroup, port: ec2.Port) -> None:
        source.add_egress_rule(to, port)
        to.add_ingress_rule(source, port)

    def _open_ways(self) -> None:
        self._connect(self.dispatch, self.sandboxes, ec2.Port.tcp(SANDBOX_PORT))
        self._connect(self.sandboxes, self._endpoints, _HTTPS)
        self._connect(self.sandboxes, self.mount_targets, _NFS)
        self._connect(self.workspaces, self.mount_targets, _NFS)
        bucket = ec2.Peer.prefix_list(self._context.sandbox_s3_prefix_list)
        for group in (self.sandboxes, self.dispatch, self.workspaces):
            group.add_egress_rule(bucket, _HTTPS)

    # ------------------------------------------------------------ endpoints
    def _add_endpoints(self) -> None:
        """What a task's platform needs to fetch the image and to log. Nobody gets through them to
        another account, with whatever credentials.
        """
        image = self._own(_IMAGE_ACTIONS, repository_arn(self._context.sandbox_image))
        token = iam.PolicyStatement(
            principals=[iam.AnyPrincipal()],
            actions=["ecr:GetAuthorizationToken"],  # knows no resource, so none of an account
            resources=["*"],
            conditions={"StringEquals": {"aws:PrincipalAccount": Stack.of(self).account}},
        )
        services = ec2.InterfaceVpcEndpointAwsService
        self._add_interface("EcrApi", services.ECR, [token, image])
        self._add_interface("EcrDocker", services.ECR_DOCKER, [token, image])
        lines = self._own(["logs:CreateLogStream", "logs:PutLogEvents"], "*")
        self._add_interface("Logs", services.CLOUDWATCH_LOGS, [lines])
        self._add_s3()

    def _add_interface(
        self,
        id_: str,
        service: ec2.InterfaceVpcEndpointAwsService,
        statements: list[iam.PolicyStatement],
    ) -> None:
        endpoint = self.vpc.add_interface_endpoint(
            id_,
            service=service,
            subnets=self.subnets,
            security_groups=[self._endpoints],
            open=False,
            private_dns_enabled=True,
        )
        for statement in statements:
            endpoint.add_to_policy(statement)

    def _add_s3(self) -> None:
        """The layers of images, which ECR keeps in a bucket of its own and hands out signed links
        to; and the one bucket of this stack.
        """
        endpoint = self.vpc.add_gateway_endpoint(
            "S3", service=ec2.GatewayVpcEndpointAwsService.S3, subnets=[self.subnets]
        )
        endpoint.add_to_policy(
            iam.PolicyStatement(
                principals=[iam.AnyPrincipal()],
                actions=["s3:GetObject"],
                resources=[f"arn:{Stack.of(self).partition}:s3:::{self.layer_bucket}/*"],
            )
        )
        endpoint.add_to_policy(
            self._own(
                ["s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:AbortMultipartUpload"],
                self._bucket.bucket_arn,
                self._bucket.arn_for_objects("*"),
            )
        )

    @property
    def layer_bucket(self) -> str:
        """Of ECR in this Region."""
        return f"prod-{Stack.of(self).region}-starport-layer-bucket"

    def _own(self, actions: list[str], *resources: str) -> iam.PolicyStatement:
        """Allowed to principals of this account, on what is this account's."""
        account = Stack.of(self).account
        return iam.PolicyStatement(
            principals=[iam.AnyPrincipal()],
            actions=actions,
            resources=list(resources),
            conditions={
                "StringEquals": {"aws:PrincipalAccount": account, "aws:ResourceAccount": account}
            },
        )

    # ------------------------------------------------------------ names and what was refused
    def _domains(self, id_: str, names: list[str]) -> resolver.CfnFirewallDomainList:
        return resolver.CfnFirewallDomainList(self, id_, domains=names)

    def _log_rejected(self) -> None:
        """Who tries a way that is not open is seen; what is allowed is not worth its price."""
        log = logs.LogGroup(
            self,
            "Rejected",
            retention=retention(self._context),
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.vpc.add_flow_log(
            "FlowLog",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(log),
            traffic_type=ec2.FlowLogTrafficType.REJECT,
        )
