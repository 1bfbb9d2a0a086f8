"""What a web tool may reach, and which URLs a conversation has shown (BEHAVIOUR 3.5)."""

from __future__ import annotations

import time

import pytest

from egress_proxy.host_names import is_allowed_host
from freehold.domain import permissions
from freehold.domain.entry import Entry
from freehold.domain.shown_urls import is_shown
from freehold.domain.web_rules import WebRules, check_within, rules_of
from freehold.errors import InvalidRequest
from freehold.wire.environments import Environment
from freehold.wire.tools import AgentToolset20260401, WebFetchURLSources
from tests.protocol.sessions import asking_agent


def environment(networking):
    names = ("apt", "cargo", "gem", "go", "npm", "pip")
    config = {
        "type": "cloud",
        "networking": networking,
        "packages": {"type": "packages", **{name: [] for name in names}},
    }
    return Environment(
        id="env_1",
        name="e",
        description=None,
        config=config,
        metadata={},
        created_at="",
        updated_at="",
        archived_at=None,
    )


def limited(*hosts):
    flags = {"allow_mcp_servers": False, "allow_package_managers": False}
    return environment({"type": "limited", "allowed_hosts": list(hosts), **flags})


UNRESTRICTED = environment({"type": "unrestricted"})
POLICY = {"type": "always_allow"}


def toolset(*configs, enabled=True):
    return AgentToolset20260401.model_validate(
        {
            "default_config": {"enabled": enabled, "permission_policy": POLICY},
            "configs": [
                {"type": c["name"], "enabled": True, "permission_policy": POLICY, **c}
                for c in configs
            ],
        }
    )


# ---------------------------------------------------------------- lists
@pytest.mark.parametrize(
    ("entry", "url", "covered"),
    [
        ("example.com", "https://example.com/", True),
        ("example.com", "https://www.example.com/a", True),
        ("Example.COM/", "http://a.b.example.com/", True),
        ("example.com", "https://notexample.com/", False),
        ("example.com", "https://example.com.evil.org/", False),
        ("www.example.com", "https://example.com/", False),
        ("example.com", "https://evil.org/example.com", False),
        ("example.com", "https://evil.org/?example.com", False),
        ("example.com/docs", "https://example.com/docs", True),
        ("example.com/docs/", "https://www.example.com/docs/a", True),
        ("example.com/docs", "https://example.com/docsearch", False),
        ("example.com/docs", "https://example.com/", False),
        ("example.com/docs", "https://example.com/%64ocs/a", True),
        ("example.com/docs", "https://example.com/x/../docs/a", True),
        ("example.com/docs", "https://example.com/docs/../x", False),
    ],
)
def test_a_domain_matches_itself_and_what_lies_below_it(entry, url, covered):
    assert WebRules(allowed=(entry,)).permits(url) is covered
    assert WebRules(blocked=(entry,)).permits(url) is not covered


def test_a_list_lets_no_address_through_and_no_list_restricts_nothing():
    for url in ("http://93.184.216.34/", "http://[2606:2800::1]/"):
        assert WebRules().permits(url)
        assert not WebRules(allowed=("example.com",)).permits(url)
        assert not WebRules(blocked=("example.com",)).permits(url)


@pytest.mark.parametrize(
    ("allowed", "host", "permitted"),
    [
        ("example.com", "Example.com", True),
        ("example.com", "www.example.com", False),
        ("*.example.com", "www.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "notexample.com", False),
    ],
)
def test_allowed_hosts_match_exactly_unless_they_begin_with_a_star(allowed, host, permitted):
    assert is_allowed_host(host, [allowed]) is permitted
    assert rules_of(None, limited(allowed)).permits(f"https://{host}/") is permitted


def test_an_environment_and_a_list_must_both_permit():
    config = toolset({"name": "web_fetch", "allowed_domains": ["example.com"]}).configs[0]
    url = "https://www.example.com/"
    assert rules_of(config, UNRESTRICTED).permits(url)
    assert rules_of(config, limited("*.example.com")).permits(url)
    assert not rules_of(config, limited("example.com")).permits(url)
    assert not rules_of(config, limited()).permits(url)
    assert not rules_of(None, limited()).permits(url)


def test_an_environment_that_is_gone_permits_nothing():
    assert not rules_of(None, None).permits("https://example.com/")


def test_domains_outside_a_limited_environment_are_refused():
    within = toolset({"name": "web_fetch", "allowed_domains": ["a.com", "b.example.com"]})
    check_within([within], UNRESTRICTED)
    check_within([within], limited("a.com", "*.example.com"))
    with pytest.raises(InvalidRequest, match=r"web_fetch: allowed_domains.1: b.example.com is not"):
        check_within([within], limited("a.com"))
    search = toolset({"name": "web_search", "allowed_domains": ["a.com/path"]})
    check_within([search], limited("a.com"))
    with pytest.raises(InvalidRequest, match=r"web_search: allowed_domains.0: a.com/path is not"):
        check_within([search], limited("*.a.com"))


def test_only_enabled_tools_with_a_list_are_checked():
    off = {"name": "web_fetch", "allowed_domains": ["a.com"], "enabled": False}
    check_within([toolset(off, {"name": "web_search"})], limited())
    check_within([toolset({"name": "web_fetch", "blocked_domains": ["a.com"]})], limited())


# ---------------------------------------------------------------- what is offered
def test_a_tool_that_the_server_has_not_is_neither_offered_nor_run():
    agent = asking_agent().model_copy(
        update={"tools": [toolset({"name": "web_search"}, {"name": "web_fetch"})]}
    )
    everything = permissions.servable(agent, ("web_fetch", "web_search"))
    assert permissions.enabled_tools(everything)[-2:] == ("web_fetch", "web_search")
    for tools in (toolset(), toolset({"name": "web_search"})):
        some = agent.model_copy(update={"tools": [tools]})
        known = permissions.servable(some, ("web_fetch",))
        assert permissions.enabled_tools(known)[-2:] == ("grep", "web_fetch")
        assert permissions.evaluate(known, "web_search").permission == "deny"
        assert permissions.evaluate(known, "web_search").evaluation is None
        assert permissions.evaluate(known, "web_fetch").permission == "allow"


def test_a_web_tool_obeys_its_policy():
    ask = {"name": "web_fetch", "permission_policy": {"type": "always_ask"}}
    agent = asking_agent().model_copy(update={"tools": [toolset(ask)]})
    assert permissions.evaluate(agent, "web_fetch").permission == "ask"


# ---------------------------------------------------------------- URLs that were shown
def entry(*events):
    return Entry(
        version=0,
        first_seq=1,
        at="",
        actor="",
        commit_id="",
        prev_hash=b"",
        hash=b"",
        events=tuple(events),
        private={},
        size=0,
    )


def said(text):
    return {"id": "m", "type": "user.message", "content": [{"type": "text", "text": text}]}


def result(name, text, *, is_error=False, kind="agent.tool"):
    reference = "tool_use_id" if kind == "agent.tool" else "custom_tool_use_id"
    owner = "agent.tool_use" if kind == "agent.tool" else "agent.custom_tool_use"
    return (
        {"id": f"u-{name}", "type": owner, "name": name, "input": {"url": "https://input.com/"}},
        {
            "id": f"r-{name}",
            "type": f"{kind}_result",
            reference: f"u-{name}",
            "content": [{"type": "text", "text": text}],
            "is_error": is_error,
        },
    )


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/a?b=c",
        "See https://example.com/a?b=c.",
        "See (https://example.com/a?b=c), and",
        "http://EXAMPLE.com:443/a?b=c#top",
        "example.com/a?b=c",
        "[x](https://example.com/a?b=c) [y](https://example.com/d)",
        "[y](https://example.com/d)[x](https://example.com/a?b=c)",
        "<https://example.com/a?b=c>",
        '"https://example.com/a?b=c"',
        "URL: https://example.com/a?b=c\nTitle",
    ],
)
def test_a_url_in_a_message_was_shown(text):
    assert is_shown("https://example.com/a?b=c", [entry(said(text))], None)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/a",
        "https://example.com/a?b=cd",
        "https://www.example.com/a?b=c",
        "https://example.com/A?b=c",
        "https://example.com:8080/a?b=c",
        "https://evil.org/a?b=c",
        "https://evil.org/?u=https://example.com/a?b=c",
        "no URL at all",
    ],
)
def test_another_url_was_not(text):
    assert not is_shown("https://example.com/a?b=c", [entry(said(text))], None)


def test_userinfo_does_not_make_one_host_look_like_another():
    shown = [entry(said("https://example.com/"))]
    assert not is_shown("https://example.com@evil.org/", shown, None)
    assert not is_shown("https://example.com.evil.org/", shown, None)


def test_urls_with_brackets_of_their_own_are_whole():
    text = "(see https://en.wikipedia.org/wiki/A_(b))"
    assert is_shown("https://en.wikipedia.org/wiki/A_(b)", [entry(said(text))], None)


URL = "https://example.com/"
SOURCES = {
    "user_input": said(URL),
    "client_tool_results": result("mine", URL, kind="user.custom_tool"),
    "server_tool_results": result("web_search", URL),
}


@pytest.mark.parametrize("source", SOURCES)
def test_each_source_counts_unless_it_is_set_to_none(source):
    events = SOURCES[source]
    shown = [entry(*(events if isinstance(events, tuple) else (events,)))]
    assert is_shown(URL, shown, None)
    assert is_shown(URL, shown, WebFetchURLSources())
    others = {name: {"type": "none"} for name in SOURCES if name != source}
    assert is_shown(URL, shown, WebFetchURLSources.model_validate(others))
    none = WebFetchURLSources.model_validate({source: {"type": "none"}})
    assert not is_shown(URL, shown, none)


@pytest.mark.parametrize(("kind", "names"), [("only", "a"), ("except", "b")])
def test_a_source_is_narrowed_by_the_name_of_the_tool(kind, names):
    filtered = {"type": kind, "tools": [{"type": "tool_reference", "name": names}]}
    sources = WebFetchURLSources.model_validate({"client_tool_results": filtered})
    shown = {n: [entry(*result(n, URL, kind="user.custom_tool"))] for n in ("a", "b")}
    assert is_shown(URL, shown["a"], sources)
    assert not is_shown(URL, shown["b"], sources)
    web = {
        "type": kind,
        "tools": [
            {"type": "tool_reference", "name": "web_fetch" if kind == "only" else "web_search"}
        ],
    }
    sources = WebFetchURLSources.model_validate({"server_tool_results": web})
    assert is_shown(URL, [entry(*result("web_fetch", URL))], sources)
    assert not is_shown(URL, [entry(*result("web_search", URL))], sources)


def test_neither_the_model_nor_the_sandbox_nor_a_failed_result_shows_a_url():
    spoken = {"id": "a", "type": "agent.message", "content": [{"type": "text", "text": URL}]}
    assert not is_shown(URL, [entry(spoken)], None)
    assert not is_shown(URL, [entry(*result("bash", URL))], None)
    assert not is_shown(URL, [entry(*result("web_fetch", URL, is_error=True))], None)
    assert not is_shown("https://input.com/", [entry(*result("web_fetch", "x"))], None)


def test_a_search_result_and_a_document_show_their_urls():
    block = {"type": "search_result", "source": URL, "title": "t", "content": []}
    use, found = result("web_search", "")
    assert is_shown(URL, [entry(use, {**found, "content": [block]})], None)
    document = {"type": "document", "source": {"type": "url", "url": URL}}
    assert is_shown(URL, [entry({**said(""), "content": [document]})], None)


def test_encoded_bytes_are_not_read_and_a_long_word_takes_no_time():
    encoded = {"type": "base64", "media_type": "image/png", "data": "example.com/"}
    image = {"type": "image", "source": encoded}
    assert not is_shown(URL, [entry({**said(""), "content": [image]})], None)
    began = time.monotonic()
    for word in ("a" * 300_000, "a." * 150_000, "https://" + "-" * 300_000, "a-" * 150_000):
        assert not is_shown(URL, [entry(said(word))], None)
    assert time.monotonic() - began < 5
