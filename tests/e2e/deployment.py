"""The synthesized stacks in an emulated account, deployed from their templates and assets alone."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.infra.templates import Assembly, flattened

ACCOUNT, REGION = "000000000000", "us-east-1"
UNKNOWN = (
    "AWS::EC2::FlowLog",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::EC2::VPCPeeringConnection",
    "AWS::Route53Resolver::",
)
TEMPLATES = "cdk-templates"
BOOTSTRAP_VERSION = "/cdk-bootstrap/hnb659fds/version"


@dataclass(frozen=True)
class Deployment:
    """The stacks as they stand. `clients` makes a boto3 client for a service's name."""

    assembly: Assembly
    clients: Any
    url: str
    """Of the emulator."""

    @property
    def base_url(self) -> str:
        """`base_url` of the SDK: the stage's path, at the address where the emulator listens."""
        (api,) = self.clients("apigateway").get_rest_apis()["items"]
        return f"{self.url}/_aws/execute-api/{api['id']}/live"

    @property
    def connections_url(self) -> str:
        """Of the WebSocket API's stage, as functions reach it; clients say `ws` for `http`."""
        (api,) = self.clients("apigatewayv2").get_apis()["Items"]
        return f"{self.url}/_aws/execute-api/{api['ApiId']}/live"

    def physical_name(self, stack: str, logical_id: str) -> str:
        found = self.clients("cloudformation").describe_stack_resources(
            StackName=f"Freehold-{stack}"
        )
        (name,) = [
            resource["PhysicalResourceId"]
            for resource in found["StackResources"]
            if resource["LogicalResourceId"] == logical_id
        ]
        return name

    def function_name(self, folder: str) -> str:
        """Of the deployed function of a folder of `functions/`."""
        function = self.assembly.function(folder)
        return self.physical_name(function.stack, function.name)

    def watch(self, folder: str, module: str = "recorded", **replaced: str) -> None:
        """Puts a handler of tests/e2e/worker in front of a function's own, as a deployment would:
        in a version to which the alias moves. Connections are sent to where the emulator listens:
        the name that their stack gave them leads to AWS. `replaced` are other variables that lead
        there.
        """
        name, functions = self.function_name(folder), self.clients("lambda")
        configuration = functions.get_function_configuration(FunctionName=name)
        variables = configuration["Environment"]["Variables"]
        if "FREEHOLD_CONNECTIONS_URL" in variables:
            variables["FREEHOLD_CONNECTIONS_URL"] = self.connections_url
        variables |= replaced
        functions.update_function_configuration(
            FunctionName=name,
            Handler=f"{module}.{folder}",
            Environment={"Variables": variables},
        )
        version = functions.publish_version(FunctionName=name)["Version"]
        functions.update_alias(FunctionName=name, Name="live", FunctionVersion=version)

    def resource(self, stack: str, kind: str) -> str:
        """The physical name of the only resource of a type in a stack."""
        (found,) = [one.name for one in self.assembly.all(kind) if one.stack == stack]
        return self.physical_name(stack, found)

    def output(self, stack: str, name: str) -> str:
        (found,) = self.clients("cloudformation").describe_stacks(StackName=f"Freehold-{stack}")[
            "Stacks"
        ]
        return {o["OutputKey"]: o["OutputValue"] for o in found["Outputs"]}[name]


def deploy(assembly: Assembly, clients: Any, url: str) -> Deployment:
    """Uploads the assets and creates the stacks in their order, as the CDK's CLI would."""
    clients("ssm").put_parameter(Name=BOOTSTRAP_VERSION, Value="30", Type="String")
    for stack in assembly.stacks:
        _upload(assembly, stack, clients("s3"))
        _create(Deployment(assembly, clients, url), stack)
    return Deployment(assembly, clients, url)


def redeploy(deployment: Deployment, assembly: Assembly) -> None:
    """Updates the stacks to another version, in their order. Their names stay."""
    cloudformation = deployment.clients("cloudformation")
    for stack in assembly.stacks:
        _upload(assembly, stack, deployment.clients("s3"))
        name = f"Freehold-{stack}"
        if assembly.template(stack) == deployment.assembly.template(stack):
            continue  # CloudFormation refuses an update without a change
        cloudformation.update_stack(
            StackName=name,
            TemplateURL=_template_url(replace(deployment, assembly=assembly), stack),
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        )
        cloudformation.get_waiter("stack_update_complete").wait(
            StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )


def destroy(deployment: Deployment) -> None:
    """Deletes the stacks, last first."""
    cloudformation = deployment.clients("cloudformation")
    for stack in reversed(deployment.assembly.stacks):
        cloudformation.delete_stack(StackName=f"Freehold-{stack}")
        cloudformation.get_waiter("stack_delete_complete").wait(
            StackName=f"Freehold-{stack}", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )


def _known(template: dict[str, Any]) -> dict[str, Any]:
    """Without what the emulator does not know, rules of a network that it does not have either, and
    without what leads there.
    """
    resources = template["Resources"]
    unknown = [{"Ref": n} for n, found in resources.items() if found["Type"].startswith(UNKNOWN)]
    kept = {
        name: resource
        for name, resource in resources.items()
        if {"Ref": name} not in unknown
        and not [part for part in flattened(resource.get("Properties")) if part in unknown]
    }
    return {**template, "Resources": kept}


def _read(value: Any, stacks: frozenset[str]) -> Any:
    """A piece of a template, without what it reads of stacks that are not deployed: no emulator
    has the stream service.
    """
    if isinstance(value, list):
        return [_read(part, stacks) for part in value]
    if not isinstance(value, dict):
        return value
    if value.get("Fn::GetStackOutput", {}).get("StackName", "") not in {"", *stacks}:
        return "not deployed"
    return {name: _read(part, stacks) for name, part in value.items()}


def _template_url(deployment: Deployment, stack: str) -> str:
    """Of the stack's template, uploaded: in a request it may have 51,200 bytes."""
    s3 = deployment.clients("s3")
    s3.create_bucket(Bucket=TEMPLATES)
    deployed = frozenset(f"Freehold-{name}" for name in deployment.assembly.stacks)
    body = json.dumps(_read(_known(deployment.assembly.template(stack)), deployed)).encode()
    s3.put_object(Bucket=TEMPLATES, Key=stack, Body=body)
    return f"https://s3.{REGION}.amazonaws.com/{TEMPLATES}/{stack}"


def _create(deployment: Deployment, stack: str) -> None:
    name, cloudformation = f"Freehold-{stack}", deployment.clients("cloudformation")
    cloudformation.create_stack(
        StackName=name,
        TemplateURL=_template_url(deployment, stack),
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )


def _upload(assembly: Assembly, stack: str, s3: Any) -> None:
    listed = json.loads((assembly.folder / f"Freehold-{stack}.assets.json").read_text())
    buckets = {b["Name"] for b in s3.list_buckets()["Buckets"]}
    for asset in listed["files"].values():
        source = assembly.folder / asset["source"]["path"]
        if asset["source"]["packaging"] != "zip":
            continue  # templates, given as they are
        for destination in asset["destinations"].values():
            bucket = _resolved(destination["bucketName"])
            if bucket not in buckets:
                s3.create_bucket(Bucket=bucket)
                buckets.add(bucket)
            # Named by its content: stacks share assets, and versions share the layer.
            if not s3.list_objects_v2(Bucket=bucket, Prefix=destination["objectKey"])["KeyCount"]:
                s3.put_object(Bucket=bucket, Key=destination["objectKey"], Body=_zip(source))


def _resolved(name: str) -> str:
    return name.replace("${AWS::AccountId}", ACCOUNT).replace("${AWS::Region}", REGION)


def _zip(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return packed.getvalue()
