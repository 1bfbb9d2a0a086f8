"""Programs written for the SDK of mid-2026 go on working: no exception, and what they do not see is
listed here and in docs/divergences.md.

The programs are in sdk_0_121_programs.py and run in an environment of that SDK's own, against a
real server.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from freehold.testing.scripted_model import ScriptedModel
from tests.contract.coverage import EVENTS, OPERATIONS, Done
from tests.contract.sequences import EchoSandboxes
from tests.servers import server_in_thread

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-sdk-0.121" / "bin" / "python"
SETTINGS = {
    "retry_base_seconds": 0.0,
    "max_model_retries": 1,
    "max_tool_rounds": 4,
    "context_window": 40_000,
}

DROPPED = {"session.usage"}
"""Its streams pass the event names it knows. A list shows these to it all the same."""
STRANGE = {
    "session.error tool_use_limit_reached_error",
    "session.status_idle refusal",
    "session.thread_status_idle refusal",
}
"""Events in which a value is newer than it. It reads them into the nearest type it has: the value
is in `type`, as sent.
"""
NEWER_FIELDS = {
    "agent.execution_identity",
    "agent.tool_use.evaluation",
    "agent.tools[].configs[].allowed_domains",
    "agent.tools[].configs[].type",
    "agent.tools[].configs[].url_sources",
    "session.agent.execution_identity",
    "session.agent.tools[].configs[].allowed_domains",
    "session.agent.tools[].configs[].type",
    "session.agent.tools[].configs[].url_sources",
    "session.status_idle.stop_details",
    "session.thread_status_idle.stop_details",
    "session.updated.agent.execution_identity",
    "thread.agent.execution_identity",
    "thread.agent.tools[].configs[].allowed_domains",
    "thread.agent.tools[].configs[].type",
    "thread.agent.tools[].configs[].url_sources",
    "thread.workflow_run_id",
}
"""Fields it has no name for. A program reaches them in `model_extra`."""
NOT_CALLED = {
    "POST /v1/organizations/webhooks": "no resource for it",
    "GET /v1/organizations/webhooks": "no resource for it",
    "GET /v1/organizations/webhooks/{webhook_endpoint_id}": "no resource for it",
    "POST /v1/organizations/webhooks/{webhook_endpoint_id}": "no resource for it",
    "DELETE /v1/organizations/webhooks/{webhook_endpoint_id}": "no resource for it",
    "POST /v1/organizations/webhooks/{webhook_endpoint_id}/regenerate_signing_secret": (
        "no resource for it"
    ),
    "DELETE /v1/user_profiles/{user_profile_id}": "no such method",
    "POST /v1/user_profiles/{user_profile_id}/action_urls": "no such method",
}
"""Operations of SDK 2.10.0 that it lacks. This server has none of them yet."""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """What the programs saw, against one server."""
    if not PYTHON.exists():
        pytest.skip("waits for .venv-sdk-0.121, which scripts/sdk_0_121_environment.sh makes")
    data = tmp_path_factory.mktemp("sdk") / "data"
    given = {"model": ScriptedModel(), "sandboxes": EchoSandboxes(), "settings": SETTINGS}
    with server_in_thread(data, **given) as server:
        done = subprocess.run(
            [PYTHON, "-W", "error", "-m", "tests.contract.sdk_0_121_programs"],
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "NO_PROXY": "127.0.0.1",
                "FREEHOLD_URL": server.url,
                "FREEHOLD_API_KEY": server.key,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def programs(report):
    return report["programs"]


def test_the_programs_run_on_the_sdk_they_were_written_for(report):
    assert report["version"] == "0.121.0"
    assert len(report["programs"]) == 14


def test_no_event_is_lost_but_those_it_drops(programs):
    lost = {name: set(seen["lost"]) for name, seen in programs.items()}
    assert lost.pop("deleted") == set()
    assert set(map(frozenset, lost.values())) == {frozenset(DROPPED)}


def test_a_stream_tells_the_history_in_its_order(programs):
    """But for what it drops, the first sightings of what was queued, and previews."""
    for name, seen in programs.items():
        streamed = [
            words
            for words in seen["streamed"]
            if not words.endswith(" queued") and words not in ("event_start", "event_delta")
        ]
        listed = [words for words in seen["listed"] if words not in DROPPED]
        if name == "deleted":
            assert streamed[-2:] == ["session.status_idle end_turn", "session.deleted"]
        else:
            assert streamed == listed, name


def test_every_event_of_this_server_was_met(programs):
    shown = {words.split()[0] for seen in programs.values() for words in seen["streamed"]}
    emitted = {name for name, status in EVENTS.items() if isinstance(status, Done)}
    assert emitted - shown == DROPPED


def test_every_operation_of_this_server_was_called(report):
    done = {name for name, status in OPERATIONS.items() if isinstance(status, Done)}
    assert {re.sub(r"{\w+}", "{}", name) for name in done} == set(report["called"])


def test_what_it_does_not_know_is_this(report, programs):
    strange = {words for seen in programs.values() for words in seen["strange"]}
    assert strange == STRANGE
    fields = {name for seen in programs.values() for name in seen["fields"]}
    assert fields | set(report["lists"]["fields"]) == NEWER_FIELDS


def test_operations_it_lacks_are_these(report):
    assert set(OPERATIONS) - set(report["operations"]) == set(NOT_CALLED)
    assert set(report["operations"]) <= set(OPERATIONS)


def test_refusals_are_the_exceptions_that_programs_catch(report):
    assert [(raised, kind) for raised, kind, _ in report["refusals"]] == [
        ("NotFoundError", "not_found_error"),
        ("NotFoundError", "not_found_error"),
        ("BadRequestError", "invalid_request_error"),
        ("ConflictError", "conflict_error"),
        ("AuthenticationError", "authentication_error"),
        ("NotFoundError", "not_found_error"),
    ]
    assert all(request_id.startswith("req_") for _, _, request_id in report["refusals"])


def test_previews_come_in_their_order(programs):
    shown = programs["previews"]["streamed"]
    begin = shown.index("span.model_request_start") + 1
    assert shown[begin : begin + 6] == [
        "event_start",
        "event_start",
        "event_delta",
        "agent.thinking",
        "agent.message",
        "span.model_request_end",
    ]


def test_the_documents_say_what_it_does_not_know():
    told = (ROOT / "docs/divergences.md").read_text().partition("## Older SDKs")[2]
    names = {field.rpartition(".")[2] for field in NEWER_FIELDS}
    names |= {words.rpartition(" ")[2] for words in STRANGE} | DROPPED
    assert not [name for name in sorted(names) if f"`{name}`" not in told]
