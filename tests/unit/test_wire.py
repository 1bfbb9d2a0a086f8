"""Bodies and queries: what is accepted, what is refused, and in which words."""

from __future__ import annotations

import base64
import json

import pytest

from freehold.errors import ApiError, InvalidRequest, NotYetSupported
from freehold.wire.agents import CreateAgent, UpdateAgent
from freehold.wire.environments import CreateEnvironment, UpdateEnvironment
from freehold.wire.event_input import SendEvents
from freehold.wire.parsing import parse_body
from freehold.wire.sessions import CreateSession, UpdateSession
from tests.protocol.sessions import asking_agent

AGENT = {"name": "A", "model": "m"}
SESSION = {"agent": "agent_x", "environment_id": "env_x"}
PNG = base64.b64encode(b"\x89PNG").decode()


def parse(model, body):
    return parse_body(model, json.dumps(body).encode())


def refusal(model, body):
    with pytest.raises(ApiError) as refused:
        parse(model, body)
    assert type(refused.value) is InvalidRequest
    return refused.value.message


def user_message(*blocks):
    return {"events": [{"type": "user.message", "content": list(blocks)}]}


# ---------------------------------------------------------------- bodies
@pytest.mark.parametrize(
    "raw",
    [b"[1]", b"null", b'"x"', b"{", b'{"name": "\xff"}', b'{"name": "\\ud800"}', b"{}}", b"["],
    ids=repr,
)
def test_what_is_not_a_json_object_is_refused(raw):
    with pytest.raises(InvalidRequest, match=r"^Failed to parse request body: "):
        parse_body(UpdateAgent, raw)


def test_nesting_without_end_is_refused():
    with pytest.raises(InvalidRequest, match=r"^Failed to parse request body: "):
        parse_body(UpdateAgent, b'{"tools":' + b"[" * 100_000)


@pytest.mark.parametrize("raw", [b"", b" \n", b"{}"])
def test_an_empty_body_is_an_empty_object(raw):
    assert parse_body(UpdateAgent, raw).model_fields_set == set()


def test_an_unknown_field_is_named_with_its_path():
    for body, path in (
        ({**AGENT, "colour": 1}, "colour"),
        ({"name": "A", "model": {"id": "m", "x": 1}}, "model.x"),
        ({**AGENT, "tools": [{"type": "agent_toolset_20260401", "y": 1}]}, "tools.0.y"),
        (
            {
                **AGENT,
                "tools": [
                    {"type": "agent_toolset_20260401", "configs": [{"name": "bash", "bash": 1}]}
                ],
            },
            "tools.0.configs.0.bash",
        ),
    ):
        expected = f'Failed to parse request body: unknown field "{path}"'
        assert refusal(CreateAgent, body) == expected
    block = {"type": "text", "text": "t", "title": 1}
    expected = 'Failed to parse request body: unknown field "events.0.content.0.title"'
    assert refusal(SendEvents, user_message(block)) == expected


@pytest.mark.parametrize(
    ("model", "body", "message"),
    [
        (CreateAgent, {"model": "m"}, "name: Field required"),
        (CreateAgent, {"name": 5, "model": "m"}, "name: Input should be a valid string"),
        (CreateAgent, {"name": "A", "model": 5}, "model: Input should be an object"),
        (CreateAgent, {"name": "", "model": "m"}, "name: String should have at least 1 character"),
        (CreateAgent, {"name": "A", "model": ""}, "model: String should have at least 1"),
        (CreateAgent, {**AGENT, "system": "x" * 100_001}, "system: String should have at most"),
        (CreateAgent, {**AGENT, "name": "x" * 257}, "name: String should have at most 256"),
        (CreateAgent, {**AGENT, "description": "x" * 2049}, "description: String should have at"),
        (CreateAgent, {**AGENT, "metadata": {"a": 1}}, "metadata.a: Input should be a valid str"),
        (CreateAgent, {**AGENT, "tools": [{"type": "z"}]}, "tools.0: type must be one of 'agent_"),
        (UpdateAgent, {"name": None}, "name: cannot be null"),
        (UpdateAgent, {"model": None}, "model: cannot be null"),
        (UpdateAgent, {"version": None}, "version: cannot be null"),
        (UpdateAgent, {"version": 0}, "version: Input should be greater than or equal to 1"),
        (UpdateAgent, {"version": "1"}, "version: Input should be a valid integer"),
        (UpdateAgent, {"version": True}, "version: Input should be a valid integer"),
        (CreateSession, {**SESSION, "agent": {"type": "agent"}}, "agent.id: Field required"),
        (
            CreateSession,
            {**SESSION, "agent": {"type": "x", "id": "y"}},
            "agent: type must be one of",
        ),
        (CreateEnvironment, {"name": "e", "config": {"type": "x"}}, "config.type: Input should be"),
        (CreateEnvironment, {"name": "e", "scope": "account"}, 'scope: only "organization"'),
        (UpdateEnvironment, {"name": ""}, "name: String should have at least 1 character"),
        (
            CreateEnvironment,
            {"name": "e", "config": {"type": "cloud", "networking": {"type": "x"}}},
            "config.networking: type must be one of 'unrestricted', 'limited'",
        ),
        (SendEvents, {"events": []}, "events: List should have at least 1 item"),
        (SendEvents, {"events": [{"content": []}]}, "events.0: type is missing"),
        (SendEvents, user_message(), "events.0.content: List should have at least 1 item"),
        (SendEvents, {"events": "x"}, "events: Input should be a valid list"),
    ],
)
def test_a_refusal_names_the_field_and_why(model, body, message):
    assert refusal(model, body).startswith(message)


CUSTOM = {"type": "custom", "description": "d", "input_schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("model", "body", "message"),
    [
        (CreateAgent, {"name": "tools", "model": "m", "tools": [{"type": "z"}]}, "tools.0: type"),
        (CreateAgent, {"name": "model", "model": {"id": 5}}, "model.id: "),
        (
            CreateAgent,
            {**AGENT, "tools": [{**CUSTOM, "name": "input_schema", "input_schema": {}}]},
            "tools.0.input_schema.type: Field required",
        ),
        (
            CreateAgent,
            {**AGENT, "tools": [{**CUSTOM, "name": "description", "description": 5}]},
            "tools.0.description: ",
        ),
        (SendEvents, user_message({"type": "text"}), "events.0.content.0.text: Field required"),
        (
            SendEvents,
            user_message({"type": "text", "text": "t", "colour": 1}),
            'Failed to parse request body: unknown field "events.0.content.0.colour"',
        ),
        (
            SendEvents,
            user_message({"type": "image", "source": {"type": "url"}}),
            "events.0.content.0.source.url: Field required",
        ),
    ],
)
def test_a_field_is_named_though_something_else_has_its_name(model, body, message):
    """A path lists the arms of unions by their tags, which a client may choose as names."""
    assert refusal(model, body).startswith(message)


def test_a_refusal_does_not_repeat_what_was_sent():
    sent = "s3cret" * 100_000
    for body in ({sent: 1}, {"name": [sent]}, {**AGENT, "tools": [{"type": sent}]}):
        assert len(refusal(CreateAgent, body)) < 1000
    message = refusal(SendEvents, {"events": [{"type": sent}]})
    assert message.startswith("events.0: type must be one of 'user.message', ")
    assert "s3cret" not in message


@pytest.mark.parametrize("empty", [None, []])
def test_empty_forms_of_what_is_not_built_are_accepted(empty):
    parse(CreateAgent, {**AGENT, "mcp_servers": empty, "skills": empty, "tools": empty})
    parse(UpdateAgent, {"mcp_servers": empty, "skills": empty, "multiagent": None})
    given = parse(CreateSession, {**SESSION, "resources": empty, "vault_ids": empty})
    assert given.initial_events == []
    parse(CreateSession, {**SESSION, "initial_events": empty, "budget": None, "metadata": None})
    parse(UpdateSession, {"budget": None, "agent": {}, "title": None})
    packages = {"type": "packages", "apt": empty, "pip": empty}
    limited = {"type": "limited", "allowed_hosts": empty, "allow_mcp_servers": False}
    for settings in ({"packages": packages}, {"networking": limited}, {"networking": None}):
        parse(CreateEnvironment, {"name": "e", "config": {"type": "cloud", **settings}})


def _cloud(**settings):
    return CreateEnvironment, {"name": "e", "config": {"type": "cloud", **settings}}


@pytest.mark.parametrize(
    ("request_", "feature"),
    [
        (
            (CreateEnvironment, {"name": "e", "config": {"type": "self_hosted"}}),
            "self_hosted environments",
        ),
        (
            (CreateAgent, {"name": "A", "model": {"id": "m", "inference_geo": "us"}}),
            "model.inference_geo",
        ),
        (
            (UpdateSession, {"agent": {"mcp_servers": [{}]}}),
            "agent.mcp_servers of a session update",
        ),
        (
            (
                SendEvents,
                user_message({"type": "image", "source": {"type": "file", "file_id": "f"}}),
            ),
            "file sources",
        ),
        (
            (SendEvents, {"events": [{"type": "user.tool_result", "tool_use_id": "sevt_x"}]}),
            "user.tool_result",
        ),
        (
            (
                CreateSession,
                {
                    **SESSION,
                    "initial_events": [
                        {
                            "type": "user.define_outcome",
                            "description": "d",
                            "rubric": {"type": "text", "content": "r"},
                        }
                    ],
                },
            ),
            "user.define_outcome",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_built_is_refused_by_its_name(request_, feature):
    with pytest.raises(NotYetSupported) as refused:
        parse(*request_)
    assert refused.value.feature == feature


# ---------------------------------------------------------------- environments
def _limited(**settings):
    return _cloud(networking={"type": "limited", **settings})


def test_hosts_are_kept_as_they_were_sent():
    hosts = [
        "Example.com",
        "*.example.org",
        "xn--bcher-kva.example",
        "93.184.216.34",
        "a_b.example",
    ]
    given = parse(*_limited(allowed_hosts=hosts, allow_package_managers=True))
    network = given.config.resolved().networking.model_dump()
    assert network == {
        "type": "limited",
        "allowed_hosts": hosts,
        "allow_mcp_servers": False,
        "allow_package_managers": True,
    }


@pytest.mark.parametrize(
    "host",
    [
        "",
        "https://example.com",
        "example.com:443",
        "example.com/path",
        "*",
        "*.",
        "*example.com",
        "a.*.example.com",
        "*.93.184.216.34",
        "example.com.",
        "exa mple.com",
        "user@example.com",
        "-example.com",
        "b\u00fccher.example",
        "0x7f.1",
        "a" * 64 + ".example",
        7,
    ],
)
def test_what_is_no_host_is_refused_by_its_place(host):
    with pytest.raises(InvalidRequest, match=r"config.*networking.*allowed_hosts.1"):
        parse(*_limited(allowed_hosts=["example.com", host]))


def test_a_list_of_hosts_has_an_end():
    parse(*_limited(allowed_hosts=[f"h{n}.example" for n in range(1000)]))
    with pytest.raises(InvalidRequest, match="allowed_hosts"):
        parse(*_limited(allowed_hosts=["example.com"] * 1001))


@pytest.mark.parametrize("manager", ["apt", "cargo", "gem", "go", "npm", "pip"])
def test_a_package_is_a_word_for_its_manager_and_never_an_option(manager):
    for good in ("six", "pandas==2.2.0", "express@4", "golang.org/x/tools/gopls@latest"):
        parse(*_cloud(packages={manager: [good]}))
    for bad in ("-r", "--target=/", "", " six", "a\nb", "a\0", "a" * 501, 7, None):
        with pytest.raises(InvalidRequest, match=rf"config.*packages.*{manager}.1"):
            parse(*_cloud(packages={manager: ["six", bad]}))
    with pytest.raises(InvalidRequest, match="brew"):
        parse(*_cloud(packages={"brew": ["six"]}))
    with pytest.raises(InvalidRequest, match=manager):
        parse(*_cloud(packages={manager: ["six"] * 201}))


# ---------------------------------------------------------------- sessions
@pytest.mark.parametrize(
    ("agent", "agent_id", "version"),
    [
        ("agent_x", "agent_x", None),
        ({"type": "agent", "id": "agent_x"}, "agent_x", None),
        ({"type": "agent", "id": "agent_x", "version": 3}, "agent_x", 3),
    ],
)
def test_an_agent_is_named_by_id_or_reference(agent, agent_id, version):
    session = parse(CreateSession, {**SESSION, "agent": agent})
    assert (session.agent_id, session.agent_version) == (agent_id, version)


def test_an_update_of_a_session_says_what_changes():
    stored = ("T", {"a": "1", "b": "2"}, asking_agent())
    for body, changed in (
        ({}, {}),
        ({"title": "T", "metadata": {"a": "1", "c": None}}, {}),
        ({"title": "N"}, {"title": "N"}),
        ({"title": None}, {"title": None}),
        ({"title": ""}, {"title": None}),
        ({"metadata": {"a": None, "b": "3"}}, {"metadata": {"b": "3"}}),
        ({"metadata": {"a": None, "b": None}}, {"metadata": {}}),
        ({"metadata": None}, {}),
    ):
        assert parse(UpdateSession, body).apply(*stored) == changed
    with pytest.raises(InvalidRequest, match="16 pairs"):
        parse(UpdateSession, {"metadata": {str(n): "" for n in range(15)}}).apply(*stored)


def test_the_vaults_of_a_session_never_change():
    for vaults in ([], ["vlt_x"]):
        assert "cannot be changed" in refusal(UpdateSession, {"vault_ids": vaults})
