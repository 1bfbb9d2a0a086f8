"""Types of CloudFormation resources that cost by their use alone."""

from __future__ import annotations

from collections.abc import Mapping


def is_free(kind: str) -> bool:
    """Whether a type such as `AWS::S3::Bucket` costs nothing while nobody uses it. False also for
    one that this version does not know.
    """
    vendor, _, rest = kind.partition("::")
    service, _, name = rest.partition("::")
    return vendor == "AWS" and name in _FREE.get(service, ())


_FREE: Mapping[str, tuple[str, ...]] = {
    "ApiGateway": (
        "Account",
        "Authorizer",
        "Deployment",
        "GatewayResponse",
        "Method",
        "Model",
        "RequestValidator",
        "Resource",
        "RestApi",
        "Stage",
    ),
    "ApiGatewayV2": (
        "Api",
        "Authorizer",
        "Deployment",
        "Integration",
        "IntegrationResponse",
        "Route",
        "RouteResponse",
        "Stage",
    ),
    "CloudWatch": ("CompositeAlarm",),
    "DynamoDB": (
        "GlobalTable",
        "Table",
    ),
    "EC2": (
        "FlowLog",
        "InternetGateway",
        "NetworkAcl",
        "NetworkAclEntry",
        "Route",
        "RouteTable",
        "SecurityGroup",
        "SecurityGroupEgress",
        "SecurityGroupIngress",
        "Subnet",
        "SubnetRouteTableAssociation",
        "VPC",
        "VPCGatewayAttachment",
        "VPCPeeringConnection",
    ),
    "ECS": (
        "Cluster",
        "TaskDefinition",
    ),
    "EFS": (
        "AccessPoint",
        "FileSystem",
        "MountTarget",
    ),
    "ElasticLoadBalancingV2": (
        "Listener",
        "ListenerRule",
        "TargetGroup",
    ),
    "IAM": (
        "ManagedPolicy",
        "Policy",
        "Role",
    ),
    "KMS": ("Alias",),
    "Lambda": (
        "Alias",
        "EventInvokeConfig",
        "EventSourceMapping",
        "Function",
        "LayerVersion",
        "Permission",
    ),
    "Logs": (
        "LogGroup",
        "MetricFilter",
        "ResourcePolicy",
    ),
    "Route53Resolver": (
        "FirewallRuleGroup",
        "FirewallRuleGroupAssociation",
    ),
    "S3": (
        "Bucket",
        "BucketPolicy",
    ),
    "SNS": (
        "Subscription",
        "Topic",
        "TopicPolicy",
    ),
    "SQS": (
        "Queue",
        "QueuePolicy",
    ),
    "StepFunctions": (
        "StateMachine",
        "StateMachineAlias",
        "StateMachineVersion",
    ),
}
