"""What an operator sees: a dashboard, alarms, and the topic that the alarms write to."""

from __future__ import annotations

from typing import Any

from aws_cdk import CfnOutput, CrossStackReferences, Duration, ReferenceStrength, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.alarms import Alarm, alarms
from infra.context import Context
from infra.dashboard import rows
from infra.watched import Watched


class Operations(Stack):
    """Watches the other stacks. Whatever it names of them may still be renamed or removed: it reads
    their outputs when it is deployed and holds on to nothing.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        context: Context,
        watched: Watched,
        **stack: Any,
    ) -> None:
        super().__init__(scope, id_, **stack)
        CrossStackReferences.of(self).consume(ReferenceStrength.WEAK)
        topic = self._topic(context)
        made = [self._alarm(alarm, topic) for alarm in alarms(watched)]
        dashboard = cloudwatch.Dashboard(self, "Dashboard")
        dashboard.add_widgets(cloudwatch.AlarmStatusWidget(alarms=made, width=24, height=4))
        for row in rows(watched):
            dashboard.add_widgets(*row)
        CfnOutput(self, "AlarmTopicArn", value=topic.topic_arn)
        CfnOutput(self, "DashboardName", value=dashboard.dashboard_name)

    def _topic(self, context: Context) -> sns.Topic:
        """Carries names of alarms and numbers. A key of our own for it would cost a dollar."""
        topic = sns.Topic(self, "Alarms", enforce_ssl=True)
        # A policy of its own, which TLS asks for, replaces the one by which alarms may publish.
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
        if context.alarm_email:
            topic.add_subscription(subscriptions.EmailSubscription(context.alarm_email))
        return topic

    def _alarm(self, alarm: Alarm, topic: sns.Topic) -> cloudwatch.Alarm:
        made = cloudwatch.Alarm(
            self,
            alarm.name,
            alarm_description=f"{alarm.says} docs/aws.md, At 2 AM: {alarm.name}.",
            metric=alarm.metric.with_(period=Duration.minutes(5)),
            threshold=alarm.threshold,
            evaluation_periods=alarm.periods,
            comparison_operator=alarm.comparison,
            treat_missing_data=alarm.missing_data,
        )
        made.add_alarm_action(actions.SnsAction(topic))
        made.add_ok_action(actions.SnsAction(topic))
        return made
