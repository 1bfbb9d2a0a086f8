"""Tools as configured and as resolved, and the rules of the web tools (BEHAVIOUR 3.1, 3.5)."""

from __future__ import annotations

import json

import pytest

from freehold.errors import InvalidRequest
from freehold.wire.agents import CreateAgent
from freehold.wire.parsing import parse_body

ALLOW = {"type": "always_allow"}


def parse(*configs, **settings):
    toolset = {"type": "agent_toolset_20260401", "configs": list(configs), **settings}
    body = {"name": "A", "model": "m", "tools": [toolset]}
    return parse_body(CreateAgent, json.dumps(body).encode()).tools[0].resolved()


def refusal(*configs):
    with pytest.raises(InvalidRequest) as refused:
        parse(*configs)
    return refused.value.message


def test_an_entry_inherits_what_it_leaves_open():
    toolset = parse(
        {"name": "bash"},
        {"name": "read", "enabled": True, "type": "read", "permission_policy": ALLOW},
        default_config={"enabled": False},
    )
    assert toolset.model_dump()["configs"] == [
        {"enabled": False, "permission_policy": ALLOW, "type": "bash", "name": "bash"},
        {"enabled": True, "permission_policy": ALLOW, "type": "read", "name": "read"},
    ]
    assert toolset.config_of("read").enabled
    assert not toolset.config_of("write").enabled
    assert toolset.config_of("rm") is None


@pytest.mark.parametrize("default", [None, {}, {"enabled": None, "permission_policy": None}])
def test_everything_is_enabled_and_allowed_unless_said_otherwise(default):
    resolved = parse(default_config=default).default_config.model_dump()
    assert resolved == {"enabled": True, "permission_policy": ALLOW}


def test_a_tool_has_one_entry_and_an_agent_one_toolset():
    assert "more than one entry for bash" in refusal({"name": "bash"}, {"name": "bash"})
    assert "name must be one of 'bash', 'edit'" in refusal({"name": "rm"})
    assert "Input should be 'bash'" in refusal({"name": "bash", "type": "read"})
    toolset = {"type": "agent_toolset_20260401"}
    body = {"name": "A", "model": "m", "tools": [toolset, toolset]}
    with pytest.raises(InvalidRequest, match="only once"):
        parse_body(CreateAgent, json.dumps(body).encode())


def test_settings_of_the_web_tools_are_shown_in_their_full_form():
    fetch, search = parse(
        {
            "name": "web_fetch",
            "allowed_domains": ["docs.example.com", "Example.org/"],
            "max_content_tokens": 5,
            "url_sources": {"user_input": "none", "server_tool_results": {"type": "all"}},
        },
        {
            "name": "web_search",
            "blocked_domains": ["ads.example.com/banners"],
            "user_location": {
                "type": "approximate",
                "country": "DE",
                "timezone": "Europe/Berlin",
            },
        },
    ).model_dump()["configs"]
    assert fetch["url_sources"] == {
        "user_input": {"type": "none"},
        "client_tool_results": None,
        "server_tool_results": {"type": "all"},
    }
    assert fetch["allowed_domains"] == ["docs.example.com", "Example.org/"]
    assert fetch["max_content_tokens"] == 5
    assert "blocked_domains" not in fetch
    assert search["user_location"]["timezone"] == "Europe/Berlin"
    assert parse({"name": "web_fetch"}).model_dump()["configs"][0]["url_sources"] is None


@pytest.mark.parametrize(
    ("domain", "what"),
    [
        ("https://example.com", "schemes"),
        ("example.com:80", "ports"),
        ("me@example.com", "credentials"),
        ("*.example.com", "wildcards"),
        ("exa mple.com", "other forms"),
        ("1.2.3.4", "IP addresses"),
        ("0x7f.1", "IP addresses"),
        ("2130706433", "IP addresses"),
        ("1.2.3.4:80", "IP addresses"),
        ("[::1]", "IP addresses"),
        ("::1", "IP addresses"),
        ("com", "registry suffixes"),
        ("co.uk", "registry suffixes"),
        ("intranet", "registry suffixes"),
        ("bücher.example", "non-ASCII names"),
        ("-a.example.com", "other forms"),
        ("a-.example.com", "other forms"),
        ("a..example.com", "other forms"),
        (".example.com", "other forms"),
        ("example.com.", "other forms"),
        ("a" * 64 + ".example.com", "other forms"),
        ("example.com\n", "other forms"),
        ("localhost", "local names"),
        ("x.localhost", "local names"),
        ("x.local", "local names"),
        ("x.internal", "local names"),
        ("x.localdomain", "local names"),
        ("x.invalid", "local names"),
        ("example.com/path", "paths"),
    ],
)
def test_a_domain_is_a_plain_public_hostname(domain, what):
    message = refusal({"name": "web_fetch", "blocked_domains": ["example.com", domain]})
    assert f"blocked_domains.1: {what} are not supported" in message
    assert 'provide a plain hostname like "example.com"' in message


@pytest.mark.parametrize(
    "domain", ["example.com", "a.b.example.co.uk", "x_y.example.com", "9gag.com", "example.com/"]
)
def test_plain_public_hostnames_are_accepted(domain):
    assert parse({"name": "web_fetch", "allowed_domains": [domain]}).configs


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (
            {"allowed_domains": ["a.com"], "blocked_domains": ["b.com"]},
            "Only one of allowed_domains or blocked_domains may be set.",
        ),
        (
            {"allowed_domains": []},
            (
                "allowed_domains: Empty list of domains is ambiguous. "
                "Provide at least one domain or null."
            ),
        ),
        ({"allowed_domains": ["a.com", "A.com/"]}, "allowed_domains.1: duplicate domain"),
        ({"allowed_domains": [""]}, "allowed_domains.0: domains have 1 to 255 characters"),
        ({"allowed_domains": ["a" * 256 + ".com"]}, "allowed_domains.0: domains have 1 to 255"),
        (
            {"allowed_domains": [f"a{n}.com" for n in range(65)]},
            "allowed_domains: at most 64 domains",
        ),
    ],
)
def test_a_list_of_domains_is_bounded_and_alone(lists, message):
    assert message in refusal({"name": "web_search", **lists})


def test_only_searches_may_name_a_path():
    assert parse({"name": "web_search", "allowed_domains": ["example.com/docs/"]}).configs
    for path in ("a b", "a?b", "a#b", "a$b", "a,b", "a|b", "a^b", "a!b"):
        message = refusal({"name": "web_search", "allowed_domains": [f"example.com/{path}"]})
        assert "allowed_domains.0: the path is not supported" in message


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ({"country": "XX"}, "not a country the search provider supports"),
        ({"country": "de"}, "not a country the search provider supports"),
        ({"timezone": "Mars/Olympus"}, "not an IANA timezone"),
        ({"timezone": "../../etc/passwd"}, "not an IANA timezone"),
        ({"timezone": ""}, "not an IANA timezone"),
    ],
)
def test_a_location_is_one_that_exists(location, message):
    given = {"name": "web_search", "user_location": {"type": "approximate", **location}}
    assert refusal(given).endswith(message)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (
            {"user_input": "none", "client_tool_results": "none", "server_tool_results": "none"},
            "not all of the sources may be none",
        ),
        (
            {"server_tool_results": {"type": "only", "tools": []}},
            "server_tool_results.tools: List should have at least 1 item",
        ),
        (
            {
                "server_tool_results": {
                    "type": "except",
                    "tools": [{"type": "tool_reference", "name": "web_search"}] * 2,
                }
            },
            "tools must name different tools",
        ),
        (
            {
                "server_tool_results": {
                    "type": "only",
                    "tools": [{"type": "tool_reference", "name": "bash"}],
                }
            },
            "tools must be web_search or web_fetch",
        ),
        (
            {
                "client_tool_results": {
                    "type": "only",
                    "tools": [{"type": "tool_reference", "name": "mine"}],
                }
            },
            "not a custom tool here",
        ),
        ({"user_input": {"type": "only", "tools": []}}, "type must be one of 'all', 'none'"),
    ],
)
def test_sources_name_tools_that_can_show_a_url(sources, message):
    assert message in refusal({"name": "web_fetch", "url_sources": sources})


@pytest.mark.parametrize(
    ("model", "level", "accepted"),
    [
        ("claude-haiku-4-5", "low", False),
        ("claude-sonnet-4-5-20250929", "high", False),
        ("claude-opus-4-5", "high", True),
        ("claude-opus-4-5", "max", False),
        ("claude-opus-4-6", "max", True),
        ("claude-sonnet-4-6", "xhigh", False),
        ("claude-opus-4-7", "xhigh", True),
        ("claude-sonnet-5-5", "max", True),
        ("somebody-elses-model", "xhigh", True),
    ],
)
def test_an_effort_is_one_the_model_knows(model, level, accepted):
    for effort in (level, {"type": level}):
        body = json.dumps({"name": "A", "model": {"id": model, "effort": effort}}).encode()
        if accepted:
            assert parse_body(CreateAgent, body).model.resolved().effort.type == level
        else:
            with pytest.raises(InvalidRequest, match="not supported by"):
                parse_body(CreateAgent, body)
