"""The HTTP API: one function behind every route but those of streams, refusals in one shape, a log
without content.
"""

from __future__ import annotations

import json
from typing import Any

from aws_cdk import CfnOutput, RemovalPolicy, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_logs as logs
from constructs import Construct

from freehold.settings_aws import ApiEnvironment
from infra.acknowledged import acknowledge
from infra.context import Context
from infra.data import Data
from infra.function import Function, Limits, log_group
from infra.gateway_responses import add_refusals
from infra.packaging import Package, package
from infra.permissions import Permissions
from infra.stream import add_stream_routes, stream_function
from infra.watched import NAMESPACE

STAGE = "live"
_LIMITS = Limits(seconds=29, megabytes=1024)
"""API Gateway waits 29 s. Nearly all of a request is processor time, which goes with memory."""
_LOG_POLICY = (
    "IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy"
    "/service-role/AmazonAPIGatewayPushToCloudWatchLogs]"
)
_ACCESS_LOG = {
    "request_id": apigateway.AccessLogField.context_request_id(),
    "method": apigateway.AccessLogField.context_http_method(),
    "path": apigateway.AccessLogField.context_path(),
    "status": apigateway.AccessLogField.context_status(),
    "response_bytes": apigateway.AccessLogField.context_response_length(),
    "milliseconds": apigateway.AccessLogField.context_response_latency(),
    "function_status": apigateway.AccessLogField.context_integration_status(),
    "refused_with": apigateway.AccessLogField.context_error_response_type(),
}
"""Never a header, a query or a body: keys and content stay out of every log."""


class Api(Stack):
    """The front door."""

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
        permissions = Permissions(data, state_machine_arn)
        code = package(self, context)
        self.function = self._function(context, code, permissions)
        self.stream = stream_function(self, context=context, package=code, permissions=permissions)
        self.rest_api = api = self._rest_api(context)
        api.root.add_proxy()
        add_stream_routes(api, self.stream)
        add_refusals(api, context.cors_origins)
        self._acknowledge(api)
        CfnOutput(self, "BaseUrl", value=api.url, description="`base_url` of the SDK.")
        CfnOutput(
            self,
            "NextCommand",
            value=f"freehold {_next(context)} --stack {data.stack_name}",
            description="Stores the key that pays for model requests, or makes one for clients.",
        )

    def _function(self, context: Context, code: Package, permissions: Permissions) -> Function:
        data = permissions.data
        function = Function(
            self,
            folder="api",
            environment=ApiEnvironment(
                **context.spending(),
                state_machine_arn=permissions.state_machine_arn,
                table_name=data.table.table_name,
                bucket_name=data.bucket.bucket_name,
                key_arn=data.key.key_arn,
                create_requests_per_minute=context.create_requests_per_minute or None,
                read_requests_per_minute=context.read_requests_per_minute or None,
                cors_origins=",".join(context.cors_origins),
            ),
            limits=_LIMITS,
            package=code,
            context=context,
        )
        permissions.use_store(function)
        permissions.start_runs(function)
        return function

    def _rest_api(self, context: Context) -> apigateway.RestApi:
        """Regional: an edge-optimized API would end a stream after 30 idle seconds."""
        log = log_group(self, context)
        _count_refused(log)
        api = apigateway.RestApi(
            self,
            "RestApi",
            rest_api_name=self.stack_name,
            default_integration=apigateway.LambdaIntegration(
                self.function.live,
                allow_test_invoke=False,
                # Each of them would be a statement of the function's policy, which has 20 KB.
                scope_permission_to_method=False,
            ),
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            cloud_watch_role=True,
            cloud_watch_role_removal_policy=RemovalPolicy.RETAIN,
            deploy_options=apigateway.StageOptions(
                stage_name=STAGE,
                tracing_enabled=True,
                access_log_destination=apigateway.LogGroupLogDestination(log),
                access_log_format=apigateway.AccessLogFormat.custom(
                    json.dumps({"installation": context.name, **_ACCESS_LOG})
                ),
            ),
        )
        api.node.try_remove_child("Endpoint")  # an output that `BaseUrl` says in words
        return api

    def _acknowledge(self, api: apigateway.RestApi) -> None:
        reasons = {
            "APIG2": "The function refuses what its strict models do not know, field by field.",
            "APIG3": "A web ACL has a price of its own and sees no more than the function refuses.",
            "APIG4": "Every request carries an API key of a workspace, which the function checks.",
            "COG4": "Callers are programs with API keys; there are no users to sign in.",
            _LOG_POLICY: "AWS wrote this policy for the role; API Gateway tests for it.",
            "APIG6": "Execution logs go to a group without retention and could hold headers.",
        }
        for finding, reason in reasons.items():
            acknowledge(api, finding, reason)


def _next(context: Context) -> str:
    """Only the Claude API is paid by a key."""
    return "model-key set" if context.model == "anthropic" else "keys create"


def _count_refused(log: logs.LogGroup) -> None:
    """API Gateway's own metric counts 429 among all 4xx, which clients cause all day."""
    log.add_metric_filter(
        "TooManyRequests",
        filter_pattern=logs.FilterPattern.string_value("$.status", "=", "429"),
        metric_namespace=NAMESPACE,
        metric_name="TooManyRequests",
        metric_value="1",
        dimensions={"installation": "$.installation"},
    )
