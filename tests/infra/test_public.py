"""Nothing is reached from outside but the APIs."""

from __future__ import annotations

import json

from tests.infra.templates import listed

DOORS = {"AWS::ApiGateway::RestApi", "AWS::ApiGatewayV2::Api"}
"""What has an address on the internet."""
OTHER_DOORS = {
    "AWS::CloudFront::Distribution",
    "AWS::EC2::EIP",
    "AWS::EC2::Instance",
    "AWS::EC2::InternetGateway",
    "AWS::EC2::NatGateway",
    "AWS::ElasticLoadBalancingV2::LoadBalancer",
    "AWS::Lambda::Url",
}
"""What else could have one."""
POLICIES = {
    "AWS::KMS::Key": "KeyPolicy",
    "AWS::Lambda::LayerVersionPermission": "Principal",
    "AWS::S3::BucketPolicy": "PolicyDocument",
    "AWS::SNS::TopicPolicy": "PolicyDocument",
    "AWS::SQS::QueuePolicy": "PolicyDocument",
    "AWS::SecretsManager::ResourcePolicy": "ResourcePolicy",
}
ANYBODY = ("*", {"AWS": "*"})


def test_the_only_doors_are_the_apis(deployed):
    """And the gateway by which the egress proxy goes out; its group lets nobody in by it
    (tests/infra/test_sandboxes.py).
    """
    kinds = {resource.type for resource in deployed.everything()}
    out = {"AWS::EC2::InternetGateway"} if "Sandboxes" in deployed.stacks else set()
    assert kinds & (DOORS | OTHER_DOORS) == DOORS | out
    api = deployed.one("AWS::ApiGateway::RestApi").properties
    assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"]}


def test_no_resource_lets_anybody_in_by_its_own_policy(deployed):
    looked_at = 0
    for kind, name in POLICIES.items():
        for resource in deployed.all(kind):
            statements = resource.properties[name]["Statement"]
            open_ = [s for s in statements if s["Effect"] == "Allow" and s["Principal"] in ANYBODY]
            assert open_ == [], resource.name
            looked_at += len(statements)
    assert looked_at > 3
    for permission in deployed.all("AWS::Lambda::Permission"):
        assert permission.properties["Principal"].endswith(".amazonaws.com")
        assert "SourceArn" in permission.properties


def test_no_bucket_can_be_made_public(deployed):
    for bucket in deployed.all("AWS::S3::Bucket"):
        assert set(bucket.properties["PublicAccessBlockConfiguration"].values()) == {True}


def test_no_network_is_open_to_anybody(deployed):
    for group in deployed.all("AWS::EC2::SecurityGroup"):
        text = json.dumps(listed(group.properties.get("SecurityGroupIngress", [])))
        assert "0.0.0.0/0" not in text
        assert "::/0" not in text
