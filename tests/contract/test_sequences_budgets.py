"""Budgets and list cost (BEHAVIOUR 7.10, 10), each sentence through the official SDK, strict, in
process and over HTTP.

A token of the model's reply costs a dollar here and all else nothing, so that one reply crosses any
of these caps.
"""

from __future__ import annotations

import json
from contextlib import contextmanager

import anthropic
import pytest

from freehold.list_prices import own_prices, shipped_prices
from tests.contract.conversations import (
    ASKING,
    INTERRUPT,
    LOOKUP,
    RUNNING,
    WORLDS,
    call,
    conversation,
    idle,
    place,
    request,
    says,
)
from tests.contract.test_sdk import MODEL, new_session, when_idle

FREE = dict.fromkeys(("input", "cache_read", "cache_write_5m", "cache_write_1h"), "0")
OWN = {
    "source": "a test",
    "date": "2026-11-21",
    "session_hour": "0",
    "models": {MODEL: {**FREE, "output": "1000000"}},
}
PRICES = shipped_prices().with_own(own_prices(json.dumps(OWN)))
SETTLING = (
    "only `user.tool_confirmation`, `user.custom_tool_result`, `user.tool_result`, and"
    " `user.interrupt` are accepted"
)
PAUSED = idle("budget_reached")
CROSSED = [
    *RUNNING,
    "user.message",
    *request("agent.tool_use bash allow"),
    "agent.tool_result bash",
    *PAUSED,
]


def limit(cents):
    return {"type": "limit", "max_list_cost": {"amount": str(cents), "currency": "USD"}}


@pytest.fixture(scope="module", params=WORLDS)
def somewhere(request, tmp_path_factory):
    with place(request.param, tmp_path_factory.mktemp("budgets"), prices=PRICES) as found:
        yield found


@contextmanager
def capped(somewhere, cents=100, **given):
    with conversation(somewhere, budget=limit(cents), **given) as talk:
        yield talk


@contextmanager
def paused(somewhere):
    """A session in the middle of a turn, at its cap."""
    with capped(somewhere) as talk:
        talk.send(says(call("bash", command="one"), {"say": "Done."}))
        assert talk.when_idle() == CROSSED
        yield talk


def update(talk, budget):
    return talk.client.beta.sessions.update(talk.session_id, budget=budget)


def refusal(act, *given, **fields):
    """The error of the 400 that a request meets."""
    with pytest.raises(anthropic.BadRequestError) as refused:
        act(*given, **fields)
    error = refused.value.body["error"]
    assert error["type"] == "invalid_request_error"
    return error


def spent(talk):
    return int(talk.client.beta.sessions.retrieve(talk.session_id).usage.list_cost.amount)


def events_of(talk, kind):
    return [event for event in talk.events() if event.type == kind]


# ---------------------------------------------------------------- creation
@pytest.mark.parametrize(
    ("budget", "names"),
    [
        ({"type": "limit"}, "budget.max_list_cost"),
        ({"max_list_cost": limit(1)["max_list_cost"]}, "budget.type"),
        ({**limit(1), "type": "soft"}, "budget.type"),
        ({**limit(1), "max_tokens": 1}, 'unknown field "budget.max_tokens"'),
        (limit(0), "budget.max_list_cost.amount"),
        (limit("01"), "budget.max_list_cost.amount"),
        (limit("1.5"), "budget.max_list_cost.amount"),
        (limit("-1"), "budget.max_list_cost.amount"),
        (limit("1\n"), "budget.max_list_cost.amount"),
        (limit(""), "budget.max_list_cost.amount"),
        (limit("1" * 16), "budget.max_list_cost.amount"),
        ({"type": "limit", "max_list_cost": {"amount": 1, "currency": "USD"}}, "amount"),
        ({"type": "limit", "max_list_cost": {"amount": "1", "currency": "EUR"}}, "currency"),
        ({"type": "limit", "max_list_cost": {"amount": "1"}}, "currency"),
    ],
    ids=str,
)
def test_a_budget_that_is_none_is_refused_by_its_field(somewhere, budget, names):
    client = somewhere.server.client()
    assert names in refusal(new_session, client, budget=budget)["message"]


def test_a_budget_is_shown_as_it_was_set_and_an_uncapped_session_has_none(somewhere):
    client = somewhere.server.client()
    session = new_session(client, budget=limit(2500))
    assert client.beta.sessions.retrieve(session.id).budget == session.budget
    assert (session.budget.type, session.budget.max_list_cost.amount) == ("limit", "2500")
    assert session.budget.max_list_cost.currency == "USD"
    assert new_session(client).budget is None


def test_a_model_without_a_list_price_cannot_have_a_budget(somewhere):
    client = somewhere.server.client()
    agent = client.beta.agents.create(name="a", model="claude-nobody-9")
    environment = client.beta.environments.create(name="unpriced-" + somewhere.server.url[-12:])
    given = {"agent": agent.id, "environment_id": environment.id}
    error = refusal(client.beta.sessions.create, **given, budget=limit(1))
    assert error["details"] == {"error_code": "model_not_budgetable"}
    assert "no list price is available for the model claude-nobody-9" in error["message"]
    assert client.beta.sessions.create(**given).budget is None
    fast = {"id": "claude-sonnet-5", "speed": "fast"}
    with_speed = {"type": "agent_with_overrides", "id": agent.id, "model": fast}
    error = refusal(
        client.beta.sessions.create,
        agent=with_speed,
        environment_id=environment.id,
        budget=limit(1),
    )
    assert "claude-sonnet-5 at speed fast" in error["message"]


# ---------------------------------------------------------------- changes
def test_a_budget_is_not_added_later(somewhere):
    with conversation(somewhere) as talk:
        error = refusal(update, talk, limit(5))
        assert error["details"] == {"error_code": "budget_create_only"}
        assert update(talk, None).budget is None
        assert talk.events() == []


def test_a_removed_budget_is_not_added_again(somewhere):
    with capped(somewhere) as talk:
        assert update(talk, None).budget is None
        (told,) = talk.events()
        assert told.to_dict().keys() == {"id", "type", "budget", "processed_at"}
        assert (told.type, told.budget) == ("session.updated", None)
        assert refusal(update, talk, limit(5))["details"]["error_code"] == "budget_create_only"


def test_a_budget_may_be_lowered_and_the_same_again_says_nothing(somewhere):
    with capped(somewhere, 500) as talk:
        assert update(talk, limit(40)).budget.max_list_cost.amount == "40"
        assert update(talk, limit(40)).budget.max_list_cost.amount == "40"
        (told,) = talk.events()
        assert told.budget.max_list_cost.amount == "40"


def test_a_new_budget_must_be_more_than_what_was_consumed(somewhere):
    with paused(somewhere) as talk:
        at_cap = spent(talk)
        for cents in (1, 100, at_cap):
            error = refusal(update, talk, limit(cents))
            assert error["details"] == {"error_code": "budget_not_raised"}
            words = "budget.max_list_cost must be greater than the session's consumed list cost"
            assert words in error["message"]
        assert talk.told() == CROSSED
        assert update(talk, limit(at_cap + 1)).budget.max_list_cost.amount == str(at_cap + 1)


def test_a_budget_changes_beside_other_fields_or_not_at_all(somewhere):
    with paused(somewhere) as talk:
        change = talk.client.beta.sessions.update
        refusal(change, talk.session_id, title="Never", budget=limit(1))
        session = change(talk.session_id, title="Now", budget=None)
        assert (session.title, session.budget) == ("Now", None)
        told = talk.when("session.updated")
        assert (told.title, told.budget) == ("Now", None)
        talk.when_idle(2)


def test_an_archived_session_has_its_budget_for_good(somewhere):
    with capped(somewhere) as talk:
        talk.client.beta.sessions.archive(talk.session_id)
        assert "archived" in refusal(update, talk, limit(500))["message"]


def test_the_budget_of_a_running_session_is_changed(somewhere):
    with capped(somewhere) as talk:
        talk.send(says(call("bash", command="wait"), {"say": "Done."}))
        assert talk.place.sandbox.waiting.wait(20)
        assert update(talk, limit(10**6)).status == "running"
        talk.place.sandbox.go.set()
        assert talk.when_idle()[-3:] == idle()
        assert "session.updated" in talk.told()


# ---------------------------------------------------------------- 7.10
def test_a_turn_pauses_before_the_next_request_and_a_raise_resumes_it(somewhere):
    with paused(somewhere) as talk:
        assert len(talk.requests) == 1
        cost = spent(talk)
        (usage,) = events_of(talk, "session.usage")
        assert usage.usage.list_cost.amount == str(cost)
        assert usage.budget.max_list_cost.amount == "100"
        assert cost > 100
        session = update(talk, limit(cost + 1))
        assert session.status in ("running", "idle")
        # The next request crosses the new cap, and finishes the turn.
        assert talk.when_idle(2) == [
            *CROSSED,
            "session.updated",
            *RUNNING,
            *request("agent.message"),
            idle()[0],
            *PAUSED[1:],
        ]
        assert talk.when("session.updated").budget.max_list_cost.amount == str(cost + 1)
        assert spent(talk) > cost + 1


def test_a_removal_resumes_the_turn(somewhere):
    with paused(somewhere) as talk:
        update(talk, None)
        resumed = ["session.updated", *RUNNING, *request("agent.message"), *idle()]
        assert talk.when_idle(2) == [*CROSSED, *resumed]
        assert events_of(talk, "session.usage")[-1].budget is None


def test_a_turn_that_crosses_and_finishes_says_end_turn(somewhere):
    with capped(somewhere) as talk:
        talk.send(says({"say": "Hello."}))
        done = [*RUNNING, "user.message", *request("agent.message"), idle()[0], *PAUSED[1:]]
        assert talk.when_idle() == done
        assert SETTLING in talk.refused(says({"say": "More."}))
        update(talk, limit(spent(talk) + 1000))
        assert talk.told() == [*done, "session.updated"]  # nothing was paused
        talk.send(says({"say": "More."}))
        answered = [*RUNNING, "user.message", *request("agent.message"), *idle()]
        talk.when_idle(2)
        assert talk.told()[:-2] == [*done, "session.updated", *answered][:-2]


def test_what_a_session_at_its_cap_takes(somewhere):
    with paused(somewhere) as talk:
        for refused in (
            [says({"say": "x"})],
            [{"type": "system.message", "content": [{"type": "text", "text": "x"}]}],
            [INTERRUPT, says({"say": "x"})],
        ):
            assert SETTLING in talk.refused(*refused)


def test_an_interrupt_at_the_cap_is_accepted_and_not_recorded(somewhere):
    with paused(somewhere) as talk:
        (sent,) = talk.send(INTERRUPT)
        assert sent.type == "user.interrupt"
        assert talk.told() == CROSSED
        update(talk, None)
        assert talk.when_idle(2)[-4:] == ["span.model_request_end", *idle()]  # not stopped by it


def test_a_call_that_asks_outranks_the_cap_and_may_be_answered(somewhere):
    with capped(somewhere) as talk:
        talk.send(says({"tools": [call("write"), call("lookup", q="x")]}, {"say": "Done."}))
        asked = [
            *RUNNING,
            "user.message",
            *request("agent.tool_use write ask", "agent.custom_tool_use lookup"),
            *idle("requires_action", "write", "lookup"),
        ]
        assert talk.when_idle() == asked
        assert spent(talk) > 100
        talk.send(talk.result("lookup", "found"))
        talk.send(talk.allow("write"))
        assert talk.when_idle(3)[len(asked) :] == [
            "user.custom_tool_result lookup",
            "session.usage",
            "session.status_idle requires_action write",
            "user.tool_confirmation allow write",
            *RUNNING,
            "agent.tool_result write",
            *PAUSED,
        ]
        assert len(talk.requests) == 1
        update(talk, None)
        talk.when_idle(4)
        assert talk.last_turn[-1]["type"] == "tool_result"


# ---------------------------------------------------------------- list cost
def test_list_cost_is_in_every_usage_and_a_threads_is_null_until_it_idled(somewhere):
    with capped(somewhere, 10**9, tools=[ASKING, LOOKUP]) as talk:
        (thread,) = talk.client.beta.sessions.threads.list(talk.session_id)
        assert thread.usage is None
        before = talk.client.beta.sessions.retrieve(talk.session_id).usage
        assert (before.list_cost.amount, before.list_cost.currency) == ("0", "USD")
        talk.send(says({"say": "Hello."}))
        talk.when_idle()
        usage = talk.client.beta.sessions.retrieve(talk.session_id).usage
        assert usage.list_cost.amount == str(100 * usage.output_tokens)
        (told,) = events_of(talk, "session.usage")
        assert told.usage.to_dict() == usage.to_dict()
        (thread,) = talk.client.beta.sessions.threads.list(talk.session_id)
        assert thread.usage.list_cost == usage.list_cost
        assert usage.server_tool_use.web_search_requests == 0
        assert usage.server_tool_use.web_fetch_requests == 0


def test_a_session_that_is_born_with_a_message_has_its_budget(somewhere):
    client = somewhere.server.client()
    born = [says(call("bash", command="one"))]
    session = new_session(client, tools=[ASKING], budget=limit(1), initial_events=born)
    assert session.status == "running"
    when_idle(client, session.id)
    last = client.beta.sessions.events.list(session.id, order="desc").data[0]
    assert last.stop_reason.type == "budget_reached"
