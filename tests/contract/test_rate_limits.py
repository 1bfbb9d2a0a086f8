"""Requests a minute, where the operator sets a limit (BEHAVIOUR 0, 1.4)."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anthropic
import pytest

from freehold.adapters.sqlite import SqliteRecords
from freehold.services.keys import create_key
from freehold.services.rate_limits import count_request
from freehold.settings import Settings
from freehold.testing.faulty_records import Fault, FaultyRecords
from tests.clocks import StandingClock
from tests.contract.test_errors import check
from tests.servers import server_in_process, server_in_thread, server_process
from tests.streams import open_stream
from tests.unit.apps import CALLER, STRANGER, Interloper, app_on

AGENT = {"name": "A", "model": "claude-sonnet-5-5"}
FAMILY = "anthropic-ratelimit-requests"
LIMITS = {"create_requests_per_minute": 3, "read_requests_per_minute": 5}
START = datetime(2026, 11, 21, 12, 0, 10, 500_000, tzinfo=UTC)


@pytest.fixture
def clock():
    return StandingClock(START)


@pytest.fixture
def server(tmp_path, clock):
    with server_in_process(tmp_path, settings=LIMITS, clock=clock) as local:
        yield local


def create(server, **options):
    return server.request("POST", "/v1/agents", json=AGENT, **options)


def read(server, **options):
    return server.request("GET", "/v1/agents", **options)


def test_what_is_over_the_limit_is_refused_until_the_minute_is_over(server, clock):
    for left in (2, 1, 0):
        answer = create(server)
        assert answer.status_code == 200
        assert answer.headers[f"{FAMILY}-limit"] == "3"
        assert answer.headers[f"{FAMILY}-remaining"] == str(left)
        assert answer.headers[f"{FAMILY}-reset"] == "2026-11-21T12:01:00Z"
        assert "retry-after" not in answer.headers
    for _ in range(2):
        refused = create(server)
        check(refused, 429, "rate_limit_error", "3 create requests")
        assert refused.headers["retry-after"] == "50"
        assert refused.headers[f"{FAMILY}-remaining"] == "0"
        assert refused.headers["anthropic-workspace-id"] == "wrkspc_default"
    clock.at += timedelta(seconds=49)
    assert create(server).headers["retry-after"] == "1"
    clock.at += timedelta(seconds=1)
    assert create(server).headers[f"{FAMILY}-remaining"] == "2"
    assert len(read(server).json()["data"]) == 4


def test_reads_and_creates_are_counted_apart_and_sends_not_at_all(server):
    session = server.new_session()
    assert create(server).status_code == 429
    for _ in range(5):
        assert read(server).status_code == 200
    check(read(server), 429, "rate_limit_error", "5 read requests")
    for _ in range(10):
        sent = server.say(session, "hello")
        assert sent["type"] == "user.message"


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/v1/sessions/sesn_00000000000000000000000000", "create"),
        ("POST", "/v1/sessions/sesn_00000000000000000000000000/archive", "create"),
        ("DELETE", "/v1/sessions/sesn_00000000000000000000000000", "create"),
        ("GET", "/v1/sessions/sesn_00000000000000000000000000/events", "read"),
        ("GET", "/v1/sessions/sesn_00000000000000000000000000", "read"),
    ],
)
def test_a_refused_request_counts_too(server, method, path, kind):
    limit = LIMITS[f"{kind}_requests_per_minute"]
    for left in range(limit, 0, -1):
        answer = server.request(method, path)
        assert answer.status_code == 404
        assert answer.headers[f"{FAMILY}-remaining"] == str(left - 1)
    assert server.request(method, path).status_code == 429


def test_a_stranger_s_requests_are_not_counted(server):
    for _ in range(5):
        answer = create(server, key="wrong")
        check(answer, 401, "authentication_error")
        assert f"{FAMILY}-limit" not in answer.headers
    assert create(server).headers[f"{FAMILY}-remaining"] == "2"


def test_a_stream_over_the_limit_is_refused_and_says_when(tmp_path, clock):
    with server_in_thread(tmp_path, settings=LIMITS, clock=clock) as server:
        session = server.new_session()
        for _ in range(5):
            with open_stream(server, session) as stream:
                assert stream.status == 200
        with open_stream(server, session) as stream:
            assert stream.status == 429
            assert stream.headers["retry-after"] == "50"
            assert stream.headers[f"{FAMILY}-remaining"] == "0"
            assert stream.body()["error"]["type"] == "rate_limit_error"


def test_a_ticket_counts_as_a_create(server):
    for _ in range(3):
        assert server.request("POST", "/v1/ws-tickets").status_code == 200
    check(server.request("POST", "/v1/ws-tickets"), 429, "rate_limit_error", "3 create requests")


def test_each_workspace_has_its_own_allowance(server):
    for _ in range(3):
        create(server)
    assert create(server).status_code == 429
    other = create_key(server.app.records, "other")
    assert create(server, key=other).status_code == 200


def test_the_sdk_waits_as_it_is_told(server):
    client = server.client()
    for _ in range(3):
        client.beta.agents.create(**AGENT)
    with pytest.raises(anthropic.RateLimitError) as refused:
        client.beta.agents.create(**AGENT)
    assert refused.value.response.headers["retry-after"] == "50"


def test_without_a_setting_nothing_is_counted(tmp_path):
    with server_in_process(tmp_path) as server:
        for _ in range(20):
            answer = create(server)
            assert answer.status_code == 200
            assert not [name for name in answer.headers if "ratelimit" in name]
        assert server.app.records.query("wrkspc_default/limits").items == ()


def test_the_operator_sets_it_in_the_environment(tmp_path):
    environment = {"FREEHOLD_READ_REQUESTS_PER_MINUTE": "10000"}
    with server_process(tmp_path, sandbox="none", environment=environment) as server:
        session = server.new_session()
        before = int(read(server).headers[f"{FAMILY}-remaining"])
        with open_stream(server, session) as stream:
            assert stream.headers[f"{FAMILY}-limit"] == "10000"
            assert int(stream.headers[f"{FAMILY}-remaining"]) in (before - 1, 9999)
        assert f"{FAMILY}-limit" not in create(server).headers


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_limit_that_is_none_is_refused_by_the_variable_s_name(value):
    from pydantic import ValidationError

    from freehold.settings import explain

    with pytest.raises(ValidationError) as wrong:
        Settings.from_environment({"FREEHOLD_CREATE_REQUESTS_PER_MINUTE": value})
    assert "FREEHOLD_CREATE_REQUESTS_PER_MINUTE" in explain(wrong.value)


# ---------------------------------------------------------------- several processes
def test_processes_share_one_allowance_exactly(tmp_path, clock):
    """Two stores on one file, as two processes have; every thread takes what it can."""
    stores = [SqliteRecords(tmp_path / "db") for _ in range(2)]
    apps = [
        replace(app_on(store, tmp_path, create_requests_per_minute=25), clock=clock)
        for store in stores
    ]
    granted = []

    def take(app):
        while not (allowance := count_request(app, CALLER, "create")).is_exceeded:
            granted.append(allowance)

    threads = [threading.Thread(target=take, args=(app,)) for app in apps * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert len(granted) == 25


def test_a_count_that_moved_under_the_request_is_read_again(tmp_path, clock):
    store = SqliteRecords(":memory:")
    between = Interloper(store)
    app = replace(app_on(between, tmp_path, create_requests_per_minute=2), clock=clock)
    plain = replace(app, records=store)
    between.act = lambda: count_request(plain, CALLER, "create")
    assert count_request(app, CALLER, "create").remaining == 0
    assert count_request(app, CALLER, "create").is_exceeded
    assert count_request(app, STRANGER, "create").remaining == 1
    clock.at += timedelta(minutes=1)
    between.act = lambda: count_request(plain, CALLER, "create")
    assert count_request(app, CALLER, "create").remaining == 0
    store.close()


def test_a_clock_that_is_behind_does_not_open_the_minute_again(tmp_path, clock):
    store = SqliteRecords(":memory:")
    app = replace(app_on(store, tmp_path, create_requests_per_minute=1), clock=clock)
    clock.at += timedelta(minutes=1)
    count_request(app, CALLER, "create")
    clock.at = START
    assert count_request(app, CALLER, "create").is_exceeded
    store.close()


def test_a_clock_that_was_wrong_refuses_nobody_once_it_is_right(tmp_path, clock):
    store = SqliteRecords(":memory:")
    app = replace(app_on(store, tmp_path, create_requests_per_minute=1), clock=clock)
    clock.at += timedelta(hours=3)
    count_request(app, CALLER, "create")
    assert count_request(app, CALLER, "create").is_exceeded
    clock.at = START
    allowance = count_request(app, CALLER, "create")
    assert not allowance.is_exceeded
    assert allowance.reset - START <= timedelta(minutes=1)
    assert count_request(app, CALLER, "create").is_exceeded
    store.close()


def test_a_count_whose_answer_was_lost_refuses_nobody(tmp_path, clock):
    store = SqliteRecords(":memory:")
    faulty = FaultyRecords(store, {("write", 1): Fault.UNANSWERED})
    app = replace(app_on(faulty, tmp_path, create_requests_per_minute=2), clock=clock)
    assert not count_request(app, CALLER, "create").is_exceeded
    assert count_request(app, CALLER, "create").remaining == 0
    store.close()


def test_one_item_counts_for_ever(tmp_path, clock):
    store = SqliteRecords(":memory:")
    app = replace(app_on(store, tmp_path, create_requests_per_minute=2), clock=clock)
    for _ in range(5):
        count_request(app, CALLER, "create")
        clock.at += timedelta(minutes=3)
    assert len(store.query(f"{CALLER.workspace_id}/limits").items) == 1
    store.close()
