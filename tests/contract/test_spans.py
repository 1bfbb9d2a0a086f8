"""Spans as a real collector receives them over OTLP/HTTP, and a collector that is not there."""

from __future__ import annotations

import socket
import sys
import time

import pytest

from freehold.adapters.otlp_spans import OtlpSpans
from freehold.adapters.subprocess_sandbox import Probe
from freehold.errors import ModelError
from freehold.facts import told_to
from freehold.ids import parse_timestamp
from freehold.local.observers import NoSpans, Observers
from freehold.local.start_lines import start_lines
from freehold.settings import Settings
from freehold.testing.script import script
from tests.contract.otlp_receiver import otlp_receiver, plain
from tests.servers import server_process
from tests.unit.sessions import Bench, Failing

SAID = "the launch code is 0000"
ONE_TOOL = script({"tool": "bash", "input": {"command": SAID}}, {"say": SAID})


@pytest.fixture
def collector():
    with otlp_receiver() as found:
        yield found


def _traced(tmp_path, collector, messages, *, with_content=False, **given):
    """A session that was told `messages`, once everything has arrived."""
    spans = OtlpSpans(collector.url, provider="scripted", with_content=with_content)
    bench = Bench(tmp_path, observe=told_to(spans.observe), **given)
    for message in messages:
        bench.say(message)
    spans.close()
    return bench


def test_a_run_is_one_trace_with_its_requests_and_calls_below_its_root(tmp_path, collector):
    bench = _traced(tmp_path, collector, [ONE_TOOL])
    (root,), chats = collector.named("invoke_agent"), collector.named("chat")
    (tool,) = collector.named("execute_tool")
    assert len(collector.spans) == 4
    assert {span.trace_id for span in collector.spans} == {root.trace_id}
    assert len({span.span_id for span in collector.spans}) == 4
    assert [s.parent_span_id for s in (*chats, tool)] == [root.span_id] * 3
    assert root.parent_span_id == b""
    for span in (*chats, tool):
        assert root.start_time_unix_nano <= span.start_time_unix_nano
        assert span.start_time_unix_nano <= span.end_time_unix_nano <= root.end_time_unix_nano
    assert chats[0].end_time_unix_nano <= tool.start_time_unix_nano
    began = next(e for e in bench.events if e["type"] == "session.status_running")["processed_at"]
    since = parse_timestamp(began).timestamp()
    assert root.start_time_unix_nano / 1e9 == pytest.approx(since, abs=0.01)


def test_the_names_are_those_of_the_conventions(tmp_path, collector):
    bench = _traced(tmp_path, collector, [ONE_TOOL])
    model = bench.model.requests[0].model
    first, second = collector.named("chat")
    (tool,), (root,) = collector.named("execute_tool"), collector.named("invoke_agent")
    assert (first.name, tool.name, root.name) == (
        f"chat {model}",
        "execute_tool bash",
        "invoke_agent",
    )
    found, state = [plain(s.attributes) for s in (first, second)], bench.snapshot.session
    assert {f["gen_ai.request.model"] for f in found} == {model}
    assert [f["gen_ai.response.finish_reasons"] for f in found] == [["tool_use"], ["end_turn"]]
    cache_creation = state.cache_creation_5m + state.cache_creation_1h
    wanted = {
        "gen_ai.usage.input_tokens": state.input_tokens
        + state.cache_read_input_tokens
        + cache_creation,
        "gen_ai.usage.cache_read.input_tokens": state.cache_read_input_tokens,
        "gen_ai.usage.cache_creation.input_tokens": cache_creation,
        "gen_ai.usage.output_tokens": state.output_tokens,
    }
    assert {name: sum(f[name] for f in found) for name in wanted} == wanted
    (use,) = [e for e in bench.events if e["type"] == "agent.tool_use"]
    assert plain(tool.attributes)["gen_ai.tool.call.id"] == use["id"]
    for span in collector.spans:
        about = plain(span.attributes)
        assert about["gen_ai.conversation.id"] == bench.key.session_id
        assert about["freehold.thread.id"] == bench.thread_id
    assert collector.resources[0]["service.name"] == "freehold"
    assert set(collector.paths) == {"/v1/traces"}


def test_every_run_is_a_trace_of_its_own(tmp_path, collector):
    _traced(tmp_path, collector, [ONE_TOOL, ONE_TOOL])
    roots = collector.named("invoke_agent")
    assert len({root.trace_id for root in roots}) == 2


def test_what_was_said_leaves_only_when_it_is_asked_for(tmp_path, collector):
    _traced(tmp_path / "quiet", collector, [ONE_TOOL])
    assert SAID.encode() not in b"".join(collector.bodies)
    collector.spans.clear()
    _traced(tmp_path / "open", collector, [ONE_TOOL], with_content=True)
    (tool,), chats = collector.named("execute_tool"), collector.named("chat")
    assert SAID in plain(tool.attributes)["gen_ai.tool.call.arguments"]
    assert SAID in plain(tool.attributes)["gen_ai.tool.call.result"]
    assert SAID in plain(chats[0].attributes)["gen_ai.input.messages"]
    assert SAID in plain(chats[1].attributes)["gen_ai.output.messages"]


def test_a_failure_is_named_by_its_type_and_not_by_its_words(tmp_path, collector):
    error = ModelError("model_overloaded", f"Too busy: {SAID}", retryable=False)
    _traced(tmp_path, collector, ["Hello."], model=Failing(error))
    (chat,), (root,) = collector.named("chat"), collector.named("invoke_agent")
    assert plain(chat.attributes)["error.type"] == "model_overloaded"
    assert plain(root.attributes)["error.type"] == "retries_exhausted"
    assert chat.status.code == root.status.code == 2
    assert SAID.encode() not in b"".join(collector.bodies)


# ---------------------------------------------------------------- trouble
@pytest.mark.parametrize("trouble", ["refuses", "silent"])
def test_a_collector_that_is_not_there_costs_a_turn_nothing(tmp_path, trouble, caplog):
    """`silent` takes the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        if trouble == "refuses":
            listener.close()
        spans = OtlpSpans(url, provider="scripted", with_content=False)
        bench = Bench(tmp_path, observe=told_to(spans.observe))
        took = []
        for _ in range(30):
            began = time.perf_counter()
            bench.say(script({"say": "Done."}))
            took.append(time.perf_counter() - began)
        assert bench.kinds().count("session.status_idle") == 30
        assert sorted(took)[15] < 1.0
        began = time.perf_counter()
        spans.close()
        assert time.perf_counter() - began < 4
    assert "fact_lost" not in caplog.text


def test_a_server_sends_spans_without_a_secret_and_ends_in_time(tmp_path, collector):
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "FREEHOLD_OTEL_CONTENT": "true"}
    with server_process(tmp_path, sandbox="none", environment=given) as server:
        assert f"spans      to {collector.url[7:]}, with what was said" in server.process.lines
        session_id = server.new_session()
        server.say(session_id, script({"say": "Done."}))
        server.until_idle(session_id)
        server.process.stop()
    (root,) = collector.named("invoke_agent")
    assert plain(root.attributes)["gen_ai.conversation.id"] == session_id
    everything = b"".join(collector.bodies)
    assert b"Done." in everything
    assert server.key.encode() not in everything


def test_without_the_library_the_server_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "freehold.adapters.otlp_spans", None)
    with pytest.raises(NoSpans, match=r"pip install 'freehold\[otel\]'"):
        Observers(Settings(otlp_endpoint="http://127.0.0.1:9"))


def test_the_start_line_shows_no_key_of_the_collector():
    settings = Settings.from_environment(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://me:secret@collector.example/key-123"}
    )
    lines = "\n".join(start_lines(settings, Probe("none", ()), None, "http://127.0.0.1:1"))
    assert "spans      to collector.example, without content" in lines
    assert "secret" not in lines
    assert "key-123" not in lines
