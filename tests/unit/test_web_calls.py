"""Web calls among the others of a round: where they run, when they end, what survives a crash."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from freehold.adapters.web import PublicWeb
from freehold.engine import tools
from freehold.engine.tools import run_tools
from freehold.engine.turn import run_turn
from freehold.keys import Key
from freehold.ports import BlockDone, ReplyDone, Usage
from freehold.services.environments import create_environment
from freehold.testing.script import script
from freehold.toolset import MAX_RESULT_CHARACTERS
from freehold.wire.environments import CreateEnvironment
from freehold.wire.tools import AgentToolset20260401
from tests.protocol.sessions import asking_agent, seed_session
from tests.unit.sessions import Bench
from tests.unit.test_deadlines import soon
from tests.web_pages import FakeInternet, http

URL = "http://example.com/page"
FETCH = {"tool": "web_fetch", "input": {"url": URL}}
BASH = {"tool": "bash", "input": {"command": "from the sandbox"}}


@pytest.fixture
def net():
    made = FakeInternet({"example.com/page": http("from the web", Content_Type="text/plain")})
    yield made
    made.close()


class WebBench(Bench):
    """A session of an agent with all tools but those in `without`, in an environment of its own."""

    def __init__(
        self, directory, net, *, web=None, without=(), networking=None, fetch=None, **settings
    ):
        super().__init__(directory, web=web or net.web(), **settings)
        boots = self.boots = []
        boot = self.sandbox.boot
        self.sandbox.boot = lambda ref: (boots.append(ref), boot(ref))[1]
        self.prewarmed = []
        self.sandbox.prewarm = self.prewarmed.append
        config = {"type": "cloud", "networking": networking or {"type": "unrestricted"}}
        request = CreateEnvironment.model_validate({"name": "e", "config": config})
        made = create_environment(self.app, self.caller, request)
        policy = {"type": "always_allow"}
        entries = {name: {"enabled": False} for name in without}
        entries["web_fetch"] = {"enabled": True, **(fetch or {})}
        toolset = AgentToolset20260401.model_validate(
            {
                "default_config": {"enabled": True, "permission_policy": policy},
                "configs": [
                    {"type": name, "name": name, "permission_policy": policy, **settings}
                    for name, settings in entries.items()
                ],
            }
        )
        agent = asking_agent().model_copy(update={"tools": [toolset]})
        self.key, self.caller = seed_session(self.app, agent=agent, environment_id=made.id)
        self.thread_id = self.app.log.read(self.key).session.primary_id

    def ask(self, *elements, drain=True):
        self.say(f"About {URL} " + script(*elements, {"say": "Done."}), drain=drain)

    @property
    def results(self):
        return [e for e in self.events if e["type"] == "agent.tool_result"]

    def texts(self):
        return [e["content"][0]["text"] for e in self.results]


SANDBOX = ("bash", "read", "write", "edit", "glob", "grep")


def test_a_page_is_fetched_without_a_sandbox(tmp_path, net):
    bench = WebBench(tmp_path, net, without=SANDBOX)
    bench.ask(FETCH)
    (result,) = bench.results
    assert result["content"] == [{"type": "text", "text": f"URL: {URL}\n\nfrom the web"}]
    assert result["is_error"] is False
    assert bench.boots == bench.prewarmed == bench.sandbox.calls == []
    assert [tool["name"] for tool in bench.model.requests[0].tools] == ["web_fetch"]
    assert bench.model.requests[0].system == ()
    shown = bench.model.requests[1].messages[-1]["content"][0]["content"]
    assert shown[0]["text"].endswith("from the web")


def test_a_round_of_web_calls_alone_starts_no_sandbox(tmp_path, net):
    bench = WebBench(tmp_path, net)
    bench.ask(FETCH)
    assert "from the web" in bench.texts()[0]
    assert bench.boots == []


def test_calls_of_both_kinds_answer_in_the_models_order(tmp_path, net):
    bench = WebBench(tmp_path, net)
    bench.ask({"tools": [BASH, FETCH, BASH, FETCH]})
    uses = [e["id"] for e in bench.events if e["type"] == "agent.tool_use"]
    assert [e["tool_use_id"] for e in bench.results] == uses
    assert [text.splitlines()[-1] for text in bench.texts()] == [
        "from the sandbox",
        "from the web",
    ] * 2
    assert len(bench.boots) == 1


def test_calls_of_both_kinds_run_at_the_same_time(tmp_path, net):
    bench = WebBench(tmp_path, net)
    asked = threading.Event()
    page = net.pages["example.com/page"]
    net.pages["example.com/page"] = lambda c: (asked.set(), c.sendall(page))
    execute = bench.sandbox.execute

    def after_the_page(*given):
        assert asked.wait(20)
        return execute(*given)

    bench.sandbox.execute = after_the_page
    bench.ask({"tools": [BASH, FETCH]})
    assert not any(result["is_error"] for result in bench.results)


def test_a_url_that_no_permitted_source_has_shown_is_refused_and_nothing_is_sent(tmp_path, net):
    sources = {"user_input": {"type": "none"}}
    bench = WebBench(tmp_path, net, fetch={"url_sources": sources})
    bench.ask(FETCH)
    assert bench.results[0]["is_error"] is True
    assert bench.texts()[0].startswith(f"url_not_allowed: {URL} was not shown")
    assert net.resolved == []


def test_a_limited_environment_lets_nothing_through(tmp_path, net):
    bench = WebBench(tmp_path, net, networking={"type": "limited"})
    bench.ask(FETCH)
    assert bench.texts() == ["url_not_allowed: example.com may not be reached"]
    assert net.resolved == []


def test_an_input_that_is_not_the_tools_is_a_result(tmp_path, net):
    bench = WebBench(tmp_path, net)
    bench.ask({"tools": [{"tool": "web_fetch", "input": {}}, BASH]})
    assert [result["is_error"] for result in bench.results] == [True, False]
    assert bench.texts()[0] == "web_fetch: url: Field required"


def test_a_search_that_was_offered_before_a_restart_without_an_endpoint_is_a_result(tmp_path, net):
    bench = WebBench(tmp_path, net, web=net.web(search_url="http://127.0.0.1:9"))
    bench.ask({"tool": "web_search", "input": {"query": "words"}}, drain=False)
    run = bench.runs.waiting.pop()
    assert run_turn(bench.app, run).next == "tools"
    assert run_tools(replace(bench.app, web=net.web()), run).next == "turn"
    assert bench.results[0]["is_error"] is True
    assert bench.texts() == ["unavailable: this server has no search endpoint"]


def test_an_interrupt_ends_a_fetch_at_once(tmp_path, net):
    asked = threading.Event()
    hold = net.hold()
    net.pages["example.com/page"] = lambda c: (asked.set(), hold(c))
    bench = WebBench(tmp_path, net, web=net.web(seconds=60))
    bench.ask({"tools": [FETCH, BASH]}, drain=False)
    thread = threading.Thread(target=bench.runs.drain, args=(bench.app,))
    thread.start()
    assert asked.wait(20)
    began = time.monotonic()
    bench.send({"type": "user.interrupt"})
    bench.app.feed.ring([Key(bench.key.feed(bench.thread_id), "")])
    thread.join(20)
    assert time.monotonic() - began < 2
    assert net.gone.wait(10)
    assert bench.texts()[0].startswith("Tool execution was interrupted")
    assert len(bench.results) == 2
    assert bench.events[-1]["stop_reason"] == {"type": "end_turn"}


def test_out_of_time_a_fetch_is_made_again_by_the_next_invocation(tmp_path, net):
    hold = net.hold()
    net.pages["example.com/page"] = hold
    bench = WebBench(tmp_path, net, web=net.web(seconds=60))
    bench.ask({"tools": [BASH, FETCH]}, drain=False)
    run = bench.runs.waiting.pop()
    assert run_turn(bench.app, run).next == "tools"
    assert run_tools(bench.app, run, deadline=soon()).next == "tools"
    assert bench.texts() == ["from the sandbox"]
    net.pages["example.com/page"] = http("from the web", Content_Type="text/plain")
    assert run_tools(bench.app, run).next == "turn"
    assert [text.splitlines()[-1] for text in bench.texts()] == ["from the sandbox", "from the web"]


def test_a_fetch_that_a_crash_cut_off_is_made_again(tmp_path, net):
    class Crash(BaseException):
        pass

    bench = WebBench(tmp_path, net, lease_seconds=0.2, renew_seconds=0.05)
    bench.ask(FETCH, drain=False)
    run = bench.runs.waiting.pop()
    assert run_turn(bench.app, run).next == "tools"
    commit = bench.app.log.commit
    commits = []

    def die(draft):
        commits.append(draft)
        if len(commits) == 2:
            raise Crash
        commit(draft)

    bench.app.log.commit = die
    with pytest.raises(Crash):
        run_tools(bench.app, run)
    bench.app.log.commit = commit
    deadline = time.monotonic() + 10
    while (answer := run_tools(bench.app, run).next) == "taken":
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)
    assert answer == "turn"
    assert len(net.requests) == 2
    assert [text.splitlines()[-1] for text in bench.texts()] == ["from the web"]


def test_a_sandbox_call_that_is_allowed_while_only_web_calls_run_waits_for_a_sandbox(tmp_path, net):
    """The look found web calls alone; by the time of the mark there is more."""
    bench = WebBench(tmp_path, net)
    bench.ask({"tools": [FETCH, BASH]}, drain=False)
    run = bench.runs.waiting.pop()
    run_turn(bench.app, run)

    class Blind(tools._Round):
        def _wanted(self):
            return {"web_fetch"}

    assert Blind(bench.app, run, None).run(leaves=()).next == "tools"
    assert [text.splitlines()[-1] for text in bench.texts()] == ["from the web"]
    assert bench.sandbox.calls == []
    assert run_tools(bench.app, run).next == "turn"
    assert bench.texts()[1] == "from the sandbox"


LONG = "0123456789" * (MAX_RESULT_CHARACTERS // 10 + 1)


def test_a_long_text_goes_to_a_file_in_the_sandbox(tmp_path, net):
    net.pages["example.com/page"] = http(LONG, Content_Type="text/plain")
    bench = WebBench(tmp_path, net)
    bench.ask(FETCH)
    (text,) = bench.texts()
    use = next(e["id"] for e in bench.events if e["type"] == "agent.tool_use")
    path = f"/workspace/.web/{use}.txt"
    assert text.startswith(f"[output truncated: {len(LONG) + 30} characters; all of them are in")
    assert path in text.splitlines()[0]
    assert len(text) < 25_000
    (write,) = bench.sandbox.calls
    assert write.name == "write"
    assert write.input == {"file_path": path, "content": f"URL: {URL}\n\n{LONG}"}


@pytest.mark.parametrize("lost", [True, False])
def test_a_long_text_is_cut_where_there_is_no_sandbox(tmp_path, net, lost):
    net.pages["example.com/page"] = http(LONG, Content_Type="text/plain")
    bench = WebBench(tmp_path, net, without=() if lost else SANDBOX)
    bench.sandbox.lost = lost
    bench.ask(FETCH)
    (text,) = bench.texts()
    assert "the rest is left out, as there is no sandbox" in text.splitlines()[0]
    assert len(text) < 25_000
    assert bench.results[0]["is_error"] is False
    assert bool(bench.boots) is lost


def test_answered_searches_are_metered_and_failed_ones_and_fetches_are_not(tmp_path, net):
    engine = FakeInternet({"": http('{"results": []}')})
    host, port = engine._listener.getsockname()
    search = {"tool": "web_search", "input": {"query": "words"}}
    bench = WebBench(tmp_path, net, web=net.web(search_url=f"http://{host}:{port}"))
    bench.ask({"tools": [search, search, FETCH]})
    engine.pages[""] = http(status="500 Oops")
    bench.ask(search)
    engine.close()
    (first, second) = (e["usage"] for e in bench.events if e["type"] == "session.usage")
    expected = {"web_search_requests": 2, "web_fetch_requests": 0}
    assert first["server_tool_use"] == second["server_tool_use"] == expected
    assert bench.head.usage["web_searches"] == 2
    assert bench.head.usage["output_tokens"] == second["output_tokens"]


class Searching:
    """A provider's model that finds one page, for two tokens."""

    def __init__(self):
        self.requests = []

    def open(self, request):
        self.requests.append(request)
        return self

    def __iter__(self):
        page = {"type": "web_search_result", "url": "https://example.org/", "title": "A page"}
        yield BlockDone(0, {"type": "web_search_tool_result", "content": [page]})
        yield ReplyDone("end_turn", Usage(input_tokens=1, output_tokens=1))

    def close(self):
        pass


def test_a_search_by_the_models_provider_is_paid_for_by_its_session(tmp_path, net):
    provider = Searching()
    bench = WebBench(tmp_path, net, web=PublicWeb(search_model=provider))
    bench.ask({"tool": "web_search", "input": {"query": "a page"}})
    (result,) = bench.results
    assert [block["source"] for block in result["content"]] == ["https://example.org/"]
    (searched,) = provider.requests
    assert searched.model == bench.model.requests[0].model
    asked = [e["model_usage"] for e in bench.events if e["type"] == "span.model_request_end"]
    (usage,) = [e["usage"] for e in bench.events if e["type"] == "session.usage"]
    for kind in ("input_tokens", "output_tokens"):
        assert usage[kind] == sum(spent[kind] for spent in asked) + 1
    assert usage["server_tool_use"]["web_search_requests"] == 1
