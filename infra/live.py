"""The WebSocket: an API, a function behind it, and the function that brings events to it."""

from __future__ import annotations

import json
from typing import Any

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as gateway
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from freehold.adapters.dynamodb import schema
from freehold.settings_aws import FanOutEnvironment, FunctionEnvironment, WebSocketEnvironment
from infra.acknowledged import acknowledge
from infra.context import Context
from infra.data import Data
from infra.function import Function, Limits, log_group
from infra.packaging import package
from infra.permissions import Permissions

STAGE = "live"
LIMITS = {
    "websocket": Limits(seconds=29, megabytes=512),
    "fan_out": Limits(seconds=60, megabytes=512),
}
"""API Gateway waits 29 s for an action. A batch is done in seconds: a connection that is slow keeps
it waiting for one.
"""
_ACTIONS = gateway.ThrottleSettings(rate_limit=500, burst_limit=200)
"""What all connections together may say in a second, which bounds how many functions run for it."""
_ACCESS_LOG = {
    "request_id": apigateway.AccessLogField.context_request_id(),
    "connection_id": "$context.connectionId",
    "event_type": "$context.eventType",
    "route": "$context.routeKey",
    "status": apigateway.AccessLogField.context_status(),
    "function_status": "$context.integration.status",
    "function_milliseconds": "$context.integration.latency",
}
"""Never a header, a query or a body: keys, tickets and content stay out of every log."""


class Live(Stack):
    """What clients hold open."""

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
        self._context = context
        self._data = data
        self._package = package(self, context)
        self._permissions = Permissions(data, state_machine_arn)
        self._api = gateway.WebSocketApi(self, "WebSocketApi", api_name=self.stack_name)
        self._stage = self._make_stage()
        self.websocket = self._websocket()
        self.failures = self._failures()
        self.fan_out = self._fan_out()
        self._add_routes(self.websocket)
        CfnOutput(self, "WebSocketUrl", value=self._stage.url, description="Where clients connect.")

    # ------------------------------------------------------------ functions
    def _function(self, folder: str, environment: FunctionEnvironment) -> Function:
        function = Function(
            self,
            folder=folder,
            environment=environment,
            limits=LIMITS[folder],
            package=self._package,
            context=self._context,
        )
        for method in ("POST", "DELETE"):
            self._permit(function, f"{STAGE}/{method}/@connections/*")
        return function

    def _permit(self, function: Function, path: str) -> None:
        """`Connections` of this API alone: to send to any of them, or to end it."""
        arn = self.format_arn(service="execute-api", resource=self._api.api_id, resource_name=path)
        function.permit(["execute-api:ManageConnections"], arn)
        name = self.resolve(self._api.api_id)["Ref"]
        here = "arn:<AWS::Partition>:execute-api:<AWS::Region>:<AWS::AccountId>"
        acknowledge(
            function.role,
            f"IAM5[Resource::{here}:<{name}>/{path}]",
            "Connections come and go, and have no names before they come.",
        )

    def _store(self) -> dict[str, str]:
        return {
            "state_machine_arn": self._permissions.state_machine_arn,
            "table_name": self._data.table.table_name,
            "bucket_name": self._data.bucket.bucket_name,
            "key_arn": self._data.key.key_arn,
            "connections_url": self._stage.callback_url,
        }

    def _websocket(self) -> Function:
        context = self._context
        environment = WebSocketEnvironment(
            **self._store(),
            **context.spending(),
            create_requests_per_minute=context.create_requests_per_minute or None,
            read_requests_per_minute=context.read_requests_per_minute or None,
        )
        function = self._function("websocket", environment)
        self._permissions.use_store(function)
        self._permissions.start_runs(function)
        return function

    def _fan_out(self) -> Function:
        """The second and last consumer of the stream, which a third would throttle. It sees what
        rings and nothing else. One invocation a shard at a time; what it fails at for five minutes,
        however often, is told to the queue, and the cursors of those it concerns stay where they
        are: the next event of the feed, or the client that comes back, is served from there.
        """
        function = self._function("fan_out", FanOutEnvironment(**self._store()))
        self._permissions.serve_listeners(function)
        function.live.add_event_source(
            sources.DynamoEventSource(
                self._data.table,
                starting_position=lambda_.StartingPosition.TRIM_HORIZON,
                batch_size=100,
                max_batching_window=Duration.seconds(0),
                bisect_batch_on_error=True,
                report_batch_item_failures=True,
                max_record_age=Duration.minutes(5),
                on_failure=sources.SqsDlq(self.failures),
                filters=[lambda_.FilterCriteria.filter(pattern) for pattern in schema.DOORBELLS],
            )
        )
        return function

    def _failures(self) -> sqs.Queue:
        """Names of records, not what is in them."""
        queue = sqs.Queue(
            self,
            "Failures",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        acknowledge(queue, "SQS3", "It is itself where undelivered records end.")
        return queue

    # ------------------------------------------------------------ the API
    def _make_stage(self) -> gateway.WebSocketStage:
        stage = gateway.WebSocketStage(
            self,
            "Stage",
            web_socket_api=self._api,
            stage_name=STAGE,
            auto_deploy=True,
            throttle=_ACTIONS,
        )
        resource = stage.node.default_child
        assert isinstance(resource, gateway.CfnStage)
        resource.access_log_settings = gateway.CfnStage.AccessLogSettingsProperty(
            destination_arn=log_group(self, self._context).log_group_arn,
            format=json.dumps(_ACCESS_LOG),
        )
        return stage

    def _add_routes(self, function: Function) -> None:
        """No route answers: what the server says is a message of its own."""
        for route in ("$connect", "$disconnect", "$default"):
            name = route.removeprefix("$").capitalize()
            added = self._api.add_route(
                route,
                integration=integrations.WebSocketLambdaIntegration(
                    f"{name}Integration", function.live
                ),
            )
            acknowledge(
                added,
                "APIG4",
                "The function lets in who has a key of a workspace or a ticket made with one.",
            )
