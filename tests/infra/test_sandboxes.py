"""The stack of sandboxes: what gets in, what gets out, who may do what, and what it costs idle."""

from __future__ import annotations

import json

import pytest

from freehold.adapters.fargate_sandbox import egress_proxy
from freehold.settings_aws import (
    EGRESS_CONTROL_PORT,
    EGRESS_PORT,
    FUNCTIONS,
    PREFIX,
    SANDBOX_FUNCTIONS,
    SANDBOX_PORT,
)
from tests.infra.conftest import SANDBOXES
from tests.infra.synthesis import synthesize
from tests.infra.templates import SANDBOXED, listed
from tests.infra.test_permissions import ALLOWED, RECORDS, TELEMETRY, WHOLE_ACCOUNT

INTERFACES = {
    *("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"),
    *("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"),
    *("ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"),
}
START = {"ecs:RunTask", "ecs:TagResource", "iam:PassRole"}
CALL = {"ecs:DescribeTasks", "ecs:StopTask", "lambda:InvokeFunction"}
TRANSFER = {"s3:GetObject", "s3:PutObject", "s3:ListBucket"}
NEW = {
    **{
        folder: ALLOWED[folder] | START | CALL | {"s3:DeleteObject", "states:StartExecution"}
        for folder in ("run_turn", "run_tools")
    },
    "reaper": ALLOWED["reaper"] | {"states:StartExecution"},
    "dispatch": TRANSFER | INTERFACES | {"s3:AbortMultipartUpload"},
    "workspaces": {
        *("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListBucket"),
        *("elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"),
        "elasticfilesystem:ClientRootAccess",
        *INTERFACES,
    },
    "slots": {
        *(RECORDS | START | CALL),
        *("kms:Decrypt", "kms:GenerateDataKey"),
        *("s3:GetObject", "s3:DeleteObject", "s3:ListBucket"),
        *("ecs:RegisterTaskDefinition", "ecs:DeregisterTaskDefinition"),
        *("ecs:DeleteTaskDefinitions", "ecs:ListTaskDefinitions"),
        *("ecs:ListTaskDefinitionFamilies", "ecs:ListTasks"),
        *("elasticfilesystem:CreateAccessPoint", "elasticfilesystem:DeleteAccessPoint"),
        *("elasticfilesystem:DescribeAccessPoints", "elasticfilesystem:TagResource"),
    },
}
WITHOUT_RESOURCES = {
    *(WHOLE_ACCOUNT | INTERFACES),
    "ecr:GetAuthorizationToken",
    *("ecs:RegisterTaskDefinition", "ecs:DeregisterTaskDefinition"),
    *("ecs:ListTaskDefinitions", "ecs:ListTaskDefinitionFamilies", "ecs:ListTasks"),
}


def _of(assembly, kind):
    return [found for found in assembly.all(kind) if found.stack == "Sandboxes"]


def _group(assembly, description):
    (found,) = [
        group.name
        for group in _of(assembly, "AWS::EC2::SecurityGroup")
        if description in group.properties["GroupDescription"]
    ]
    return {"Fn::GetAtt": [found, "GroupId"]}


# ---------------------------------------------------------------- whether it is there
def test_there_are_no_sandboxes_unless_they_are_asked_for(assembly, sandboxed):
    assert "Sandboxes" not in assembly.stacks
    assert sandboxed.stacks == SANDBOXED
    assert not [name for name in _variables(assembly, "run_tools") if "SANDBOX" in name]


@pytest.mark.parametrize("folder", sorted({*SANDBOX_FUNCTIONS, "run_turn", "run_tools", "reaper"}))
def test_a_stack_provides_every_variable_that_its_function_requires(sandboxed, folder):
    for given in _all_variables(sandboxed, folder):
        plain = {
            name: value if isinstance(value, str) else "resolved" for name, value in given.items()
        }
        read = FUNCTIONS[folder].read(plain)
        known = {PREFIX + field.upper() for field in FUNCTIONS[folder].model_fields}
        assert {name for name in given if name.startswith(PREFIX)} <= known
        if "sandbox_cluster_arn" in FUNCTIONS[folder].model_fields:
            assert read.sandbox_cluster_arn


def _functions(assembly, folder):
    return [
        function
        for function in assembly.all("AWS::Lambda::Function")
        if function.properties["Handler"] == f"functions.{folder}.index.handler"
    ]


def _all_variables(assembly, folder):
    return [f.properties["Environment"]["Variables"] for f in _functions(assembly, folder)]


def _variables(assembly, folder):
    return _all_variables(assembly, folder)[0]


# ---------------------------------------------------------------- permissions
@pytest.mark.parametrize("folder", NEW)
def test_a_function_may_do_what_it_does_and_nothing_else(sandboxed, folder):
    for function in _functions(sandboxed, folder):
        role = function.properties["Role"]["Fn::GetAtt"][0]
        granted = {
            action
            for statement in sandboxed.statements(role)
            for action in listed(statement["Action"])
        }
        assert granted == NEW[folder] | TELEMETRY


def test_a_statement_about_everything_is_about_actions_without_resources(sandboxed):
    for policy in _of(sandboxed, "AWS::IAM::Policy"):
        for statement in policy.properties["PolicyDocument"]["Statement"]:
            if "*" in listed(statement["Resource"]):
                assert set(listed(statement["Action"])) <= WITHOUT_RESOURCES


def test_a_task_has_no_role_and_what_starts_it_has_the_least(sandboxed):
    """Definitions of slots are registered by `slots`, with no other role than the first."""
    roles = [
        role
        for role in _of(sandboxed, "AWS::IAM::Role")
        if "ecs-tasks" in json.dumps(role.properties["AssumeRolePolicyDocument"])
    ]
    repositories = set()
    for role in roles:
        found = {
            action: listed(statement["Resource"])
            for statement in sandboxed.statements(role.name)
            for action in listed(statement["Action"])
        }
        assert set(found) == {
            "ecr:GetAuthorizationToken",
            *("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
            *("logs:CreateLogStream", "logs:PutLogEvents"),
        }
        repositories.update(found["ecr:BatchGetImage"])
    owner = "arn:aws:ecr:eu-west-1:123456789012:repository"
    assert repositories == {f"{owner}/freehold-sandbox", f"{owner}/freehold-egress"}
    for folder in ("run_turn", "run_tools", "slots"):
        passed = json.dumps(sandboxed.permissions(folder)["iam:PassRole"])
        assert all(role.name in passed for role in roles)
        assert len(sandboxed.permissions(folder)["iam:PassRole"]) == len(roles)


def test_only_who_carries_out_calls_and_slots_call_dispatch(sandboxed):
    callers = [
        folder
        for folder in set(FUNCTIONS) - {"workspaces"}
        if "lambda:InvokeFunction" in sandboxed.permissions(folder)
    ]
    assert sorted(callers) == ["run_tools", "run_turn", "slots"]
    assert not [
        p
        for p in sandboxed.all("AWS::Lambda::Permission")
        if sandboxed.function("dispatch").name in json.dumps(p.properties["FunctionName"])
    ]


def test_dispatch_reads_and_writes_what_is_on_its_way_and_installed_packages_alone(sandboxed):
    bucket = sandboxed.permissions("dispatch")
    for action, names in (
        ("s3:GetObject", {"/transfers/*", "/packages/*"}),
        ("s3:PutObject", {"/transfers/*", "/packages/*"}),
        ("s3:AbortMultipartUpload", {"/packages/*"}),
    ):
        assert {resource["Fn::Join"][1][-1] for resource in bucket[action]} == names
    for folder in set(FUNCTIONS) - {"dispatch", "workspaces"}:
        assert "/packages/" not in json.dumps(sandboxed.permissions(folder))


# ---------------------------------------------------------------- the network
def _vpc(assembly, part):
    (found,) = [vpc for vpc in assembly.all("AWS::EC2::VPC") if vpc.name.startswith(part)]
    return {"Ref": found.name}


def _routes(assembly, vpc):
    """Where a network's packets go besides itself."""
    tables = [
        {"Ref": table.name}
        for table in _of(assembly, "AWS::EC2::RouteTable")
        if table.properties["VpcId"] == vpc
    ]
    return [
        route.properties
        for route in _of(assembly, "AWS::EC2::Route")
        if route.properties["RouteTableId"] in tables
    ]


def test_the_network_has_no_way_to_the_internet(sandboxed):
    """Nor to the gateway behind the proxy: a peering is not passed on."""
    for kind in ("NatGateway", "EgressOnlyInternetGateway", "TransitGatewayAttachment", "EIP"):
        assert _of(sandboxed, f"AWS::EC2::{kind}") == []
    vpc, peering = _vpc(sandboxed, "Network"), sandboxed.one("AWS::EC2::VPCPeeringConnection")
    gateways = [g.properties["VpcId"] for g in _of(sandboxed, "AWS::EC2::VPCGatewayAttachment")]
    assert gateways == [_vpc(sandboxed, "Egress")]
    assert peering.properties["VpcId"] == vpc
    assert peering.properties["PeerVpcId"] == _vpc(sandboxed, "Egress")
    for route in _routes(sandboxed, vpc):
        assert route["DestinationCidrBlock"] == "10.65.0.0/24"
        assert route["VpcPeeringConnectionId"] == {"Ref": peering.name}
    assert len(_routes(sandboxed, vpc)) == 2
    for subnet in _of(sandboxed, "AWS::EC2::Subnet"):
        assert subnet.properties["MapPublicIpOnLaunch"] is False


def test_without_an_image_of_the_proxy_nothing_of_it_is_there(assembly, tmp_path):
    layer = str(assembly.folder.parent / "layer")
    found = synthesize(tmp_path / "out", **{**SANDBOXES, "egress_image": ""}, layer=layer)
    assert len(found.all("AWS::EC2::VPC")) == 1
    for kind in ("InternetGateway", "Route", "VPCPeeringConnection"):
        assert found.all(f"AWS::EC2::{kind}") == []
    assert found.all("AWS::ECS::TaskDefinition") == []
    for folder in ("run_tools", "run_turn", "slots", "dispatch"):
        assert not [name for name in _variables(found, folder) if "EGRESS" in name]


def test_the_proxy_is_a_task_without_a_role_that_gives_up_every_capability(sandboxed):
    task = sandboxed.one("AWS::ECS::TaskDefinition").properties
    assert "TaskRoleArn" not in task
    assert task["Family"] == _variables(sandboxed, "run_tools")["FREEHOLD_SANDBOX_EGRESS_FAMILY"]
    held = 0.25 * egress_proxy.LIMITS["all_connections"]
    assert held + 64 < int(task["Memory"])  # in MiB, with the program itself
    (container,) = task["ContainerDefinitions"]
    assert container["Name"] == egress_proxy.CONTAINER
    assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
    assert container["ReadonlyRootFilesystem"] is True
    assert "Secrets" not in container
    assert "Environment" not in container
    assert _variables(sandboxed, "dispatch")["FREEHOLD_SANDBOX_EGRESS_NETWORK"] == "10.65.0.0/24"


def test_only_dispatch_and_workspaces_are_in_it(sandboxed):
    placed = {
        function.properties["Handler"].split(".")[1]: function.properties["VpcConfig"]
        for function in sandboxed.all("AWS::Lambda::Function")
        if "VpcConfig" in function.properties
    }
    assert set(placed) == {"dispatch", "workspaces"}
    assert placed["dispatch"]["SecurityGroupIds"] == [_group(sandboxed, "calls supervisors")]


def test_what_may_connect_to_what(sandboxed):
    """Every rule of every group, both ways, and nothing in the groups themselves."""
    named = {
        "sandboxes": _group(sandboxed, "run what models write"),
        "dispatch": _group(sandboxed, "calls supervisors"),
        "workspaces": _group(sandboxed, "moves workspaces"),
        "mounts": _group(sandboxed, "are mounted"),
        "endpoints": _group(sandboxed, "AWS services"),
        "proxy": _group(sandboxed, "egress proxy"),
    }

    def name(group):
        return next(known for known, ref in named.items() if ref == group)

    out = {
        (
            name(p["GroupId"]),
            p.get("DestinationPrefixListId") or name(p["DestinationSecurityGroupId"]),
            p["FromPort"],
            p["ToPort"],
        )
        for p in (r.properties for r in _of(sandboxed, "AWS::EC2::SecurityGroupEgress"))
    }
    into = {
        (name(p["SourceSecurityGroupId"]), name(p["GroupId"]), p["FromPort"], p["ToPort"])
        for p in (r.properties for r in _of(sandboxed, "AWS::EC2::SecurityGroupIngress"))
    }
    inside = {
        ("dispatch", "sandboxes", SANDBOX_PORT, SANDBOX_PORT),
        ("dispatch", "proxy", EGRESS_CONTROL_PORT, EGRESS_CONTROL_PORT),
        ("sandboxes", "proxy", EGRESS_PORT, EGRESS_PORT),
        ("sandboxes", "endpoints", 443, 443),
        ("sandboxes", "mounts", 2049, 2049),
        ("workspaces", "mounts", 2049, 2049),
    }
    bucket = {(one, "pl-6da54004", 443, 443) for one in ("sandboxes", "dispatch", "workspaces")}
    assert into == inside
    assert out == inside | bucket
    for group in _of(sandboxed, "AWS::EC2::SecurityGroup"):
        assert "SecurityGroupIngress" not in group.properties
        if {"Fn::GetAtt": [group.name, "GroupId"]} == named["proxy"]:
            ways = [(r["CidrIp"], r["ToPort"]) for r in group.properties["SecurityGroupEgress"]]
            assert ways == [("0.0.0.0/0", 80), ("0.0.0.0/0", 443)]
            continue
        (rule,) = group.properties["SecurityGroupEgress"]
        assert (rule["CidrIp"], rule["IpProtocol"]) == ("255.255.255.255/32", "icmp")


def test_an_endpoint_serves_this_account_alone(sandboxed):
    endpoints = _of(sandboxed, "AWS::EC2::VPCEndpoint")
    services = {
        json.dumps(e.properties["ServiceName"]).rstrip('"]}').split(".", 3)[-1] for e in endpoints
    }
    assert len(endpoints) == len(services) == 4
    own = {
        "aws:PrincipalAccount": {"Ref": "AWS::AccountId"},
        "aws:ResourceAccount": {"Ref": "AWS::AccountId"},
    }
    for endpoint in endpoints:
        for statement in endpoint.properties["PolicyDocument"]["Statement"]:
            actions = listed(statement["Action"])
            assert not [action for action in actions if "*" in action]
            given = statement.get("Condition", {}).get("StringEquals", {})
            if actions == ["ecr:GetAuthorizationToken"]:
                assert given == {"aws:PrincipalAccount": own["aws:PrincipalAccount"]}
            elif "starport-layer-bucket" in json.dumps(statement["Resource"]):
                assert actions == ["s3:GetObject"]
            else:
                assert given == own


def test_only_exact_names_resolve(sandboxed):
    group = sandboxed.one("AWS::Route53Resolver::FirewallRuleGroup").properties
    lists = {
        found.name: found.properties["Domains"]
        for found in sandboxed.all("AWS::Route53Resolver::FirewallDomainList")
    }
    first, last = sorted(group["FirewallRules"], key=lambda rule: rule["Priority"])
    assert (last["Action"], last["BlockResponse"]) == ("BLOCK", "NXDOMAIN")
    assert lists[last["FirewallDomainListId"]["Fn::GetAtt"][0]] == ["*"]
    assert first["Action"] == "ALLOW"
    known = lists[first["FirewallDomainListId"]["Fn::GetAtt"][0]]
    assert len(known) == 7
    assert "*" not in json.dumps(known)
    association = sandboxed.one("AWS::Route53Resolver::FirewallRuleGroupAssociation").properties
    assert association["VpcId"] == _vpc(sandboxed, "Network")
    assert association["MutationProtection"] == "ENABLED"


def test_what_is_refused_is_logged(sandboxed):
    assert sandboxed.one("AWS::EC2::FlowLog").properties["TrafficType"] == "REJECT"


# ---------------------------------------------------------------- files
def test_a_file_system_is_encrypted_and_lets_nobody_in_without_tls_or_an_access_point(sandboxed):
    found = sandboxed.all("AWS::EFS::FileSystem")
    assert len(found) == 2
    for file_system in found:
        assert file_system.properties["Encrypted"] is True
        assert file_system.body["DeletionPolicy"] == "Retain"
        statements = file_system.properties["FileSystemPolicy"]["Statement"]
        denied = [s for s in statements if s["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in [s["Condition"] for s in denied]
        (without,) = [s for s in denied if "Null" in s["Condition"]]
        assert without["Condition"] == {"Null": {"elasticfilesystem:AccessPointArn": "true"}}
        assert len(without["Action"]) == 3
        (root,) = [s for s in denied if "ArnNotEquals" in s["Condition"]]
        assert root["Action"] == "elasticfilesystem:ClientRootAccess"
        (allowed,) = [s for s in statements if s["Effect"] == "Allow"]
        assert "elasticfilesystem:ClientRootAccess" not in allowed["Action"]


def test_root_of_a_file_system_is_the_function_that_mounts_it(sandboxed):
    for function in _functions(sandboxed, "workspaces"):
        (mounted,) = function.properties["FileSystemConfigs"]
        point = mounted["Arn"]["Fn::GetAtt"][0] if "Fn::GetAtt" in mounted["Arn"] else None
        (access_point,) = [
            found
            for found in sandboxed.all("AWS::EFS::AccessPoint")
            if found.name in json.dumps(mounted["Arn"]) or found.name == point
        ]
        assert access_point.properties["PosixUser"] == {"Uid": "0", "Gid": "0"}
        file_system = access_point.properties["FileSystemId"]["Ref"]
        (owner,) = [f for f in sandboxed.all("AWS::EFS::FileSystem") if f.name == file_system]
        role = function.properties["Role"]["Fn::GetAtt"][0]
        (root,) = [
            statement["Condition"]["ArnNotEquals"]["aws:PrincipalArn"]
            for statement in owner.properties["FileSystemPolicy"]["Statement"]
            if "ArnNotEquals" in statement["Condition"]
        ]
        assert root == {"Fn::GetAtt": [role, "Arn"]}
        assert (
            _variables(sandboxed, "workspaces")["FREEHOLD_MOUNT_PATH"]
            == (mounted["LocalMountPath"])
        )


def test_the_bucket_forgets_what_was_on_its_way(sandboxed):
    (bucket,) = _of(sandboxed, "AWS::S3::Bucket")
    rules = bucket.properties["LifecycleConfiguration"]["Rules"]
    assert {(r.get("Prefix"), r.get("ExpirationInDays")) for r in rules} >= {
        ("transfers/", 1),
        ("packages/", 30),
    }
    assert set(bucket.properties["PublicAccessBlockConfiguration"].values()) == {True}


# ---------------------------------------------------------------- upkeep and price
def test_slots_are_looked_after_every_minute_and_counted_every_hour(sandboxed):
    rules = {
        rule.properties["ScheduleExpression"]: rule.properties["Targets"]
        for rule in _of(sandboxed, "AWS::Events::Rule")
    }
    assert set(rules) == {"rate(1 minute)", "rate(1 hour)"}
    (hourly,) = rules["rate(1 hour)"]
    assert json.loads(hourly["Input"]) == {"inventory": True}
    for (target,) in rules.values():
        assert target["Arn"] == {"Ref": sandboxed.alias("slots").name}


def test_what_is_in_the_stack_says_whose_it_is(sandboxed):
    tag = {"Key": "installation", "Value": "Freehold"}
    for kind in ("AWS::EC2::VPC", "AWS::ECS::Cluster", "AWS::Lambda::Function"):
        assert all(tag in found.properties["Tags"] for found in _of(sandboxed, kind))


BY_THE_HOUR = {
    *("AWS::EC2::NatGateway", "AWS::EC2::EIP", "AWS::NetworkFirewall::Firewall"),
    *("AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::ECS::Service", "AWS::EC2::Instance"),
    "AWS::ElastiCache::ServerlessCache",
}


def test_nothing_is_paid_by_the_hour_but_the_endpoints(sandboxed):
    assert not [kind for kind in BY_THE_HOUR if _of(sandboxed, kind)]
