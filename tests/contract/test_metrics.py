"""`/metrics` of a laptop's server and of the stream service, scraped over HTTP while both work."""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import ExitStack

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from freehold.adapters.prometheus import Prometheus
from freehold.domain.session import TOKENS
from freehold.errors import ModelError, StaleRead
from freehold.facts import (
    FollowerChanged,
    InvocationEnded,
    ModelRequestEnded,
    Period,
    told_to,
)
from freehold.local.observers import CannotServeMetrics, Observers, observed_functions
from freehold.metrics import METRICS, Models, measurements
from freehold.ports import ModelRequest, Run, Usage
from freehold.services.census import METRICS as LOOKED
from freehold.services.census import Census
from freehold.settings import Settings
from freehold.settings_aws import ServiceEnvironment
from freehold.testing.script import script
from functions.counted import Counted
from functions.service.__main__ import serve_metrics
from functions.service.app import Service
from tests.servers import HEADERS, server_process, wait_for
from tests.unit.sessions import Bench, Failing

SAID = "the launch code is 0000"
RUN = Run("wrkspc_default", "sesn_1", "sthr_1", 3, 0)


def _values(text):
    """Every sample by name and the values of its labels, in the order of the labels' names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def prometheus():
    return Prometheus()


@pytest.fixture
def scrape(prometheus):
    with (
        prometheus.serve(0, "127.0.0.1") as endpoint,
        httpx2.Client(trust_env=False) as http,
    ):
        yield lambda: http.get(f"http://127.0.0.1:{endpoint.port}/metrics").text


def _bench(tmp_path, prometheus, **given):
    return Bench(tmp_path, observe=told_to(prometheus.observe), **given)


def test_a_turn_with_a_tool_is_counted_once_each(tmp_path, prometheus, scrape):
    bench = _bench(tmp_path, prometheus)
    bench.say(script({"tool": "bash", "input": {"command": "true"}}, {"say": "Done."}))
    found = _values(scrape())
    model = bench.model.requests[0].model
    assert found["freehold_turns_total", "end_turn"] == 1
    assert found["freehold_model_requests_total", model, "ok"] == 2
    assert found["freehold_model_request_seconds_count", model] == 2
    assert found["freehold_model_first_chunk_seconds_count", model] == 2
    assert found["freehold_tool_calls_total", "ok", "bash"] == 1
    assert found["freehold_tool_call_seconds_count", "bash"] == 1
    state = bench.snapshot.session
    assert found["freehold_tokens_total", "output", model] == state.output_tokens
    assert found["freehold_tokens_total", "cache_creation_5m", model] == state.cache_creation_5m
    given = sum(v for key, v in found.items() if key[0] == "freehold_tokens_total")
    assert given == sum(getattr(state, kind) for kind in TOKENS)
    commits = len(bench.entries) - 1  # the session's creation is no transaction of a log
    assert found["freehold_commit_seconds_count",] == commits


def test_requests_that_fail_are_counted_by_their_error(tmp_path, prometheus, scrape):
    error = ModelError("model_overloaded", "Too busy.", retryable=False)
    bench = _bench(tmp_path, prometheus, model=Failing(error))
    bench.say("Hello.")
    found = _values(scrape())
    model = bench.model.requests[0].model
    assert found["freehold_model_requests_total", model, "model_overloaded"] == 1
    assert found["freehold_turns_total", "retries_exhausted"] == 1


def test_a_transaction_that_met_another_is_counted_as_a_retry(tmp_path, prometheus, scrape):
    bench = _bench(tmp_path, prometheus, write_backoff_seconds=0)
    commit, fates = bench.app.log.commit, ["stale"]

    def meet(draft):
        if fates:
            raise StaleRead(fates)
        commit(draft)

    def once(draft):
        try:
            meet(draft)
        finally:
            fates.clear()

    bench.app.log.commit = once
    bench.say("Hello.")
    assert _values(scrape())["freehold_commit_retries_total",] == 1


def test_no_label_is_an_id_or_what_somebody_said(tmp_path, prometheus, scrape):
    bench = _bench(tmp_path, prometheus)
    bench.say(script({"tool": "bash", "input": {"command": SAID}}, {"say": SAID}))
    bench.say(SAID)
    text = scrape()
    assert SAID not in text
    assert not re.findall(r"(sesn|sthr|sevt|agent|wrkspc|apikey|env)_[0-9A-Za-z]{5,}", text)


def _requested(model):
    request = ModelRequest(model, (), (), ())
    return ModelRequestEnded(RUN, "agent_1", request, Period(0, 1.0), "ok", Usage(1, 1))


def test_names_that_callers_choose_cannot_grow_without_bound():
    models = Models()
    names = {
        measurement.labels.get("model")
        for n in range(1000)
        for measurement in measurements(_requested(f"claude-{n}"), models)
    }
    assert len(names) == 41
    assert models.label("claude-0") == "claude-0"
    assert models.label("my secret plan") == models.label("x" * 65) == "other"


def test_every_metric_of_cloudwatch_is_one_of_these():
    on_aws = {metric.cloudwatch for metric in METRICS if metric.cloudwatch}
    assert on_aws == {"Outcomes", "ReleasedRuns"}
    fact = InvocationEnded("reaper", "done", {"released": 2})
    found = {m.metric.cloudwatch: m.value for m in measurements(fact, Models())}
    assert found == {"Outcomes": 1, "ReleasedRuns": 2}


def test_functions_are_counted_and_their_failures_passed_on(prometheus, scrape):
    def fail(*_):
        raise ZeroDivisionError

    functions = {
        "run_turn": lambda *_: {"next": "tools", "seconds": 0, "turns": 1},
        "run_tools": fail,
        "reaper": lambda *_: {"released": 3, "visited": 5},
    }
    watched = observed_functions(functions, told_to(prometheus.observe))
    watched["run_turn"]({}, None)
    watched["reaper"]({}, None)
    with pytest.raises(ZeroDivisionError):
        watched["run_tools"]({}, None)
    found = _values(scrape())
    assert found["freehold_invocations_total", "run_turn", "tools"] == 1
    assert found["freehold_invocations_total", "run_tools", "failed"] == 1
    assert found["freehold_released_runs_total",] == 3


def test_who_counts_cannot_fail_what_is_counted(tmp_path, caplog):
    heard = []

    def broken(fact):
        raise ZeroDivisionError

    bench = Bench(tmp_path, observe=told_to(broken, heard.append))
    bench.say("Hello.")
    assert bench.kinds()[-1] == "session.status_idle"
    assert heard
    assert "fact_lost" in caplog.text


# ---------------------------------------------------------------- what is looked up
def test_sessions_and_threads_are_looked_up_at_each_scrape(tmp_path, prometheus, scrape):
    bench = _bench(tmp_path, prometheus)
    clock = iter(range(1000))
    census = Census(bench.app, lambda: float(next(clock)))
    prometheus.ask(LOOKED, census.look)
    bench.say("Hello.", drain=False)
    found = _values(scrape())
    assert found["freehold_busy_threads", "waiting"] == 1
    assert found["freehold_busy_threads", "claimed"] == 0
    assert found["freehold_oldest_busy_seconds", "waiting"] >= 0
    bench.runs.drain(bench.app)
    found = _values(scrape())
    assert found["freehold_busy_threads", "waiting"] == 0


def test_a_store_that_does_not_answer_leaves_the_rest_of_the_metrics(tmp_path, prometheus, scrape):
    bench = _bench(tmp_path, prometheus)
    prometheus.ask(LOOKED, Census(bench.app).look)
    bench.say("Hello.")
    bench.records.close()
    found = _values(scrape())
    assert found["freehold_turns_total", "requires_action"] == 1
    assert not [key for key in found if key[0] == "freehold_sessions"]


def test_all_sessions_are_counted_again_only_after_a_rest(tmp_path):
    bench = Bench(tmp_path)
    times = [0.0, 2.0, 10.0, 43.0, 43.0]
    census = Census(bench.app, lambda: times.pop(0))
    reads = []
    query = bench.records.query
    bench.records.query = lambda *a, **k: reads.append(a) or query(*a, **k)
    census.look()
    first = len(reads)
    census.look()
    assert len(reads) == first
    census.look()
    assert len(reads) == 2 * first


# ---------------------------------------------------------------- programs
@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("metrics")
    options = ["--metrics-port", "0"]
    with server_process(directory, sandbox="none", options=options) as found:
        line = next(text for text in found.process.lines if text.startswith("metrics"))
        yield found, line.split()[1]


def test_a_server_serves_its_metrics_on_a_port_of_their_own(server):
    found, url = server
    assert url.startswith("http://127.0.0.1:")
    session_id = found.new_session()
    found.say(session_id, "Hello.")
    found.until_idle(session_id)
    assert found.request("GET", "/v1/sessions/sesn_nothing").status_code == 404
    assert found.http.get(found.url + "/metrics").status_code == 404
    values = _values(found.http.get(url).text)
    assert values["freehold_turns_total", "end_turn"] == 1
    assert values["freehold_refused_requests_total", "404"] >= 1
    assert values["freehold_sessions", "idle"] + values["freehold_sessions", "running"] == 1
    assert values["freehold_invocations_total", "run_turn", "idle"] == 1


def test_open_streams_are_counted_while_they_are_open(server):
    found, url = server
    session_id = found.new_session()

    def streams():
        values = _values(found.http.get(url).text)
        return values.get(("freehold_followers", "stream"), 0)

    place = f"{found.url}/v1/sessions/{session_id}/events/stream"
    headers = {"x-api-key": found.key, "anthropic-beta": "managed-agents-2026-04-01"}
    with found.http.stream("GET", place, headers=headers) as stream:
        assert stream.status_code == 200
        assert streams() == 1
    wait_for(lambda: streams() == 0)


def test_the_stream_service_counts_what_it_answers(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    names = ("state_machine_arn", "table_name", "bucket_name", "key_arn")
    given = {f"FREEHOLD_{name.upper()}": "x" for name in names}
    given |= {"FREEHOLD_PORT": "1", "FREEHOLD_KEEP_ALIVE_SECONDS": "1"}
    with ExitStack() as stack:
        assert serve_metrics(ServiceEnvironment.read(given), "127.0.0.1", stack) is None
        environment = ServiceEnvironment.read({**given, "FREEHOLD_METRICS_PORT": str(port)})
        observe = serve_metrics(environment, "127.0.0.1", stack)
        bench = Bench(tmp_path, observe=observe)
        service = Service(bench.app)
        stack.callback(service.close)

        async def ask():
            transport = httpx2.ASGITransport(Counted(service.asgi, observe))
            async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
                return (await client.get("/v1/agents", headers=HEADERS)).status_code

        assert asyncio.run(ask()) == 401
        with httpx2.Client(trust_env=False) as http:
            found = _values(http.get(f"http://127.0.0.1:{port}/metrics").text)
        assert found["freehold_refused_requests_total", "401"] == 1


def test_a_port_that_is_taken_is_one_readable_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        observers = Observers(Settings(metrics_port=taken.getsockname()[1]))
        with pytest.raises(CannotServeMetrics, match="Address already in use"):
            observers.serve(Bench(tmp_path).app)


def test_without_a_port_nothing_is_told():
    assert Observers(Settings()).observe is None


def test_sockets_are_counted_beside_streams(prometheus, scrape):
    prometheus.observe(FollowerChanged("socket", 1))
    prometheus.observe(FollowerChanged("stream", 1))
    prometheus.observe(FollowerChanged("socket", -1))
    found = _values(scrape())
    assert found["freehold_followers", "socket"] == 0
    assert found["freehold_followers", "stream"] == 1
