"""The stack that is made only when asked for: what it costs, who reaches it, what it may do."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from freehold.settings import Settings
from freehold.settings_aws import PREFIX, START, ServiceEnvironment
from tests.infra.conftest import SERVICE
from tests.infra.synthesis import ROOT
from tests.infra.templates import listed

HOURS = 730
DOLLARS_AN_HOUR = {"balancer": 0.0225, "processor": 0.03238, "gigabyte": 0.00356, "address": 0.005}
"""us-east-1 on 2026-09-23, Fargate on ARM."""


@pytest.fixture(scope="module")
def service(served):
    """Its stack alone; the others are as without it."""
    return replace(served, stacks=("StreamService",))


def containers(service):
    task = service.one("AWS::ECS::TaskDefinition").properties
    return {c["Name"]: c for c in task["ContainerDefinitions"]}


def test_it_is_not_made_unless_asked_for(assembly):
    manifest = json.loads((assembly.folder / "manifest.json").read_text())
    assert not [name for name in manifest["artifacts"] if "StreamService" in name]
    kinds = {
        resource["Type"]
        for stack in assembly.stacks
        for resource in assembly.template(stack)["Resources"].values()
    }
    assert not {kind for kind in kinds if kind.startswith(("AWS::EC2", "AWS::ECS"))}


def test_the_fixed_price_of_a_month(service):
    """What it costs without a client; what clients use comes on top."""
    task = service.one("AWS::ECS::TaskDefinition").properties
    tasks = service.one("AWS::ECS::Service").properties["DesiredCount"]
    (balancer,) = service.all("AWS::ElasticLoadBalancingV2::LoadBalancer")
    addresses = tasks + len(balancer.properties["Subnets"])
    hour = (
        DOLLARS_AN_HOUR["balancer"]
        + tasks * int(task["Cpu"]) / 1024 * DOLLARS_AN_HOUR["processor"]
        + tasks * int(task["Memory"]) / 1024 * DOLLARS_AN_HOUR["gigabyte"]
        + addresses * DOLLARS_AN_HOUR["address"]
    )
    assert round(hour * HOURS, 2) == 59.86
    assert "$59.86" in (ROOT / "docs/aws.md").read_text()
    paid = ("AWS::EC2::NatGateway", "AWS::EC2::EIP", "AWS::Lambda::Function")
    assert not [kind for kind in paid if service.all(kind)]
    assert {e.properties["VpcEndpointType"] for e in service.all("AWS::EC2::VPCEndpoint")} == {
        "Gateway"
    }


def test_clients_reach_the_load_balancer_over_tls_and_it_alone_reaches_the_tasks(service):
    (listener,) = service.all("AWS::ElasticLoadBalancingV2::Listener")
    assert (listener.properties["Port"], listener.properties["Protocol"]) == (443, "HTTPS")
    assert listener.properties["Certificates"] == [
        {"CertificateArn": SERVICE["stream_service_certificate_arn"]}
    ]
    assert "TLS13" in listener.properties["SslPolicy"]
    groups = {g.name: g.properties for g in service.all("AWS::EC2::SecurityGroup")}
    (outside,) = [name for name, g in groups.items() if "SecurityGroupIngress" in g]
    (rule,) = groups[outside]["SecurityGroupIngress"]
    assert (rule["CidrIp"], rule["FromPort"], rule["ToPort"]) == ("0.0.0.0/0", 443, 443)
    (entry,) = service.all("AWS::EC2::SecurityGroupIngress")
    assert entry.properties["SourceSecurityGroupId"] == {"Fn::GetAtt": [outside, "GroupId"]}
    network = service.one("AWS::ECS::Service").properties["NetworkConfiguration"]
    (used,) = network["AwsvpcConfiguration"]["SecurityGroups"]
    assert used == entry.properties["GroupId"] != {"Fn::GetAtt": [outside, "GroupId"]}
    assert (
        entry.properties["FromPort"]
        == containers(service)["Service"]["PortMappings"][0]["ContainerPort"]
    )


def test_metrics_have_a_port_that_nobody_reaches_by_itself(service):
    assert variables_of(service)["FREEHOLD_METRICS_PORT"] == "9464"
    rules = [
        *(
            r
            for g in service.all("AWS::EC2::SecurityGroup")
            for r in g.properties.get("SecurityGroupIngress", [])
        ),
        *(entry.properties for entry in service.all("AWS::EC2::SecurityGroupIngress")),
    ]
    assert rules
    assert not [r for r in rules if r["FromPort"] <= 9464 <= r["ToPort"]]


def test_no_connection_is_closed_from_inside_while_the_load_balancer_keeps_it(service):
    (balancer,) = service.all("AWS::ElasticLoadBalancingV2::LoadBalancer")
    kept = {a["Key"]: a["Value"] for a in balancer.properties["LoadBalancerAttributes"]}
    idle = int(kept["idle_timeout.timeout_seconds"])
    variables = variables_of(service)
    assert int(variables["FREEHOLD_KEEP_ALIVE_SECONDS"]) > idle > 2 * Settings().ping_seconds


def variables_of(service):
    found = containers(service)["Service"]["Environment"]
    return {v["Name"]: v["Value"] if isinstance(v["Value"], str) else "resolved" for v in found}


def test_the_program_gets_every_variable_that_it_requires(service):
    variables = variables_of(service)
    read = ServiceEnvironment.read(variables)
    assert read.settings().max_body_bytes == 32 * 1024 * 1024
    assert read.settings().stream_seconds is None
    known = {PREFIX + field.upper() for field in ServiceEnvironment.model_fields}
    unset = {name for name in known if name.endswith(("_PER_MINUTE", "_PRICES", "_DAILY_CAP"))}
    assert {name for name in variables if name.startswith(PREFIX)} == known - unset
    assert set(START) <= set(variables)


def test_the_program_is_that_of_the_functions_and_no_image_is_built(service):
    found = containers(service)
    functions = replace(service, stacks=("Api",))
    code = functions.function("api").properties["Code"]["S3Key"]
    (layer,) = functions.all("AWS::Lambda::LayerVersion")
    places = json.dumps(found["Fetch"]["Command"])
    assert f"/{code}" in places
    assert f"/{layer.properties['Content']['S3Key']}" in places
    assert found["Service"]["DependsOn"] == [{"ContainerName": "Fetch", "Condition": "SUCCESS"}]
    runtime = functions.function("api").properties["Runtime"].removeprefix("python")
    images = {c["Image"] for c in found.values()}
    assert images == {f"public.ecr.aws/lambda/python:{runtime}-arm64"}
    task = service.one("AWS::ECS::TaskDefinition").properties
    assert task["RuntimePlatform"]["CpuArchitecture"] == "ARM64"


def test_a_task_is_nobody_and_can_write_nothing(service):
    for name, container in containers(service).items():
        assert container["ReadonlyRootFilesystem"] is True
        assert container["MountPoints"][0]["ReadOnly"] is (name == "Service")
    assert containers(service)["Service"]["User"] == "65534:65534"


def test_a_deployment_replaces_tasks_that_answer_by_tasks_that_answer(service):
    made = service.one("AWS::ECS::Service").properties
    assert made["DesiredCount"] == 2
    deployment = made["DeploymentConfiguration"]
    assert deployment["MinimumHealthyPercent"] == 100
    assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    (group,) = service.all("AWS::ElasticLoadBalancingV2::TargetGroup")
    assert group.properties["HealthCheckPath"] == "/healthz"
    drained = {a["Key"]: a["Value"] for a in group.properties["TargetGroupAttributes"]}
    assert int(drained["deregistration_delay.timeout_seconds"]) <= 30
    assert containers(service)["Service"]["StopTimeout"] >= 30


def test_it_may_do_what_the_api_may_and_fetch_its_program(service):
    role = service.one("AWS::ECS::TaskDefinition").properties["TaskRoleArn"]["Fn::GetAtt"][0]
    granted = {
        (action, json.dumps(resource))
        for statement in service.statements(role)
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }
    api = replace(service, stacks=("Api",)).permissions("api")
    expected = {
        (action, json.dumps(resource))
        for action, resources in api.items()
        for resource in resources
    }
    telemetry = {pair for pair in expected if pair[0].startswith(("logs:", "xray:"))}
    assert expected - telemetry <= granted
    more = granted - expected
    assert {action for action, _ in more} == {"s3:GetObject"}
    assert all("cdk-" in resource and ".zip" in resource for _, resource in more)
    assert len(more) == 2


def test_the_logs_forget(service):
    (log,) = service.all("AWS::Logs::LogGroup")
    assert log.properties["RetentionInDays"] == 30
    for container in containers(service).values():
        options = container["LogConfiguration"]["Options"]
        assert options["awslogs-group"] == {"Ref": log.name}
