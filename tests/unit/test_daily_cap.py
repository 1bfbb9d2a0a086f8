"""The operator's cap on a workspace's day: what pauses at it, what it says, and what goes on."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import ValidationError

from freehold import keys
from freehold.engine.day_spend import spent_on
from freehold.ids import now
from freehold.money import DOLLAR
from freehold.ports import Write
from freehold.settings import Settings, explain
from freehold.testing.script import script
from tests.protocol.sessions import seed_session
from tests.unit.sessions import Bench

CALL = script({"tool": "bash", "input": {"command": "x"}}, {"say": "Done."})
LITTLE = "0.01"


@pytest.fixture
def bench(tmp_path):
    """A session of a workspace with a cap that is nearly spent."""
    bench = Bench(tmp_path, workspace_daily_cap=LITTLE)
    place = keys.day_spend(bench.key.workspace_id, now().date().isoformat(), 3)
    bench.records.write([Write(place, add={"spend": DOLLAR // 100 - 1})])
    return bench


def retimed(bench, days=0, **settings):
    """Another day, or another cap."""
    given = bench.app.settings.model_copy(update=settings)
    bench.app = replace(
        bench.app, settings=given, clock=lambda: now() + timedelta(days=days, hours=0)
    )


def test_what_a_session_spends_is_booked_on_the_day_of_its_workspace(tmp_path):
    bench = Bench(tmp_path, workspace_daily_cap="50")
    bench.say("Hello.")
    session = bench.snapshot.session
    assert session.spend > session.active_us * session.time_rate > 0
    assert spent_on(bench.app, bench.key.workspace_id, now()) == session.spend
    assert spent_on(bench.app, bench.key.workspace_id, now() + timedelta(days=1)) == 0
    assert spent_on(bench.app, "wrkspc_other", now()) == 0


def test_without_a_cap_no_row_is_written(tmp_path):
    bench = Bench(tmp_path)
    bench.say("Hello.")
    assert bench.records.due("expire/") == ()


def test_sessions_share_their_rows_out(tmp_path):
    bench = Bench(tmp_path, workspace_daily_cap="50")
    for _ in range(20):
        bench.key, bench.caller = seed_session(bench.app)
        bench.thread_id = bench.app.log.read(bench.key).session.primary_id
        bench.say("Hello.")
    partition = keys.day_spend(bench.key.workspace_id, now().date().isoformat(), 0).pk
    assert len(bench.records.query(partition).items) > 4


def test_at_the_cap_a_turn_pauses_before_its_next_request_and_says_so(bench):
    bench.say(CALL)
    assert len(bench.model.requests) == 1
    *_, error, thread, usage, idle = bench.events
    assert error["type"] == "session.error"
    assert (error["error"]["type"], error["error"]["retry_status"]["type"]) == (
        "billing_error",
        "retrying",
    )
    assert re.search(
        r"cap of \$0\.01 a day.* at \d{4}-\d\d-\d\dT00:00:00", error["error"]["message"]
    )
    assert (thread["stop_reason"]["type"], usage["budget"]) == ("budget_reached", None)
    assert idle["stop_reason"]["type"] == "budget_reached"
    assert bench.head.status == "budget_reached"


@pytest.mark.parametrize("change", [{"days": 1}, {"workspace_daily_cap": DOLLAR}], ids=str)
def test_another_day_or_a_higher_cap_resumes_what_paused(bench, change):
    bench.say(CALL)
    bench.sweep()
    bench.runs.drain(bench.app)
    assert len(bench.model.requests) == 1  # neither
    retimed(bench, **change)
    bench.sweep()
    bench.runs.drain(bench.app)
    assert bench.kinds()[-1] == "session.status_idle"
    assert bench.events[-1]["stop_reason"]["type"] == "end_turn"
    assert (bench.head.status, bench.snapshot.session.paused_day) == ("idle", None)
    assert bench.records.due("day/") == ()


def test_a_session_at_its_own_cap_stays_paused_when_the_day_is_over(bench):
    bench.say(CALL)
    bench.records.write([Write(bench.key.state(), set={"cap": 1})])
    retimed(bench, days=1)
    bench.sweep()
    assert bench.runs.waiting == []
    assert (bench.head.status, bench.snapshot.session.paused_day) == ("budget_reached", None)


def test_every_session_of_the_workspace_pauses_and_no_other(bench):
    bench.say(CALL)
    bench.key, bench.caller = seed_session(bench.app)
    bench.thread_id = bench.app.log.read(bench.key).session.primary_id
    bench.say("Hello.")
    assert len(bench.model.requests) == 1
    assert bench.head.status == "budget_reached"


def test_rows_of_a_day_go_when_they_are_old(bench):
    bench.say("Hello.")
    retimed(bench, days=30)
    bench.sweep()
    assert len(bench.records.due("expire/")) == 1
    retimed(bench, days=40)
    bench.sweep()
    assert bench.records.due("expire/") == ()


@pytest.mark.parametrize("wrong", ["0", "0.00", "-1", "1.005", "5 USD", "1e3", "nan"])
def test_a_cap_that_is_no_amount_is_refused(wrong):
    with pytest.raises(ValidationError) as error:
        Settings.from_environment({"FREEHOLD_WORKSPACE_DAILY_CAP": wrong})
    assert explain(error.value).startswith("FREEHOLD_WORKSPACE_DAILY_CAP: must be an amount")


def test_a_cap_is_read_exactly():
    given = Settings.from_environment({"FREEHOLD_WORKSPACE_DAILY_CAP": "12.50"})
    assert given.workspace_daily_cap == 25 * DOLLAR // 2
