"""Streams without a server: one invocation of `stream` for each, behind the routes of the API.

Python cannot stream from a handler. So `stream` is a program that listens, and the Lambda Web
Adapter, a layer that AWS publishes, stands between it and Lambda.
"""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Duration, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from freehold.settings_aws import StreamEnvironment
from infra.context import Context
from infra.function import Function, Limits
from infra.packaging import Package
from infra.permissions import Permissions

HANDLER = "functions/stream/run.sh"
_LIMITS = Limits(seconds=900, megabytes=256)
"""Both Lambda and API Gateway end a stream after fifteen minutes; it ends itself before."""
_ADAPTER_ACCOUNT = "753240598075"
_ADAPTER_VERSION = 27
_ADAPTER_NAMES = {"arm64": "LambdaAdapterLayerArm64", "x86_64": "LambdaAdapterLayerX86"}
_ADAPTER: Mapping[str, str] = {
    "AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap",
    # Its default is `buffered`: then nothing arrives before the stream has ended.
    "AWS_LWA_INVOKE_MODE": "response_stream",
    "AWS_LWA_PORT": "8080",
    "AWS_LWA_READINESS_CHECK_PATH": "/healthz",
}


def stream_function(
    scope: Construct, *, context: Context, package: Package, permissions: Permissions
) -> Function:
    """Holds one client for as long as it stays or `stream_seconds` last."""
    data = permissions.data
    function = Function(
        scope,
        folder="stream",
        handler=HANDLER,
        environment=StreamEnvironment(
            state_machine_arn=permissions.state_machine_arn,
            table_name=data.table.table_name,
            bucket_name=data.bucket.bucket_name,
            key_arn=data.key.key_arn,
            read_requests_per_minute=context.read_requests_per_minute or None,
            cors_origins=",".join(context.cors_origins),
            stream_seconds=context.stream_seconds,
        ),
        limits=_LIMITS,
        package=package,
        context=context,
    )
    for name, value in _ADAPTER.items():
        function.resource.add_environment(name, value)
    function.resource.add_layers(
        lambda_.LayerVersion.from_layer_version_arn(
            function, "WebAdapter", _adapter(Stack.of(scope), context)
        )
    )
    permissions.open_streams(function)
    return function


def add_stream_routes(api: apigateway.RestApi, function: Function) -> None:
    """The two routes of streams, and a way to the default integration beside each step to them: a
    path that begins as a route must not end in a resource without methods.
    """
    streaming = apigateway.LambdaIntegration(
        function.live,
        allow_test_invoke=False,
        scope_permission_to_method=False,
        response_transfer_mode=apigateway.ResponseTransferMode.STREAM,
        timeout=Duration.seconds(_LIMITS.seconds),
    )
    version = _step(api.root, "v1")
    session = _step(_step(version, "sessions", is_closed=True), "{session_id}")
    thread = _step(_step(session, "threads", is_closed=True), "{thread_id}")
    for parent in (_step(session, "events"), thread):
        parent.add_resource("stream").add_method("ANY", streaming)


def _step(
    parent: apigateway.IResource, part: str, *, is_closed: bool = False
) -> apigateway.Resource:
    """`is_closed`: its only child is a variable, which leaves no place for a greedy one."""
    resource = parent.add_resource(part)
    resource.add_method("ANY")
    if not is_closed:
        resource.add_proxy()
    return resource


def _adapter(stack: Stack, context: Context) -> str:
    name = _ADAPTER_NAMES[context.architecture]
    place = f"arn:{stack.partition}:lambda:{stack.region}:{_ADAPTER_ACCOUNT}"
    return f"{place}:layer:{name}:{_ADAPTER_VERSION}"
