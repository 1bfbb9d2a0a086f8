"""What the alarms and the dashboard are about, gathered from the other stacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn

from freehold.adapters.dynamodb import schema
from infra.function import Function
from infra.stream_service import StreamService

NAMESPACE = "Freehold"
"""Of the metrics that the functions emit themselves (`functions/observability.py`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One installation. A stack of further functions adds them to `functions`, those that read the
    table's stream to `stream_consumers` too, and its queues of what could not be handled to
    `dead_letters`.
    """

    installation: str
    table: dynamodb.TableV2
    state_machine: sfn.StateMachine
    rest_api: apigateway.RestApi
    reaper: Function
    slots: Function | None
    """None where there are no sandboxes."""
    stream_service: StreamService | None
    functions: Sequence[Function]
    stream_consumers: Sequence[Function]
    dead_letters: Sequence[sqs.Queue] = ()

    def own(self, name: str, **dimensions: str) -> cloudwatch.Metric:
        """A metric of ours, by all of its dimensions."""
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=name,
            dimensions_map={"installation": self.installation, **dimensions},
            statistic="Sum",
        )

    def of_tasks(self, service: StreamService, name: str, statistic: str) -> cloudwatch.Metric:
        """What the load balancer counts of its tasks. The CDK's own metric would cut the name of
        the load balancer out of another stack's output.
        """
        return cloudwatch.Metric(
            namespace="AWS/ApplicationELB",
            metric_name=name,
            dimensions_map={
                "LoadBalancer": service.balancer.load_balancer_full_name,
                "TargetGroup": service.tasks.target_group_full_name,
            },
            statistic=statistic,
        )

    def throttled_requests(self) -> Mapping[str, cloudwatch.Metric]:
        """Of the table and of its index, which holds up the table's writes when it is full."""
        index = {"GlobalSecondaryIndexName": schema.DUE_INDEX}
        return {
            "TableReadThrottles": self._of_table("ReadThrottleEvents"),
            "TableWriteThrottles": self._of_table("WriteThrottleEvents"),
            "IndexThrottles": self._of_table("WriteThrottleEvents", **index),
        }

    def _of_table(self, name: str, **dimensions: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/DynamoDB",
            metric_name=name,
            dimensions_map={"TableName": self.table.table_name, **dimensions},
            statistic="Sum",
        )
