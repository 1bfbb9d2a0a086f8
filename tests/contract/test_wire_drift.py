"""Nothing of the installed SDK is unknown here, and nothing here is unknown to it."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from typing import Literal, get_args

import pytest
from anthropic.types import beta
from anthropic.types.beta import sessions as session_types
from pydantic import BaseModel

from freehold.wire import (
    agents,
    environments,
    events,
    sessions,
    threads,
    user_events,
)
from freehold.wire.base import Omittable
from functions.api.routes import OPERATIONS as SERVED_OPERATIONS
from tests.contract.coverage import (
    EVENTS,
    EXTENSIONS,
    MOST_NOT_YET,
    OPERATIONS,
    Done,
    NotYet,
)
from tests.contract.sdk_surface import (
    ELSEWHERE,
    ROOT,
    SERVED,
    bare,
    family,
    models,
    operations,
    shape,
)

REPOSITORY = Path(__file__).parents[2]


# ---------------------------------------------------------------- operations and events
def test_the_manifest_has_every_operation_of_the_sdk():
    assert set(OPERATIONS) == operations()
    assert len(OPERATIONS) == 118


def test_every_resource_of_the_sdk_is_of_a_family_that_is_known():
    families = {family(m) for m in ROOT.rglob("*.py") if m.name != "__init__.py"}
    assert families <= {*SERVED, *ELSEWHERE}


def test_what_is_served_is_done_and_what_is_done_is_served():
    served = {f"{o.method} {o.path.replace('<', '{').replace('>', '}')}" for o in SERVED_OPERATIONS}
    done = {name for name, status in OPERATIONS.items() if isinstance(status, Done)}
    streams = {name for name in done if name.endswith("/stream")}
    assert served == done - streams | set(EXTENSIONS)
    assert len(streams) == 2


def _type_of(event):
    return get_args(event.model_fields["type"].annotation)[0]


def test_the_manifest_has_every_event_of_the_sdk():
    stream = models(session_types.BetaManagedAgentsStreamSessionEvents)
    of_stream = {_type_of(e) for name, e in stream.items() if name.endswith("Event")}
    assert set(EVENTS) == of_stream
    assert len(EVENTS) == 44
    listed = models(session_types.BetaManagedAgentsSessionEvent)
    of_list = {_type_of(e) for name, e in listed.items() if name.endswith("Event")}
    assert set(events.EVENT_TYPES) == of_list
    assert of_stream - of_list == {"event_start", "event_delta"}


def test_a_list_can_be_asked_for_every_type_but_the_last():
    assert set(get_args(beta.sessions.BetaManagedAgentsSessionEventType)) == events.LISTED_TYPES


@pytest.mark.parametrize(
    "manifest", [OPERATIONS, EVENTS, EXTENSIONS], ids=["operations", "events", "extensions"]
)
def test_the_tests_the_manifest_names_exist(manifest):
    nodes = {status.test for status in manifest.values() if isinstance(status, Done)}
    missing = [node for node in sorted(nodes) if not _exists(*node.split("::"))]
    assert not missing


def _exists(path: str, function: str) -> bool:
    tree = ast.parse((REPOSITORY / path).read_text())
    return any(isinstance(n, ast.FunctionDef) and n.name == function for n in tree.body)


def _not_yet(*manifests):
    """How many operations and events wait for each feature."""
    found = (status for manifest in manifests for status in manifest.values())
    return Counter(status.feature for status in found if isinstance(status, NotYet))


def test_what_is_not_yet_here_only_becomes_less():
    """A new operation or event of the SDK is built, or waits for a feature that is known to wait;
    then its number is raised in the commit that says so.
    """
    waiting = _not_yet(OPERATIONS, EVENTS)
    assert {name: n for name, n in waiting.items() if n > MOST_NOT_YET.get(name, 0)} == {}
    assert set(MOST_NOT_YET) <= set(waiting), "built: take it out"


def test_every_feature_that_waits_is_named_to_users():
    text = (REPOSITORY / "docs/divergences.md").read_text()
    waiting = text.partition("## Not yet")[2].partition("## ")[0]
    words = {
        "MCP servers": "`mcp_servers`",
        "MCP tunnels": "tunnels",
        "multi-agent sessions": "`multiagent`",
        "outcomes": "`user.define_outcome`",
        "session resources": "`resources`",
        "workflow runs": "`multiagent`",
    }
    assert not [name for name in MOST_NOT_YET if words.get(name, name) not in waiting]


@pytest.mark.parametrize("name", [n for n, s in OPERATIONS.items() if isinstance(s, NotYet)])
def test_an_operation_that_waits_is_served_by_nobody(name):
    method, path = name.split()
    own = re.sub(r"{\w+}", "<>", path)
    served = {(o.method, re.sub(r"<\w+>", "<>", o.path)) for o in SERVED_OPERATIONS}
    assert (method, own) not in served


# ---------------------------------------------------------------- answers
ANSWERS = {
    "Agent": (agents.Agent, beta.BetaManagedAgentsAgent),
    "Environment": (environments.Environment, beta.BetaEnvironment),
    "DeletedEnvironment": (environments.DeletedEnvironment, beta.BetaEnvironmentDeleteResponse),
    "Session": (sessions.Session, beta.BetaManagedAgentsSession),
    "DeletedSession": (sessions.DeletedSession, beta.BetaManagedAgentsDeletedSession),
    "SessionThread": (threads.SessionThread, session_types.BetaManagedAgentsSessionThread),
    "Event": (events.StreamEvent, session_types.BetaManagedAgentsStreamSessionEvents),
    "SentEvent": (
        user_events.SentEvent,
        session_types.BetaManagedAgentsSendSessionEvents.model_fields["data"].annotation,
    ),
}
RENAMED = {"EnvironmentDeleteResponse": "DeletedEnvironment"}
MERGED = {f"Effort{level}": "Effort" for level in ("Low", "Medium", "High", "Xhigh", "Max")}
"""Types of the SDK that differ in one literal, which are one model here."""


@pytest.mark.parametrize("name", ANSWERS)
def test_our_answers_have_the_shape_of_the_sdks(name):
    """Fields, literals and nesting, all the way down."""
    ours, theirs = ANSWERS[name]
    if name == "SentEvent":
        theirs = get_args(get_args(theirs)[0])[0]
    assert shape(ours) == shape(theirs)


def _pairs():
    ours, theirs = {}, {}
    for mine, sdk in ANSWERS.values():
        models(mine, ours)
        models(sdk, theirs)
    theirs.pop("SendSessionEvents", None)
    names = {name: RENAMED.get(name, MERGED.get(name, name)) for name in theirs}
    assert set(names.values()) == set(ours)
    return [(theirs[name], ours[mine]) for name, mine in names.items()]


PAIRS = _pairs()


def _may_be_absent(field) -> bool:
    return any(m in field.metadata for m in Omittable.__metadata__) or (
        field.exclude_if is not None
    )


@pytest.mark.parametrize(("theirs", "ours"), PAIRS, ids=[bare(t) for t, _ in PAIRS])
def test_what_the_sdk_requires_is_always_there(theirs, ours):
    for name, field in theirs.model_fields.items():
        if field.is_required():
            own = ours.model_fields[name]
            assert not _may_be_absent(own), name
            assert type(None) not in get_args(own.annotation), name


NULL_NOT_ABSENT = {
    "processed_at": "null while an event is queued (BEHAVIOUR 5.8)",
    "budget": "null where the session has none (BEHAVIOUR 6.2)",
}


@pytest.mark.parametrize(("theirs", "ours"), PAIRS, ids=[bare(t) for t, _ in PAIRS])
def test_null_or_absent_follows_the_order_of_the_sdks_fields(theirs, ours):
    """The SDK lists what is always present, then what may be absent, each by name. So an optional
    field before the last required one is always present, and one out of order behind it is not.
    """
    if ours is events.SessionUpdatedEvent:
        return
    names = [name for name in theirs.model_fields if name != "id"]
    required = [name for name in names if theirs.model_fields[name].is_required()]
    if not required:
        return
    last = names.index(required[-1])
    for place, name in enumerate(names):
        if theirs.model_fields[name].is_required() or name in NULL_NOT_ABSENT:
            continue
        own = ours.model_fields[name]
        if place < last:
            assert not _may_be_absent(own), f"{name} is always present"
        elif name < required[-1]:
            assert _may_be_absent(own) or not _is_nullable(own), f"{name} may be absent"


def _is_nullable(field) -> bool:
    return type(None) in get_args(field.annotation)


def test_shapes_tell_a_field_a_literal_and_a_list_apart():
    class Plain(BaseModel):
        type: Literal["a"] = "a"
        value: int

    class Renamed(BaseModel):
        type: Literal["a"] = "a"
        amount: int

    class Other(BaseModel):
        type: Literal["b"] = "b"
        value: int

    class Many(BaseModel):
        type: Literal["a"] = "a"
        value: list[int]

    assert len({shape(kind) for kind in (Plain, Renamed, Other, Many, Plain | Other)}) == 5
    assert shape(Plain | None) == shape(Plain)
