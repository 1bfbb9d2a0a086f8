"""What wakes an operator, and why (docs/aws.md says what to do then).

An alarm is about what does not heal by itself, or heals so often that something is wrong. Missing
data is silence, which is health, but for the sweeps, without which nothing heals, and for tasks
that should always be there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aws_cdk import aws_cloudwatch as cloudwatch

from infra.function import Function, construct_id
from infra.watched import Watched

_BELOW = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
_FROM = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Looks at `metric` in `periods` of five minutes each; goes off where every one of them reaches
    `threshold`, or with `is_absence` stays below it. One metric each: of a sum, nobody would be
    told which part it was.
    """

    name: str
    says: str
    metric: cloudwatch.Metric
    threshold: float
    periods: int = 1
    is_absence: bool = False

    @property
    def comparison(self) -> cloudwatch.ComparisonOperator:
        return _BELOW if self.is_absence else _FROM

    @property
    def missing_data(self) -> cloudwatch.TreatMissingData:
        if self.is_absence:
            return cloudwatch.TreatMissingData.BREACHING
        return cloudwatch.TreatMissingData.NOT_BREACHING


def alarms(watched: Watched) -> Iterator[Alarm]:
    """All of an installation."""
    yield from _of_sessions(watched)
    yield from _of_the_api(watched)
    yield from _of_the_stream_service(watched)
    yield from _of_throttles(watched)
    for function in watched.functions:
        yield from _of_a_function(function)
    for function in watched.stream_consumers:
        yield Alarm(
            name=f"{construct_id(function.folder)}StreamAge",
            says="The table's stream is read late: clients wait for what has happened already.",
            metric=function.resource.metric("IteratorAge", statistic="Maximum"),
            threshold=60_000,
        )
    for number, queue in enumerate(watched.dead_letters):
        yield Alarm(
            name=f"DeadLetters{number or ''}",
            says="Records of the table's stream could not be handled and lie in a queue.",
            metric=queue.metric_approximate_age_of_oldest_message(statistic="Maximum"),
            threshold=60,
        )


def _of_sessions(watched: Watched) -> Iterator[Alarm]:
    machine = watched.state_machine
    yield Alarm(
        name="ExecutionsFailed",
        says="Executions ended beyond their Catch. Their sessions go on under a new run.",
        metric=machine.metric_failed(),
        threshold=1,
    )
    yield Alarm(
        name="ExecutionsTimedOut",
        says="Executions ran out of time. Their sessions go on under a new run.",
        metric=machine.metric_timed_out(),
        threshold=1,
    )
    yield Alarm(
        name="ReleasedRuns",
        says="Runs die and are begun again, each with one more request to the model.",
        metric=watched.own("ReleasedRuns"),
        threshold=3,
    )
    yield Alarm(
        name="SweepMissing",
        says="Nothing looks for sessions that have come to a stop.",
        metric=watched.reaper.resource.metric_invocations(),
        threshold=1,
        periods=2,
        is_absence=True,
    )
    if watched.slots is not None:
        yield Alarm(
            name="UpkeepMissing",
            says="Nothing makes slots for new sessions, and nothing stops idle sandboxes.",
            metric=watched.slots.resource.metric_invocations(),
            threshold=1,
            periods=2,
            is_absence=True,
        )


def _of_the_api(watched: Watched) -> Iterator[Alarm]:
    yield Alarm(
        name="ServerErrors",
        says="The API answers 5xx.",
        metric=watched.rest_api.metric_server_error(statistic="Sum"),
        threshold=5,
    )
    yield Alarm(
        name="TooManyRequests",
        says="Clients are refused with 429, by their workspace's limit or the account's.",
        metric=watched.own("TooManyRequests"),
        threshold=50,
    )


def _of_the_stream_service(watched: Watched) -> Iterator[Alarm]:
    service = watched.stream_service
    if service is None:
        return
    yield Alarm(
        name="StreamServiceMissing",
        says="No task of the stream service answers its load balancer.",
        metric=watched.of_tasks(service, "HealthyHostCount", "Maximum"),
        threshold=1,
        is_absence=True,
    )
    yield Alarm(
        name="StreamServiceErrors",
        says="Tasks of the stream service answer 5xx.",
        metric=watched.of_tasks(service, "HTTPCode_Target_5XX_Count", "Sum"),
        threshold=5,
    )


def _of_throttles(watched: Watched) -> Iterator[Alarm]:
    """Each is repeated by whoever was refused, so a few are nothing."""
    for name, metric in watched.throttled_requests().items():
        yield Alarm(
            name=name,
            says="The table refuses requests faster than it grows.",
            metric=metric,
            threshold=100,
        )
    yield Alarm(
        name="StateMachineThrottles",
        says="Transitions of the state machine are held back: turns wait.",
        metric=watched.state_machine.metric_throttled(statistic="Sum"),
        threshold=10,
    )


def _of_a_function(function: Function) -> Iterator[Alarm]:
    name, limit = function.node.id, function.limits.seconds
    yield Alarm(
        name=f"{name}Errors",
        says=f"`{function.folder}` raises, or is ended by Lambda.",
        metric=function.resource.metric_errors(),
        threshold=3,
    )
    yield Alarm(
        name=f"{name}Throttles",
        says=f"`{function.folder}` is refused: its concurrency or the account's is used up.",
        metric=function.resource.metric_throttles(),
        threshold=10,
    )
    if function.folder == "stream":
        return  # it lasts for as long as its client stays, nearly until Lambda would end it
    yield Alarm(
        name=f"{name}Duration",
        says=f"`{function.folder}` takes nearly the {limit} s after which Lambda ends it.",
        metric=function.resource.metric_duration(statistic="Maximum"),
        threshold=0.95 * 1000 * limit,
    )
