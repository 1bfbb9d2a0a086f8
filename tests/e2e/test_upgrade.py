"""A deployment over sessions that are running and over sessions that wait; and taking it all down.

In an account of its own: what is deployed here is changed and deleted.
"""

from __future__ import annotations

import json
import re
import shutil

import httpx2
import pytest

from tests.contract.test_sdk import TOOLSET, known, new_agent, new_environment, script
from tests.e2e.conftest import LAYER, create_key, run_freehold
from tests.e2e.deployment import deploy, destroy, redeploy
from tests.e2e.test_session import bash, results, said, types_of, until, until_idle
from tests.infra.synthesis import ROOT, synthesize
from tests.infra.templates import ALWAYS
from tests.ministack import ministack
from tests.servers import Server

SOURCES = ("egress_proxy", "freehold", "functions", "infra", "statemachines", "cdk.json")
OLD, NEW = "This server has no sandbox yet", "The next version has no sandbox"
ASKS = {**TOOLSET, "default_config": {"permission_policy": {"type": "always_ask"}}}


@pytest.fixture(scope="module")
def assemblies(tmp_path_factory):
    """Of this version, and of one that says one sentence otherwise."""
    architecture = next((path.name for path in LAYER.glob("*") if path.is_dir()), None)
    if architecture is None:
        pytest.skip("waits for build/layer-e2e, which scripts/e2e_environment.sh makes")
    folder = tmp_path_factory.mktemp("versions")
    source = folder / "source"
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        source.mkdir(exist_ok=True)
        copy(ROOT / name, source / name)
    context = {
        "architecture": architecture,
        "layer": str(LAYER),
        "model": "scripted",
        "retain_data": False,
    }
    this = synthesize(folder / "this", root=source, **context)
    sentence = source / "freehold" / "adapters" / "no_sandbox.py"
    changed = sentence.read_text().replace(OLD, NEW)
    assert NEW in changed
    sentence.write_text(changed)
    return this, synthesize(folder / "next", root=source, **context)


@pytest.fixture(scope="module")
def installation(assemblies):
    with ministack() as endpoint, httpx2.Client(trust_env=False, timeout=60) as http:
        deployment = deploy(assemblies[0], endpoint.client, endpoint.url)
        key = create_key(endpoint.url)
        yield deployment, Server(deployment.base_url, key, http)


def _session(client, *, tools):
    agent = new_agent(client, tools=[tools])
    environment = new_environment(client)
    return client.beta.sessions.create(agent=agent.id, environment_id=environment.id)


def _versions(deployment):
    """What `live` points to, by function."""
    functions = deployment.clients("lambda")
    return {
        folder: functions.get_alias(FunctionName=deployment.function_name(folder), Name="live")[
            "FunctionVersion"
        ]
        for folder in ALWAYS
    }


def test_sessions_go_on_over_a_deployment(installation, assemblies):
    """One waits for an answer, one has its model answering while the stacks change under it."""
    deployment, server = installation
    client = server.client()
    parked, running = _session(client, tools=ASKS), _session(client, tools=TOOLSET)
    client.beta.sessions.events.send(parked.id, events=[script(bash("true"), {"say": "Parked."})])
    asked = until_idle(client, parked)
    assert asked[-1].stop_reason.type == "requires_action"
    slow = {"delay_ms": 6000, "say": "Old.", **bash("true")}
    client.beta.sessions.events.send(running.id, events=[script(slow, {"say": "Ran."})])
    until(client, running, lambda events: "span.model_request_start" in types_of(events))

    before = _versions(deployment)
    redeploy(deployment, assemblies[1])
    after = _versions(deployment)
    assert not [folder for folder in ALWAYS if before[folder] == after[folder]]

    (call,) = [e for e in asked if e.type == "agent.tool_use"]
    allow = {"type": "user.tool_confirmation", "tool_use_id": call.id, "result": "allow"}
    client.beta.sessions.events.send(parked.id, events=[allow])
    # The invocation that was under way goes on as what it began as.
    for session, last, version in ((parked, "Parked.", NEW), (running, "Ran.", OLD)):
        events = until_idle(client, session)
        assert said(events)[-1] == last
        ((text, _),) = results(events)
        assert version in text
        # Nothing was asked twice, and what the old version wrote is shown as it was.
        starts = [e for e in events if e.type == "span.model_request_start"]
        assert len(starts) == 2
        assert known(client.beta.sessions.retrieve(session.id)).status == "idle"
    assert [e.id for e in client.beta.sessions.events.list(parked.id)][: len(asked)] == [
        e.id for e in asked
    ]


def test_the_smoke_test_passes_on_what_was_deployed(installation):
    """But for the stream: no emulator has the web adapter. tests/contract/test_smoke.py follows
    streams and sockets, tests/e2e/test_stream.py runs the deployed program.
    """
    deployment, _ = installation
    done = run_freehold(
        deployment.url,
        *("smoke", "--stack", "Freehold-Data", "--base-url", deployment.base_url, "--json"),
    )
    *steps, last = [json.loads(line) for line in done.stdout.splitlines()]
    statuses = {step["name"]: step["status"] for step in steps}
    assert (statuses.pop("stream", "not tried"), last["ok"]) == ("failed", False), steps
    assert set(statuses.values()) == {"ok"}, steps
    assert statuses.keys() >= {"key", "idle", "events", "clean up"}
    keys = run_freehold(deployment.url, "keys", "list", "--stack", "Freehold-Data").stdout
    (line,) = [line for line in keys.splitlines() if "smoke-tests" in line]
    assert "revoked" in line


def test_a_stack_that_is_not_there_is_one_line(installation):
    deployment, _ = installation
    done = run_freehold(deployment.url, "smoke", "--stack", "Elsewhere-Data", "--json")
    failed, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, last["ok"]) == (1, False)
    assert re.search(r"Elsewhere-Api in us-east-1: .*does not exist", failed["detail"])
    assert "AWS_REGION" in failed["remedy"]


def test_the_account_is_checked_before_a_deployment(installation, assemblies):
    deployment, _ = installation
    done = run_freehold(
        deployment.url, "deploy", "check", "--json", "--assembly", str(assemblies[0].folder)
    )
    assert "Traceback" not in done.stderr
    found = json.loads(done.stdout)
    assert found["ok"], found
    by_name = {check["name"]: check for check in found["checks"]}
    assert by_name["Bootstrap"]["detail"] == "version 30"
    assert "COMPLETE" in by_name["Deployed"]["detail"]
    assert by_name["Table"]["remedy"].startswith("freehold migrate --stack Freehold-Data")
    assert by_name["Session-hour"]["status"] == "ok"


def test_taken_down_without_retention_it_leaves_nothing(installation):
    """Comes last. The bucket is emptied first (docs/aws.md): CloudFormation deletes no other."""
    deployment, _ = installation
    bucket = deployment.resource("Data", "AWS::S3::Bucket")
    s3 = deployment.clients("s3")
    for blob in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
        s3.delete_object(Bucket=bucket, Key=blob["Key"])
    destroy(deployment)
    clients = deployment.clients
    assert clients("dynamodb").list_tables()["TableNames"] == []
    assert clients("lambda").list_functions()["Functions"] == []
    assert clients("stepfunctions").list_state_machines()["stateMachines"] == []
    assert clients("apigateway").get_rest_apis()["items"] == []
    assert clients("cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert clients("events").list_rules()["Rules"] == []
    assert clients("sns").list_topics()["Topics"] == []
    assert clients("logs").describe_log_groups()["logGroups"] == []
    assert [
        b["Name"] for b in s3.list_buckets()["Buckets"] if not b["Name"].startswith("cdk-")
    ] == []
