"""Query strings: read whole or refused by the parameter's name."""

from __future__ import annotations

import pytest

from freehold.errors import InvalidRequest
from freehold.wire.agents import AgentList
from freehold.wire.lists import EventList, EventStream, ThreadList
from freehold.wire.sessions import SessionList


def query_refusal(model, *params):
    with pytest.raises(InvalidRequest) as refused:
        model.from_query(params)
    return refused.value.message


@pytest.mark.parametrize(
    ("model", "params", "named"),
    [
        (EventList, [("limit", "0")], "limit"),
        (EventList, [("limit", "1001")], "limit"),
        (EventList, [("limit", "1e2")], "limit"),
        (EventList, [("limit", "+5")], "limit"),
        (EventList, [("limit", "٣")], "limit"),
        (EventList, [("limit", "")], "limit"),
        (EventList, [("limit", "9" * 5000)], "limit"),
        (EventList, [("limit", "1"), ("limit", "1")], "limit"),
        (EventList, [("order", "up")], "order"),
        (EventList, [("types", "user.message")], "types"),
        (EventList, [("types[]", "session.deleted")], "types"),
        (EventList, [("types[]", "event_delta")], "types"),
        (EventList, [("created_at[gte]", "2026-01-01")], "created_at[gte]"),
        (EventList, [("created_at[gte]", "2026-01-01T00:00:00")], "created_at[gte]"),
        (EventList, [("created_at[gte]", "2026-13-01T00:00:00Z")], "created_at[gte]"),
        (EventList, [("created_at_gte", "2026-01-01T00:00:00Z")], "created_at_gte"),
        (AgentList, [("created_at[gt]", "2026-01-01T00:00:00Z")], "created_at[gt]"),
        (AgentList, [("include_archived", "1")], "include_archived"),
        (SessionList, [("agent_version", "2")], "agent_version"),
        (SessionList, [("statuses[]", "idle"), ("statuses[]", "done")], "statuses"),
        (ThreadList, [("order", "asc")], "order"),
        (EventStream, [("event_deltas[]", "agent.tool_use")], "event_deltas"),
        (EventStream, [("event_deltas[]", "agent.message")] * 101, "event_deltas"),
    ],
)
def test_a_parameter_that_is_not_understood_is_refused_by_name(model, params, named):
    assert named in query_refusal(model, *params)


def test_a_query_is_read_whole():
    query = EventList.from_query(
        [
            ("beta", "true"),
            ("types[]", "user.message"),
            ("types[]", "agent.message"),
            ("created_at[gt]", "2026-01-01T02:00:00.1234567+02:00"),
            ("limit", "7"),
            ("order", "desc"),
            ("page", "cursor"),
        ]
    )
    assert query == EventList(
        types=["user.message", "agent.message"],
        created_at_gt="2026-01-01T00:00:00.123456Z",
        limit=7,
        order="desc",
        page="cursor",
    )
    assert EventList.from_query([]) == EventList(limit=1000, order="asc")


def test_events_are_filtered_by_type_and_time():
    def event(kind, at):
        return {"type": kind, "processed_at": at}

    at = "2026-01-01T00:00:00.000000Z"
    assert EventList(types=["agent.message"]).admits(event("agent.message", at))
    assert not EventList(types=["agent.message"]).admits(event("user.message", at))
    for bound, admitted in (("gt", False), ("gte", True), ("lt", False), ("lte", True)):
        query = EventList(**{f"created_at_{bound}": at})
        assert query.admits(event("agent.message", at)) is admitted
        assert not query.admits(event("user.message", None))
    assert EventList().admits(event("user.message", None))
