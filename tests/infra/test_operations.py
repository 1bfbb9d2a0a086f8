"""What an operator sees: alarms about metrics that somebody emits, which reach somebody."""

from __future__ import annotations

import json
import logging
import re

import pytest

from freehold.settings_aws import FUNCTIONS
from functions.observability import count_released_runs, done, no_names, observed
from tests.infra.synthesis import ROOT, synthesize
from tests.infra.templates import ALWAYS, flattened

OF_AWS = {
    ("AWS/ApiGateway", "5XXError"): {"ApiName"},
    ("AWS/ApiGateway", "Latency"): {"ApiName"},
    ("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count"): {"LoadBalancer", "TargetGroup"},
    ("AWS/ApplicationELB", "HealthyHostCount"): {"LoadBalancer", "TargetGroup"},
    ("AWS/DynamoDB", "ReadThrottleEvents"): {"TableName"},
    ("AWS/DynamoDB", "WriteThrottleEvents"): {"TableName"},
    ("AWS/DynamoDB", "ConsumedReadCapacityUnits"): {"TableName"},
    ("AWS/DynamoDB", "ConsumedWriteCapacityUnits"): {"TableName"},
    ("AWS/Lambda", "ConcurrentExecutions"): {"FunctionName"},
    ("AWS/Lambda", "Duration"): {"FunctionName"},
    ("AWS/Lambda", "Errors"): {"FunctionName"},
    ("AWS/Lambda", "Invocations"): {"FunctionName"},
    ("AWS/Lambda", "IteratorAge"): {"FunctionName"},
    ("AWS/Lambda", "Throttles"): {"FunctionName"},
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): {"QueueName"},
    ("AWS/States", "ExecutionThrottled"): {"StateMachineArn"},
    ("AWS/States", "ExecutionsFailed"): {"StateMachineArn"},
    ("AWS/States", "ExecutionsStarted"): {"StateMachineArn"},
    ("AWS/States", "ExecutionsSucceeded"): {"StateMachineArn"},
    ("AWS/States", "ExecutionsTimedOut"): {"StateMachineArn"},
}
"""Metrics as AWS documents them, with the dimensions by which it can be asked for each."""


def _alarms(assembly):
    """By the name of its construct."""
    return {
        re.sub(r"[0-9A-F]{8}$", "", alarm.name): alarm.properties
        for alarm in assembly.all("AWS::CloudWatch::Alarm")
    }


def _metric(alarm):
    """(namespace, name, dimensions) of what an alarm looks at."""
    dimensions = {d["Name"]: d["Value"] for d in alarm["Dimensions"]}
    return alarm["Namespace"], alarm["MetricName"], dimensions


def _widgets(assembly):
    """Of the dashboard, its references left as words."""
    body = assembly.one("AWS::CloudWatch::Dashboard").properties["DashboardBody"]
    parts = body["Fn::Join"][1]
    return json.loads("".join(part if isinstance(part, str) else "resolved" for part in parts))[
        "widgets"
    ]


def _shown(assembly):
    """(namespace, name, dimensions) of every line of a graph."""
    found = []
    for widget in _widgets(assembly):
        for line in widget["properties"].get("metrics", []):
            namespace, name, *rest = [part for part in line if isinstance(part, str)]
            found.append((namespace, name, dict(zip(rest[::2], rest[1::2], strict=True))))
    return found


@pytest.fixture
def emitted(capsys, deployed):
    """Name and dimensions of every metric that an invocation of each function leaves behind, and of
    those that are counted in a log.
    """
    before = vars(logging.getLogger("freehold")).copy()
    context = type("Context", (), {"aws_request_id": "1"})()
    for folder in deployed.folders:
        watched = observed(
            folder,
            lambda event, _: event,
            names=no_names,
            outcome=done,
            environment={"FREEHOLD_INSTALLATION": "Freehold"},
            counts=count_released_runs if folder == "reaper" else lambda _: {},
        )
        watched({"released": 1}, context)
    logger = logging.getLogger("freehold")
    vars(logger).clear()
    vars(logger).update(before)
    logger.handlers = []
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = {
        (
            directive["Metrics"][0]["Name"],
            frozenset(directive["Dimensions"][0]),
            line.get("function"),
        )
        for line in lines
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", [])
    }
    for counted in deployed.all("AWS::Logs::MetricFilter"):
        (of,) = counted.properties["MetricTransformations"]
        assert of["MetricNamespace"] == "Freehold"
        dimensions = frozenset(d["Key"] for d in of["Dimensions"])
        found.add((of["MetricName"], dimensions, None))
    return found


def test_every_metric_of_ours_is_emitted_with_just_these_dimensions(deployed, emitted):
    alarms = [_metric(alarm) for alarm in _alarms(deployed).values()]
    ours = [m for m in [*alarms, *_shown(deployed)] if m[0] == "Freehold"]
    assert {name for _, name, _ in ours} == {"Outcomes", "ReleasedRuns", "TooManyRequests"}
    for _, name, dimensions in ours:
        assert (name, frozenset(dimensions), dimensions.get("function")) in emitted
        assert dimensions["installation"] == "Freehold"


def test_every_metric_of_aws_is_one_that_aws_emits(deployed):
    alarms = [_metric(alarm) for alarm in _alarms(deployed).values()]
    for namespace, name, dimensions in [*alarms, *_shown(deployed)]:
        if namespace != "Freehold":
            known = OF_AWS[namespace, name]
            assert set(dimensions) - {"GlobalSecondaryIndexName"} == known, name


def test_the_access_log_says_what_its_metric_is_filtered_by(deployed):
    stage = deployed.one("AWS::ApiGateway::Stage").properties
    fields = json.loads(stage["AccessLogSetting"]["Format"])
    (counted,) = deployed.all("AWS::Logs::MetricFilter")
    (of,) = counted.properties["MetricTransformations"]
    for field in re.findall(r"\$\.(\w+)", counted.properties["FilterPattern"]):
        assert field in fields
    assert [d["Value"] for d in of["Dimensions"]] == ["$.installation"]
    assert fields["installation"] == "Freehold"


def test_every_alarm_reaches_the_topic_and_says_when_it_is_over(deployed):
    topic = {"Ref": deployed.one("AWS::SNS::Topic").name}
    alarms = _alarms(deployed)
    assert alarms
    for name, alarm in alarms.items():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [topic], name
        assert alarm["AlarmDescription"].endswith(f"At 2 AM: {name}.")


def test_alarms_may_publish_and_nobody_else(deployed):
    policy = deployed.one("AWS::SNS::TopicPolicy").properties["PolicyDocument"]
    (allowed,) = [s for s in policy["Statement"] if s["Effect"] == "Allow"]
    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert "aws:SourceAccount" in allowed["Condition"]["StringEquals"]


def test_silence_is_health_but_for_the_sweeps(deployed):
    missing = {name: alarm["TreatMissingData"] for name, alarm in _alarms(deployed).items()}
    sweeps = [name for name in missing if name.endswith("Missing")]
    assert sweeps == ["SweepMissing", "UpkeepMissing"][: 1 + ("Sandboxes" in deployed.stacks)]
    assert {missing.pop(name) for name in sweeps} == {"breaching"}
    assert set(missing.values()) == {"notBreaching"}


@pytest.mark.parametrize("folder", FUNCTIONS)
def test_every_function_has_alarms_for_errors_throttles_and_its_time_limit(sandboxed, folder):
    for number, function in enumerate(sandboxed.functions(folder), start=1):
        name = "".join(word.capitalize() for word in folder.split("_"))
        name += str(number) if folder == "workspaces" else ""
        _assert_watched(sandboxed, folder, function, name)


def _assert_watched(sandboxed, folder, function, name):
    alarms, kinds = _alarms(sandboxed), {"Duration", "Errors", "Throttles"}
    if folder == "stream":  # it lasts for as long as its client stays
        assert f"{name}Duration" not in alarms
        kinds -= {"Duration"}
    else:
        limit = function.properties["Timeout"] * 1000
        assert 0.9 * limit <= alarms[f"{name}Duration"]["Threshold"] < limit
    assert alarms[f"{name}Errors"]["Threshold"] <= 5
    for kind in kinds:
        _, metric, dimensions = _metric(alarms[name + kind])
        assert metric == kind
        read = flattened(dimensions["FunctionName"])
        assert any(function.name in word for word in read if isinstance(word, str))


def test_whoever_reads_the_tables_stream_is_watched_for_its_age(deployed):
    consumers = {
        folder
        for folder in ALWAYS
        for source in deployed.all("AWS::Lambda::EventSourceMapping")
        if {"Ref": deployed.alias(folder).name} in flattened(source.properties["FunctionName"])
    }
    assert consumers
    for folder in consumers:
        name = "".join(word.capitalize() for word in folder.split("_"))
        assert f"{name}StreamAge" in _alarms(deployed)


def test_every_queue_is_watched_for_what_lies_in_it(deployed):
    alarms = [name for name in _alarms(deployed) if name.startswith("DeadLetters")]
    assert len(alarms) == len(deployed.all("AWS::SQS::Queue"))


WITH_QUEUES = """
from functools import partial
from infra import app
from infra.context import Context
from aws_cdk import App, aws_sqs

def watched(*, of, dead_letters, **given):
    queues = [*dead_letters, aws_sqs.Queue(given["table"].stack, "Another")]
    return of(**given, dead_letters=queues)

app.Watched = partial(watched, of=app.Watched)
found = App(context=app.FLAGS)
app.build(found, Context.of(found))
found.synth()
"""
"""An installation with queues of what could not be handled, as a stack of further functions has."""


def test_queues_that_a_stack_brings_are_watched(assembly, tmp_path):
    found = synthesize(
        tmp_path / "out",
        program=["-c", WITH_QUEUES],
        layer=str(assembly.folder.parent / "layer"),
    )
    queues = {queue.name for queue in found.all("AWS::SQS::Queue")}
    alarms = {n: _metric(a) for n, a in _alarms(found).items() if n.startswith("DeadLetters")}
    assert set(alarms) == {"DeadLetters", "DeadLetters1"}
    assert len(queues) == 2
    for namespace, metric, dimensions in alarms.values():
        assert OF_AWS[namespace, metric] == set(dimensions)
        read = json.dumps(dimensions["QueueName"])
        assert [name for name in queues if name in read]


def test_the_stream_service_is_watched_where_there_is_one(served):
    """Where no task is there to be counted, nothing is counted: that is no silence."""
    alarms = {n: a for n, a in _alarms(served).items() if n.startswith("StreamService")}
    assert set(alarms) == {"StreamServiceMissing", "StreamServiceErrors"}
    (group,) = served.all("AWS::ElasticLoadBalancingV2::TargetGroup")
    (balancer,) = served.all("AWS::ElasticLoadBalancingV2::LoadBalancer")
    for alarm in alarms.values():
        namespace, metric, dimensions = _metric(alarm)
        assert OF_AWS[namespace, metric] == set(dimensions)
        assert group.name in json.dumps(dimensions["TargetGroup"])
        assert balancer.name in json.dumps(dimensions["LoadBalancer"])
    missing = alarms["StreamServiceMissing"]
    assert missing["TreatMissingData"] == "breaching"
    assert (missing["Statistic"], missing["ComparisonOperator"], missing["Threshold"]) == (
        *("Maximum", "LessThanThreshold"),
        1,
    )


def test_the_document_says_of_every_alarm_what_to_look_at(sandboxed, served):
    text = (ROOT / "docs/aws.md").read_text()
    section = text.partition("## At 2 AM")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)
    documented = [
        re.compile(p.replace("*", r"\w+")) for r in rows for p in re.findall("`(.+?)`", r)
    ]
    names = [*_alarms(sandboxed), *_alarms(served), "DeadLetters"]
    assert not [name for name in names if not any(d.fullmatch(name) for d in documented)]
    assert not [d.pattern for d in documented if not any(d.fullmatch(name) for name in names)]


def test_operations_hold_on_to_nothing_of_the_stacks_they_watch(deployed):
    """An import would keep a function from ever being renamed or removed."""
    assert "Fn::ImportValue" not in json.dumps(deployed.template("Operations"))


def test_an_operator_is_told_the_dashboard_and_the_topic(deployed):
    assert set(deployed.outputs("Operations")) == {"AlarmTopicArn", "DashboardName"}
