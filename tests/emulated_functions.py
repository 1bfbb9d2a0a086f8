"""Lambda functions and state machines in the emulated account, made of a few lines of source."""

from __future__ import annotations

import io
import json
import zipfile

from freehold.ids import new_id
from tests.ministack import ACCOUNT, REGION
from tests.servers import wait_for

ROLE = f"arn:aws:iam::{ACCOUNT}:role/tests"


def create_function(endpoint, source, environment=None):
    """A new function whose handler is `handler` of this source; its ARN."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.py", source)
    made = endpoint.client("lambda").create_function(
        FunctionName=new_id("function"),
        Runtime="python3.14",
        Role=ROLE,
        Handler="index.handler",
        Timeout=60,
        Environment={"Variables": environment or {}},
        Code={"ZipFile": packed.getvalue()},
    )
    return made["FunctionArn"]


def create_state_machine_stack(endpoint, definition, substitutions):
    """A stack with a new state machine, its definition filled in by CloudFormation as `infra` has
    it done; its ARN.
    """
    properties = {
        "StateMachineName": new_id("machine"),
        "RoleArn": ROLE,
        "DefinitionString": definition,
        "DefinitionSubstitutions": substitutions,
    }
    resource = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    template = {
        "Resources": {"Session": resource},
        "Outputs": {"Arn": {"Value": {"Ref": "Session"}}},
    }
    client, name = endpoint.client("cloudformation"), new_id("stack").replace("_", "-")
    client.create_stack(StackName=name, TemplateBody=json.dumps(template))

    def look():
        (stack,) = client.describe_stacks(StackName=name)["Stacks"]
        return stack if stack["StackStatus"] == "CREATE_COMPLETE" else None

    return wait_for(look)["Outputs"][0]["OutputValue"]


def create_socket(endpoint, function):
    """The URL of a new WebSocket API whose every route is this function."""
    client = endpoint.client("apigatewayv2")
    api = client.create_api(
        Name=new_id("socket"),
        ProtocolType="WEBSOCKET",
        RouteSelectionExpression="$request.body.action",
    )["ApiId"]
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function}/invocations"
    made = client.create_integration(ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=uri)
    target = f"integrations/{made['IntegrationId']}"
    for route in ("$connect", "$disconnect", "$default"):
        client.create_route(ApiId=api, RouteKey=route, Target=target)
    client.create_stage(ApiId=api, StageName="live")
    return f"{endpoint.url.replace('http', 'ws', 1)}/_aws/execute-api/{api}/live"


def closed_execution(client, arn):
    """Its description, once it has closed."""

    def look():
        found = client.describe_execution(executionArn=arn)
        return None if found["status"] == "RUNNING" else found

    return wait_for(look, seconds=60, every=0.02)


def execute(endpoint, definition, data, name):
    """Runs a new state machine once; the description of its execution."""
    client = endpoint.client("stepfunctions")
    started = client.start_execution(
        stateMachineArn=create_state_machine_stack(endpoint, definition, {}),
        name=name,
        input=json.dumps(data),
    )
    return closed_execution(client, started["executionArn"])
