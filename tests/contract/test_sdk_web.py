"""Turns with web tools through the official SDK, strict."""

from __future__ import annotations

import json
import secrets

import anthropic
import pytest

from freehold.testing.script import script
from tests.contract.test_sdk import known, message, types_of
from tests.servers import server_in_process, server_in_thread
from tests.web_pages import FakeInternet, html, http

URL = "http://www.example.com/"
FETCH = {"tool": "web_fetch", "input": {"url": URL}}
SEARCH = {"tool": "web_search", "input": {"query": "the words"}}


@pytest.fixture(scope="module")
def engine():
    made = FakeInternet()
    yield made
    made.close()


@pytest.fixture(scope="module")
def net():
    made = FakeInternet()
    made.pages["www.example.com/"] = html("<title>Start</title><p>Welcome.</p>")
    made.pages["www.example.com/paper"] = http(b"%PDF-1.7 x", Content_Type="application/pdf")
    made.pages["docs.example.org/"] = http("the docs", Content_Type="text/plain")
    yield made
    made.close()


@pytest.fixture(
    scope="module",
    params=[server_in_process, server_in_thread],
    ids=["in process", "over HTTP"],
)
def served(request, tmp_path_factory, net, engine):
    host, port = engine._listener.getsockname()
    web = net.web(search_url=f"http://{host}:{port}/search")
    with request.param(tmp_path_factory.mktemp("web"), web=web) as server:
        yield server


@pytest.fixture
def client(served):
    return served.client()


def toolset_of(*configs):
    """The tools of `configs` and no others."""
    return {
        "type": "agent_toolset_20260401",
        "default_config": {"enabled": False},
        "configs": [{"enabled": True, **config} for config in configs],
    }


def agent_of(client, *tools):
    return client.beta.agents.create(name="A", model="claude-sonnet-5-5", tools=list(tools))


def environment_of(client, networking=None):
    config = {"type": "cloud", **({"networking": networking} if networking else {})}
    return client.beta.environments.create(name=f"e-{secrets.token_hex(8)}", config=config)


def session_of(client, *configs, networking=None):
    """A session of an agent with the tools of `configs` and no others."""
    agent, environment = agent_of(client, toolset_of(*configs)), environment_of(client, networking)
    return client.beta.sessions.create(agent=agent.id, environment_id=environment.id)


def turn(served, client, session, *elements, text=""):
    """All events so far, once the script is done."""
    said = f"{text} {script(*elements, {'say': '{result}'})}"
    client.beta.sessions.events.send(session.id, events=[message(said)])
    served.until_idle(session.id)
    return known(list(client.beta.sessions.events.list(session.id)))


def results(events):
    return [event for event in events if event.type == "agent.tool_result"]


def found(*urls):
    answers = [{"url": url, "title": f"About {url}", "content": "A passage."} for url in urls]
    return http(json.dumps({"results": answers}), Content_Type="application/json")


def test_a_turn_in_which_the_model_fetches_a_page(served, client):
    session = session_of(client, {"name": "web_fetch"})
    events = turn(served, client, session, FETCH)
    assert types_of(events) == [
        "session.status_running",
        "session.thread_status_running",
        "user.message",
        "span.model_request_start",
        "agent.tool_use",
        "span.model_request_end",
        "agent.tool_result",
        "span.model_request_start",
        "agent.message",
        "span.model_request_end",
        "session.thread_status_idle",
        "session.usage",
        "session.status_idle",
    ]
    use = next(event for event in events if event.type == "agent.tool_use")
    assert (use.name, use.input, use.evaluated_permission) == ("web_fetch", {"url": URL}, "allow")
    (result,) = results(events)
    assert result.tool_use_id == use.id
    assert result.is_error is False
    assert result.content[0].text == f"URL: {URL}\nTitle: Start\n\nWelcome."
    said = next(event for event in events if event.type == "agent.message")
    assert "Welcome." in said.content[0].text
    usage = client.beta.sessions.retrieve(session.id).usage
    assert usage.server_tool_use.web_search_requests == 0
    assert usage.server_tool_use.web_fetch_requests == 0


def test_a_pdf_comes_back_as_a_document(served, client):
    session = session_of(client, {"name": "web_fetch"})
    use = {"tool": "web_fetch", "input": {"url": f"{URL}paper"}}
    (result,) = results(turn(served, client, session, use))
    assert result.content[0].type == "document"
    assert result.content[0].source.media_type == "application/pdf"


def test_a_search_leads_to_a_fetch_of_what_it_found(served, client, engine):
    engine.pages[""] = found("http://docs.example.org/", "http://10.0.0.1/")
    session = session_of(
        client,
        {"name": "web_search", "user_location": {"type": "approximate", "country": "DE"}},
        {"name": "web_fetch", "url_sources": {"user_input": "none"}},
    )
    docs = {"tool": "web_fetch", "input": {"url": "http://docs.example.org/"}}
    refused, searched, fetched = results(turn(served, client, session, docs, SEARCH, docs))
    assert refused.is_error is True
    assert refused.content[0].text.startswith("url_not_allowed: ")
    (block,) = searched.content
    assert (block.type, block.source) == ("search_result", "http://docs.example.org/")
    assert fetched.is_error is False
    assert fetched.content[0].text.endswith("the docs")
    assert "country=DE" in engine.requests[-1]
    usage = client.beta.sessions.retrieve(session.id).usage
    assert usage.server_tool_use.web_search_requests == 1


def test_lists_of_domains_bind_both_tools(served, client, engine):
    engine.pages[""] = found("http://docs.example.org/", URL)
    lists = {"blocked_domains": ["example.com"]}
    session = session_of(client, {"name": "web_search", **lists}, {"name": "web_fetch", **lists})
    fetched, searched = results(turn(served, client, session, {"tools": [FETCH, SEARCH]}))
    assert fetched.is_error is True
    assert fetched.content[0].text == "url_not_allowed: www.example.com may not be reached"
    assert [block.source for block in searched.content] == ["http://docs.example.org/"]


def test_a_token_limit_cuts_a_page(served, client):
    session = session_of(client, {"name": "web_fetch", "max_content_tokens": 1})
    (result,) = results(turn(served, client, session, FETCH))
    assert result.content[0].text.endswith("Welc\n[cut here: the page has more than 1 tokens]")


def test_a_limited_environment_binds_both_tools(served, client, engine):
    engine.pages[""] = found(URL)
    session = session_of(
        client, {"name": "web_search"}, {"name": "web_fetch"}, networking={"type": "limited"}
    )
    fetched, searched = results(turn(served, client, session, {"tools": [FETCH, SEARCH]}))
    assert fetched.content[0].text == "url_not_allowed: www.example.com may not be reached"
    assert [block.text for block in searched.content] == ["No results."]
    assert searched.is_error is False


@pytest.mark.parametrize("name", ["web_fetch", "web_search"])
def test_domains_outside_a_limited_environment_are_refused_at_creation(client, name):
    config = {"name": name, "allowed_domains": ["docs.example.org"]}
    with pytest.raises(anthropic.BadRequestError) as refused:
        session_of(client, config, networking={"type": "limited"})
    assert f"{name}: allowed_domains.0: docs.example.org is not within" in refused.value.message
    session_of(client, {**config, "enabled": False}, networking={"type": "limited"})


NARROW = {"name": "web_fetch", "allowed_domains": ["docs.example.org"]}
BEYOND = "web_fetch: allowed_domains.0: docs.example.org is not within the allowed_hosts"
LIMITED = {"type": "limited"}


def refusal(call, *given, **fields):
    with pytest.raises(anthropic.BadRequestError) as refused:
        call(*given, **fields)
    return refused.value.body["error"]["message"]


def test_what_a_session_runs_must_stay_in_its_environment_not_what_its_agent_says(client):
    """Overrides bring a domain in, and take one out."""
    environment = environment_of(client, LIMITED)
    create = client.beta.sessions.create

    def overridden(agent, tools):
        given = {"type": "agent_with_overrides", "id": agent.id, "tools": tools}
        return {"agent": given, "environment_id": environment.id}

    plain = agent_of(client, toolset_of({"name": "web_fetch"}))
    assert BEYOND in refusal(create, **overridden(plain, [toolset_of(NARROW)]))
    narrow = agent_of(client, toolset_of(NARROW))
    assert BEYOND in refusal(create, agent=narrow.id, environment_id=environment.id)
    assert create(**overridden(narrow, [])).agent.tools == []


def test_an_update_must_stay_in_the_environment(client):
    session = session_of(client, {"name": "web_fetch"}, networking=LIMITED)
    update = client.beta.sessions.update
    said = refusal(update, session.id, title="Never", agent={"tools": [toolset_of(NARROW)]})
    assert BEYOND in said
    kept = client.beta.sessions.retrieve(session.id)
    assert (kept.title, kept.agent, kept.updated_at) == (None, session.agent, session.updated_at)
    assert client.beta.sessions.events.list(session.id).data == []
    off = toolset_of({**NARROW, "enabled": False})
    assert not update(session.id, agent={"tools": [off]}).agent.tools[0].configs[0].enabled
    free = session_of(client, {"name": "web_fetch"})
    (tools,) = update(free.id, agent={"tools": [toolset_of(NARROW)]}).agent.tools
    assert tools.configs[0].allowed_domains == ["docs.example.org"]


def test_without_its_environment_a_session_reaches_nothing(served, client):
    session = session_of(client, {"name": "web_fetch"}, networking=LIMITED)
    forced = {"force": "true"}
    client.beta.environments.delete(session.environment_id, extra_query=forced)
    client.beta.sessions.update(
        session.id,
        agent={"tools": [toolset_of({**NARROW, "allowed_domains": ["example.com"]})]},
    )
    (result,) = results(turn(served, client, session, FETCH))
    assert result.content[0].text == "url_not_allowed: www.example.com may not be reached"


def test_the_tools_that_url_sources_name_are_the_agents_own(client):
    only = {"type": "only", "tools": [{"type": "tool_reference", "name": "lookup"}]}
    fetch = toolset_of({"name": "web_fetch", "url_sources": {"client_tool_results": only}})
    custom = {
        "type": "custom",
        "name": "lookup",
        "description": "Looks an order up.",
        "input_schema": {"type": "object"},
    }
    words = "client_tool_results: lookup is not a custom tool here"
    agent, environment = agent_of(client, fetch, custom), environment_of(client)
    given = {"type": "agent_with_overrides", "id": agent.id, "tools": [fetch]}
    sessions = client.beta.sessions
    session = sessions.create(agent=agent.id, environment_id=environment.id)
    said = [
        refusal(agent_of, client, fetch),
        refusal(client.beta.agents.update, agent.id, version=1, tools=[fetch]),
        refusal(sessions.create, agent=given, environment_id=environment.id),
        refusal(sessions.update, session.id, agent={"tools": [fetch]}),
    ]
    assert all(words in message for message in said)
    assert client.beta.agents.retrieve(agent.id) == agent


BEGUN = [
    "session.status_running",
    "session.thread_status_running",
    "user.message",
    "span.model_request_start",
    "agent.tool_use",
    "span.model_request_end",
    "session.thread_status_idle",
    "session.usage",
    "session.status_idle",
    "user.tool_confirmation",
]
GONE_ON = [
    "span.model_request_start",
    "agent.message",
    "span.model_request_end",
    "session.thread_status_idle",
    "session.usage",
    "session.status_idle",
]
RUNNING = ["session.status_running", "session.thread_status_running"]


@pytest.mark.parametrize("answer", ["allow", "deny"])
def test_a_fetch_that_asks_is_made_once_it_is_allowed(served, client, net, answer):
    asking = {"name": "web_fetch", "permission_policy": {"type": "always_ask"}}
    session = session_of(client, asking)
    made = len(net.requests)
    parked = turn(served, client, session, FETCH)
    (use,) = (event for event in parked if event.type == "agent.tool_use")
    assert (use.evaluated_permission, use.evaluation.type) == ("ask", "always_ask")
    assert parked[-1].stop_reason.event_ids == [use.id]
    assert len(net.requests) == made
    confirmation = {"type": "user.tool_confirmation", "tool_use_id": use.id, "result": answer}
    client.beta.sessions.events.send(session.id, events=[confirmation])
    served.until_idle(session.id)
    events = known(list(client.beta.sessions.events.list(session.id)))
    (result,) = results(events)
    if answer == "allow":
        assert types_of(events) == [*BEGUN, *RUNNING, "agent.tool_result", *GONE_ON]
        assert result.content[0].text == f"URL: {URL}\nTitle: Start\n\nWelcome."
        assert len(net.requests) == made + 1
    else:
        assert types_of(events) == [*BEGUN, "agent.tool_result", *RUNNING, *GONE_ON]
        assert result.content[0].text == "Permission to use web_fetch has been rejected."
        assert len(net.requests) == made


def test_a_search_that_the_server_cannot_make_is_not_offered_and_denied(tmp_path, net):
    with server_in_process(tmp_path, web=net.web()) as server:
        client = server.client()
        session = session_of(client, {"name": "web_search"}, {"name": "web_fetch"})
        events = turn(server, client, session, {"tools": [SEARCH, FETCH]})
    search, fetch = (event for event in events if event.type == "agent.tool_use")
    assert (search.evaluated_permission, search.evaluation) == ("deny", None)
    assert fetch.evaluated_permission == "allow"
    denied, fetched = results(events)
    assert denied.content[0].text == "Permission to use web_search has been denied."
    assert fetched.is_error is False


def test_messages_about_web_settings_reach_the_client_word_for_word(client):
    def refused(config):
        toolset = {"type": "agent_toolset_20260401", "configs": [config]}
        return refusal(client.beta.agents.create, name="A", model="m", tools=[toolset])

    for name in ("web_fetch", "web_search"):
        both = {"name": name, "allowed_domains": ["a.com"], "blocked_domains": ["b.com"]}
        assert "Only one of allowed_domains or blocked_domains may be set." in refused(both)
        assert (
            "allowed_domains: Empty list of domains is ambiguous. Provide at least one domain or"
            " null."
        ) in refused({"name": name, "allowed_domains": []})
        assert (
            "allowed_domains.0: IP addresses are not supported; provide a plain hostname like"
            ' "example.com"'
        ) in refused({"name": name, "allowed_domains": ["10.0.0.1"]})
    location = {"type": "approximate", "country": "ZZ"}
    assert refused({"name": "web_search", "user_location": location}).endswith(
        "user_location.country: not a country the search provider supports"
    )


def test_a_limited_network_binds_the_web_tools_when_the_session_is_created(served, client):
    network = {
        "type": "limited",
        "allowed_hosts": ["www.example.com", "*.example.org"],
        "allow_package_managers": True,
    }
    with pytest.raises(anthropic.BadRequestError, match=r"example\.com is not within"):
        session_of(
            client,
            {"name": "web_fetch", "type": "web_fetch", "allowed_domains": ["example.com"]},
            networking=network,
        )
    session = session_of(client, {"name": "web_fetch", "type": "web_fetch"}, networking=network)
    environment = client.beta.environments.retrieve(session.environment_id)
    stored = environment.config.networking.model_dump()
    assert stored == {**network, "allow_mcp_servers": False}
    events = turn(served, client, session, FETCH, text=URL)
    assert "Welcome." in json.dumps([event.model_dump(mode="json") for event in events])
    other = {"tool": "web_fetch", "input": {"url": "http://elsewhere.example/"}}
    events = turn(served, client, session, other, text="http://elsewhere.example/")
    assert "url_not_allowed" in json.dumps([event.model_dump(mode="json") for event in events[-6:]])
