"""Stops, time, children and ends, state by state."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freehold.domain import append
from freehold.errors import InvalidRequest
from tests.protocol.plans import (
    begin_turn,
    fail_turn,
    finish_tools,
    finish_turn,
    in_model,
    interrupt,
    parked,
    send,
)
from tests.protocol.stage import (
    INTERRUPT,
    MESSAGE,
    Stage,
    text_reply,
    tool_reply,
    use,
)


# ---------------------------------------------------------------- many threads
def visit(stage, n):
    draft = stage.draft(n)
    append.finish_todo(draft, stage.threads[n])
    return draft


def test_each_thread_of_an_interrupt_is_visited_and_the_last_clears_the_mark(tmp_path):
    stage = parked(Stage(tmp_path, children=2), use("ask"), n=1)
    parked(stage, use("ask"), n=2).session(gen=1, todo=True)
    stage.commit(visit(stage, 1))
    assert stage.read().session.todo
    assert stage.read().heads[stage.threads[1]].status == "idle"
    stage.commit(visit(stage, 2))
    assert not stage.read().session.todo
    assert stage.store.due("todo/") == ()
    assert stage.read().session.asks == 0


def test_a_raised_cap_starts_paused_threads_one_by_one(tmp_path):
    stage = Stage(tmp_path, children=1).head(status="budget_reached", pending=(MESSAGE,))
    stage.head(1, status="budget_reached", pending=(MESSAGE,))
    stage.session(cap=2, spend=1, todo=True)
    stage.commit(visit(stage, 0))
    assert stage.read().session.todo
    stage.commit(visit(stage, 1))
    assert not stage.read().session.todo
    assert stage.read().session.running == 2


def test_a_visit_leaves_alone_what_the_operation_does_not_concern(tmp_path):
    stage = parked(Stage(tmp_path, children=1), use("ask"), n=1)
    stage.head(1, gen=1).session(gen=1, todo=True, cap=1, spend=1)
    stage.head(status="budget_reached")
    stage.commit(visit(stage, 1))
    stage.session(todo=True)
    stage.commit(visit(stage, 0))
    after = stage.read()
    assert after.heads[stage.threads[1]].status == "requires_action"
    assert after.primary.status == "budget_reached"
    assert not after.session.todo


def test_a_childs_end_reports_and_wakes_an_idle_parent_before_the_count_falls(tmp_path):
    stage = in_model(Stage(tmp_path, children=1), 1)
    _, draft = finish_turn(stage, replace(text_reply("Found it."), text="Found it."), n=1)
    assert stage.kinds(draft) == [
        "session.thread_status_idle",
        "agent.thread_message_received",
        "session.thread_status_running",
    ]
    report = stage.events(draft, "agent.thread_message_received")[0]
    assert report["content"][0]["text"] == "Found it."
    assert report["from_session_thread_id"] == stage.threads[1]
    stage.commit(draft)
    after = stage.read()
    assert (after.session.running, after.primary.status) == (1, "running")
    assert [p.type for p in after.primary.pending] == ["agent.thread_message_received"]
    assert after.primary.pending[0].seq == 2


@pytest.mark.parametrize("parent", ["requires_action", "running"])
def test_a_report_waits_where_the_parent_cannot_read_it_yet(tmp_path, parent):
    stage = Stage(tmp_path, children=1)
    if parent == "running":
        stage.running(pending=())
    else:
        parked(stage, use("ask"))
    in_model(stage, 1)
    _, draft = finish_turn(stage, replace(text_reply(), text="Done."), n=1)
    assert draft.primary.status == parent
    assert len(draft.primary.pending) == 1
    idle = [e for e in stage.kinds(draft) if e == "session.status_idle"]
    assert len(idle) == (parent == "requires_action")


def test_a_child_that_was_interrupted_or_asks_reports_nothing(tmp_path):
    stage = in_model(Stage(tmp_path, children=1), 1)
    _, draft = finish_turn(stage, tool_reply("ask"), n=1)
    assert draft.primary.pending == ()
    stage.session(gen=1)
    _, draft = finish_turn(stage, replace(text_reply(), text="Done."), n=1)
    assert draft.primary.pending == ()


def test_what_a_child_asks_is_shown_on_the_primary_feed_too(tmp_path):
    stage = in_model(Stage(tmp_path, children=1), 1)
    _, draft = finish_turn(stage, tool_reply("ask", "allow"), n=1)
    shown = stage.events(draft, "agent.tool_use")
    own = stage.events(draft, "agent.tool_use", 1)
    assert [e["id"] for e in shown] == [own[0]["id"]]
    assert shown[0]["session_thread_id"] == stage.threads[1]
    assert "session_thread_id" not in own[0]
    _, draft = finish_turn(in_model(Stage(tmp_path)), tool_reply("ask"))
    assert len(stage.events(draft, "agent.tool_use")) == 0


def test_a_child_is_born_running_with_its_task(tmp_path):
    stage = in_model(Stage(tmp_path))
    _, draft = finish_turn(stage, text_reply(children=(("helper", "Look."),)))
    created = stage.events(draft, "session.thread_created")[0]
    assert created["agent_name"] == "helper"
    stage.commit(draft)
    after = stage.read()
    child = after.heads[created["session_thread_id"]]
    assert (child.status, child.parent_id) == ("running", stage.threads[0])
    assert len(child.pending) == 1
    assert (after.session.threads, after.session.running) == (2, 1)
    assert after.primary.status == "idle"


# ---------------------------------------------------------------- stops, time, the end
def test_a_stop_closes_what_is_open_in_order(tmp_path):
    stage = Stage(tmp_path).running(
        pending=(MESSAGE, INTERRUPT, MESSAGE), uses=(use("started"), use("done")), span="sevt_span"
    )
    stage.head(taken=("sevt_read",))
    _, draft = finish_tools(stage.claimed(), cancelled=True)
    kinds = stage.kinds(draft)
    assert kinds == [
        "span.model_request_end",
        "agent.tool_result",
        INTERRUPT,
        "session.thread_status_idle",
        "session.usage",
        "session.status_idle",
        "session.status_running",
        "session.thread_status_running",
    ]
    private = draft.entries()[0].private
    assert (private["interrupted"], private["period"]) == (0, 0)
    stage.commit(draft)
    head, session = stage.read().primary, stage.read().session
    assert (head.span, head.uses, head.taken) == (None, (), ())
    assert [p.type for p in head.pending] == [MESSAGE, MESSAGE]
    assert (head.epoch, head.leg, head.status) == (1, 0, "running")
    assert session.running == 1
    assert head.running_since == session.running_since == draft.at
    assert head.active_us == session.active_us == 10_000_000


def test_a_stop_beside_a_running_thread_tells_nothing_of_the_session(tmp_path):
    stage = in_model(Stage(tmp_path, children=1), pending=(INTERRUPT, MESSAGE)).running(1)
    _, draft = finish_turn(stage)
    kinds = stage.kinds(draft)
    assert kinds[-2:] == ["session.thread_status_idle", "session.thread_status_running"]
    assert "session.status_idle" not in kinds
    stage.commit(draft)
    assert stage.read().session.running == 2
    assert (stage.read().primary.retries, stage.read().primary.rounds) == (0, 0)


def test_a_stop_of_a_parked_thread_goes_on_with_its_queue(tmp_path):
    asked = use("ask")
    stage = parked(Stage(tmp_path), asked).head(pending=(MESSAGE,))
    _, draft = send(stage, interrupt())
    assert stage.kinds(draft) == [
        INTERRUPT,
        "agent.tool_result",
        INTERRUPT,
        "session.thread_status_idle",
        "session.usage",
        "session.status_idle",
        "session.status_running",
        "session.thread_status_running",
    ]
    stage.commit(draft)
    head, session = stage.read().primary, stage.read().session
    assert (head.status, head.epoch) == ("running", 2)
    assert (session.running, session.asks, session.asked) == (1, 0, ())


def test_a_stop_of_one_parked_thread_leaves_the_calls_of_another(tmp_path):
    mine, other = use("ask"), use("ask")
    stage = parked(Stage(tmp_path, children=1), mine)
    parked(stage, other, n=1)
    _, draft = send(stage, interrupt(stage.threads[0]))
    reason = stage.events(draft, "session.status_idle")[0]["stop_reason"]
    assert reason == {"type": "requires_action", "event_ids": [other.event_id]}
    stage.commit(draft)
    assert stage.read().session.asked == (other.event_id,)
    assert stage.read().session.asks == 1


def test_a_settled_thread_has_booked_its_time_and_the_last_one_the_sessions(tmp_path):
    stage = in_model(Stage(tmp_path, children=1)).running(1)
    _, draft = finish_turn(stage)
    stage.commit(draft)
    after = stage.read()
    assert (after.primary.active_us, after.primary.running_since) == (10_000_000, None)
    assert (after.session.active_us, after.session.threads_active_us) == (0, 10_000_000)
    assert after.session.running_since is not None
    stage.claimed(n=1).head(1, pending=(), taken=("sevt_read",), span="sevt_span")
    stage.head(status="requires_action")
    _, draft = finish_turn(stage, n=1)
    stage.commit(draft)
    after = stage.read()
    assert (after.session.active_us, after.session.threads_active_us) == (10_000_000, 20_000_000)
    assert after.session.running_since is None
    usage = stage.events(draft, "session.usage")[0]["usage"]
    assert usage["active_seconds"] == 10.0


def test_a_session_that_idles_at_its_cap_says_so_whatever_the_thread_says(tmp_path):
    stage = in_model(Stage(tmp_path))
    stage.session(cap=5, spend=4)
    _, draft = finish_turn(stage, text_reply(cost=1))
    own = stage.events(draft, "session.thread_status_idle")[0]["stop_reason"]
    assert own == {"type": "end_turn"}
    assert stage.events(draft, "session.status_idle")[0]["stop_reason"]["type"] == "budget_reached"


def test_a_thread_that_pauses_beside_others_tells_the_usage(tmp_path):
    stage = Stage(tmp_path, children=1).running(1).running()
    stage.session(cap=5, spend=5)
    answer_, draft = begin_turn(stage, 1)
    assert answer_ == "idle"
    told = ["session.thread_status_idle", "session.usage"]
    assert stage.kinds(draft) == told
    assert stage.kinds(draft, 1) == told[:1]
    stage.commit(draft)
    assert stage.read().session.running == 1
    _, draft = begin_turn(stage)
    assert stage.kinds(draft) == [*told, "session.status_idle"]


def test_an_archived_session_waits_for_no_day(tmp_path):
    stage = Stage(tmp_path).head(status="budget_reached")
    stage.session(paused_day="2030-01-01", due="day/2030-01-01")
    draft = stage.draft()
    append.archive_session(draft)
    stage.commit(draft)
    assert stage.store.due("day/") == ()


def test_archiving_ends_every_thread_and_what_waits_stays_unprocessed(tmp_path):
    stage = parked(Stage(tmp_path, children=1), use("ask"), n=1).head(1, pending=(MESSAGE,))
    draft = stage.draft()
    append.archive_session(draft)
    ends = ["session.thread_status_terminated"]
    assert stage.kinds(draft) == [*ends, *ends, "session.status_terminated"]
    assert stage.kinds(draft, 1) == ends
    stage.commit(draft)
    after = stage.read()
    for head in after.heads.values():
        assert (head.status, head.uses) == ("terminated", ())
        assert head.archived_at == draft.at
    queued = [pending.event_id for head in after.heads.values() for pending in head.pending]
    assert queued == list(stage.bodies)
    assert (after.session.asks, after.session.asked) == (0, ())
    assert after.session.archived_at == draft.at


@pytest.mark.parametrize("status", ["running", "rescheduling"])
def test_nothing_that_runs_is_archived_or_deleted(tmp_path, status):
    stage = Stage(tmp_path).running(status=status)
    with pytest.raises(InvalidRequest, match="while it is running"):
        append.archive_session(stage.draft())
    with pytest.raises(InvalidRequest, match="while it is running"):
        append.delete_session(stage.draft(), stage.key.index())


def test_a_deleted_session_is_dead_its_runs_are_stale_and_its_purge_is_due(tmp_path):
    stage = Stage(tmp_path)
    draft = stage.draft()
    append.delete_session(draft, stage.key.index())
    assert stage.kinds(draft) == ["session.deleted"]
    stage.commit(draft)
    assert stage.read().session.dead
    assert stage.read().primary.epoch == 1
    assert stage.store.due("purge/") == (stage.key.state(),)
    assert stage.store.get([stage.key.index()]) == [None]


def test_what_runs_is_due_and_what_rests_is_not(tmp_path):
    stage = in_model(Stage(tmp_path))
    place = stage.key.head(stage.threads[0])
    assert stage.store.due("busy/") == (place,)
    _, draft = fail_turn(stage)
    stage.commit(draft)
    assert stage.store.due("busy/") == (place,)
    _, draft = send(stage, interrupt())
    stage.commit(draft)
    assert stage.store.due("busy/") == ()


def test_clocks_that_step_back_neither_repeat_a_stamp_nor_take_time_away(tmp_path):
    ahead = "2031-01-01T00:00:00.000000Z"
    stage = in_model(Stage(tmp_path), last_at=ahead, running_since=ahead)
    stage.session(running_since=ahead)
    _, draft = finish_turn(stage)
    stamps = [e.processed_at for e in draft.entries()[0].events]
    assert stamps == sorted(set(stamps))
    assert min(stamps) > ahead
    stage.commit(draft)
    assert stage.read().primary.active_us == 0
