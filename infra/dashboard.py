"""One page: are sessions moving, do clients get answers, what is slow, what is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from infra.watched import Watched

Row = Sequence[cloudwatch.IWidget]


def rows(watched: Watched) -> Iterator[Row]:
    """From what clients notice to what it is made of."""
    yield _sessions(watched)
    yield _api(watched)
    yield _functions(watched)
    yield _store(watched)


def _graph(title: str, *metrics: cloudwatch.IMetric) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title, left=list(metrics), width=8, height=6, period=Duration.minutes(1)
    )


def _sessions(watched: Watched) -> Row:
    machine = watched.state_machine
    return [
        _graph(
            "Executions",
            machine.metric_started(),
            machine.metric_succeeded(),
            machine.metric_failed(),
            machine.metric_timed_out(),
        ),
        _graph(
            "Invocations of RunTurn by what came next",
            *(
                watched.own("Outcomes", function="run_turn", outcome=outcome)
                for outcome in ("tools", "turn", "wait", "idle", "successor", "taken", "failed")
            ),
        ),
        _graph("Released runs", watched.own("ReleasedRuns")),
    ]


def _api(watched: Watched) -> Row:
    api = watched.rest_api
    return [
        _graph(
            "Requests by class of their answer",
            *(
                watched.own("Outcomes", function="api", outcome=outcome)
                for outcome in ("2xx", "4xx", "5xx")
            ),
        ),
        _graph(
            "Refused",
            watched.own("TooManyRequests"),
            api.metric_server_error(statistic="Sum"),
        ),
        _graph(
            "Milliseconds of a request",
            api.metric_latency(statistic="p50"),
            api.metric_latency(statistic="p99"),
        ),
    ]


def _functions(watched: Watched) -> Row:
    resources = [function.resource for function in watched.functions]
    return [
        _graph("Errors", *(resource.metric_errors() for resource in resources)),
        _graph(
            "Milliseconds of an invocation, p99",
            *(resource.metric_duration(statistic="p99") for resource in resources),
        ),
        _graph(
            "At once",
            *(
                resource.metric("ConcurrentExecutions", statistic="Maximum")
                for resource in resources
            ),
        ),
    ]


def _store(watched: Watched) -> Row:
    return [
        _graph(
            "Capacity of the table",
            watched.table.metric_consumed_read_capacity_units(),
            watched.table.metric_consumed_write_capacity_units(),
        ),
        _graph(
            "Throttled",
            *watched.throttled_requests().values(),
            *(function.resource.metric_throttles() for function in watched.functions),
            watched.state_machine.metric_throttled(statistic="Sum"),
        ),
        _graph(
            "Age of what is left to handle",
            *(
                function.resource.metric("IteratorAge", statistic="Maximum")
                for function in watched.stream_consumers
            ),
            *(
                queue.metric_approximate_age_of_oldest_message(statistic="Maximum")
                for queue in watched.dead_letters
            ),
        ),
    ]
