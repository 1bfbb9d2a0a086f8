"""What a session is charged: the model that served, the time, searches; and what has no price."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold.domain.session import TOKENS
from freehold.errors import InvalidRequest, ModelError
from freehold.facts import ModelRequestEnded
from freehold.list_prices import shipped_prices
from freehold.money import CENT, dollars, whole_cents
from freehold.ports import BlockDone, BlockStarted, ReplyDone, Usage, UsageSeen, Write
from freehold.services.session_updates import update_session
from freehold.services.sessions import retrieve_session
from freehold.services.threads import retrieve_thread
from freehold.toolset import ToolResult
from freehold.views.cost import cost_of
from freehold.views.thread_log import ThreadLog
from freehold.wire.sessions import UpdateSession
from tests.protocol.sessions import asking_agent
from tests.unit.sessions import Bench

PRICES = shipped_prices()
ASKED, OTHER, NOBODY = "claude-opus-5", "claude-opus-4-8", "claude-nobody-9"
MILLION = 1_000_000


class Serving:
    """Answers with the usages it is given, one a request; `cut`: its stream breaks off then."""

    def __init__(self, *usages, cut=(), search=False):
        self.usages, self.cut, self.search = list(usages), list(cut), search

    def open(self, request):
        del request
        return self

    def __iter__(self):
        usage = self.usages.pop(0)
        yield UsageSeen(usage)
        if self.cut and self.cut.pop(0):
            raise ModelError("model_request_failed", "cut off", retryable=True)
        yield BlockStarted(0, "text")
        yield BlockDone(0, {"type": "text", "text": "Hello."})
        if not self.search:
            yield ReplyDone("end_turn", usage)
            return
        self.search = False
        use = {"type": "tool_use", "id": "t1", "name": "web_search", "input": {"query": "xyz"}}
        yield BlockStarted(1, "tool_use")
        yield BlockDone(1, use)
        yield ReplyDone("tool_use", usage)

    def close(self):
        pass


class Search:
    """A web whose search asks a model."""

    tools = ("web_search",)

    def __init__(self, usage):
        self.usage = usage

    def search(self, *_, **__):
        return self

    def result(self):
        return ToolResult.text("found")

    def close(self):
        pass


def agent(**model):
    found = asking_agent(ASKED, {"web_search": "always_allow"})
    return found.model_copy(update={"model": found.model.model_copy(update=model)})


def charged(bench):
    """Without the time."""
    return bench.head.usage.get("list_cost", 0)


@pytest.mark.parametrize(
    ("usage", "priced_as"),
    [
        (Usage(input_tokens=MILLION), Usage(input_tokens=MILLION, model=ASKED)),
        (Usage(input_tokens=MILLION, model=OTHER), Usage(input_tokens=MILLION, model=OTHER)),
        (
            Usage(output_tokens=9, model=ASKED, speed="fast"),
            Usage(output_tokens=9, model=ASKED, speed="fast"),
        ),
    ],
    ids=["not said", "another model", "fast"],
)
def test_the_model_that_served_is_charged_and_not_the_one_that_was_asked(
    tmp_path, usage, priced_as
):
    bench = Bench(tmp_path, model=Serving(usage), agent=agent())
    bench.say("Hi.")
    assert charged(bench) == PRICES.cost_of(priced_as)
    (end,) = [e for e in bench.events if e["type"] == "span.model_request_end"]
    assert end["model_usage"].get("speed") == (usage.speed or None)


def test_a_fast_agent_is_charged_at_the_fast_price_unless_it_was_served_otherwise(tmp_path):
    for said, price in (("", "fast"), ("standard", "standard")):
        usage = Usage(output_tokens=9, speed=said)
        bench = Bench(tmp_path / price, model=Serving(usage), agent=agent(speed="fast"))
        bench.say("Hi.")
        served = Usage(output_tokens=9, model=ASKED, speed=price)
        assert charged(bench) == PRICES.cost_of(served)


def test_a_search_costs_its_price_and_the_request_that_made_it(tmp_path):
    spent = Usage(input_tokens=100, output_tokens=50, model=OTHER)
    asked = Usage(input_tokens=3, model=ASKED)
    serving = Serving(asked, Usage(), search=True)
    facts = []
    bench = Bench(tmp_path, model=serving, web=Search(spent), agent=agent(), observe=facts.append)
    bench.say("Look it up.")
    tokens = PRICES.cost_of(spent) + PRICES.cost_of(asked)
    assert charged(bench) == PRICES.search_cost + tokens
    usage = retrieve_session(bench.app, bench.caller, bench.key.session_id).usage
    assert usage.server_tool_use.web_search_requests == 1
    assert (usage.input_tokens, usage.output_tokens) == (103, 50)
    shown = cost_of([ThreadLog(bench.thread_id, None, "", bench.entries)])
    assert [(r.model, r.is_search) for r in shown.requests] == [
        *((ASKED, False), (OTHER, True), (None, False))
    ]
    assert (shown.tokens["input_tokens"], shown.tokens["output_tokens"]) == (103, 50)
    assert shown.list_cost == dollars(tokens)
    told = [fact.usage.input_tokens for fact in facts if isinstance(fact, ModelRequestEnded)]
    assert told == [3, 100, 0]


def test_a_cut_stream_is_charged_and_flagged(tmp_path):
    usages = Usage(input_tokens=7), Usage(input_tokens=8)
    bench = Bench(tmp_path, model=Serving(*usages, cut=[True]), agent=agent())
    bench.say("Hi.")
    noted = [s for entry in bench.entries for s in entry.private.get("spent", ())]
    assert [(s["input_tokens"], s["estimated"]) for s in noted] == [(7, True), (8, False)]
    assert bench.snapshot.session.input_tokens == 15
    spans = [e["model_usage"] for e in bench.events if e["type"] == "span.model_request_end"]
    assert [span["input_tokens"] for span in spans] == [0, 8]


def test_running_time_is_the_sessions_and_not_the_threads(tmp_path):
    bench = Bench(tmp_path, model=Serving(Usage(output_tokens=4 * 10**6)), agent=agent())
    bench.say("Hi.")
    session = bench.snapshot.session
    assert session.spend == charged(bench) + session.active_us * PRICES.time_rate
    shown = retrieve_session(bench.app, bench.caller, bench.key.session_id).usage
    assert shown.list_cost.amount == str(whole_cents(session.spend)) == "10000"
    thread = retrieve_thread(bench.app, bench.caller, bench.key.session_id, bench.thread_id)
    assert thread.usage.list_cost.amount == "10000"
    hour = 3600 * 10**6
    since = "2020-01-01T00:00:00.000000Z"
    bench.records.write(
        [Write(bench.key.state(), set={"running_since": since, "time_rate": 8 * CENT // hour})]
    )
    assert (
        int(retrieve_session(bench.app, bench.caller, bench.key.session_id).usage.list_cost.amount)
        > 8 * 24 * 365
    )


# ---------------------------------------------------------------- without a price
def test_a_model_without_a_price_pauses_a_session_with_a_budget_until_it_is_removed(tmp_path):
    usages = Usage(input_tokens=1, model=NOBODY), Usage(input_tokens=1, model=ASKED)
    bench = Bench(tmp_path, model=Serving(*usages, search=True), agent=agent(), web=Search(Usage()))
    bench.records.write([Write(bench.key.state(), set={"cap": 10**6 * CENT})])
    bench.say("Look it up.")
    assert bench.events[-1]["stop_reason"]["type"] == "budget_reached"
    assert bench.head.status == "budget_reached"
    assert bench.snapshot.session.unpriced == NOBODY
    amount = {"amount": str(10**9), "currency": "USD"}
    raised = UpdateSession.model_validate({"budget": {"type": "limit", "max_list_cost": amount}})
    with pytest.raises(InvalidRequest, match=NOBODY) as refused:
        update_session(bench.app, bench.caller, bench.key.session_id, raised)
    assert refused.value.details == {"error_code": "model_not_budgetable"}
    removed = UpdateSession.model_validate({"budget": None})
    update_session(bench.app, bench.caller, bench.key.session_id, removed)
    bench.runs.drain(bench.app)
    assert bench.events[-1]["stop_reason"]["type"] == "end_turn"


def test_without_a_budget_a_model_without_a_price_only_goes_uncharged(tmp_path):
    bench = Bench(tmp_path, model=Serving(Usage(input_tokens=5, model=NOBODY)), agent=agent())
    bench.say("Hi.")
    assert bench.events[-1]["stop_reason"]["type"] == "end_turn"
    assert (charged(bench), bench.snapshot.session.input_tokens) == (0, 5)
    (spent,) = [s for entry in bench.entries for s in entry.private.get("spent", ())]
    assert (spent["model"], spent["cost"]) == (NOBODY, None)


# ---------------------------------------------------------------- to the token
counts = st.integers(0, 5000)
usages = st.builds(
    Usage, counts, counts, counts, counts, counts, st.sampled_from([ASKED, OTHER, NOBODY, ""])
)


@given(st.lists(st.tuples(usages, st.booleans()), min_size=1, max_size=6), st.booleans(), usages)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_totals_are_what_the_commits_noted(tmp_path_factory, replies, search, by_search):
    directory = tmp_path_factory.mktemp("totals")
    metered = [usage for usage, _ in replies]
    serving = Serving(
        *metered, Usage(), Usage(), Usage(), cut=[c for _, c in replies], search=search
    )
    bench = Bench(directory, model=serving, web=Search(by_search), agent=agent())
    for _ in replies:
        if len(serving.usages) > 3:
            bench.say("Go on.")
    total = Counter()
    for entry in bench.entries:
        for spent in entry.private.get("spent", ()):
            total.update({name: spent[name] for name in TOKENS})
            total["list_cost"] += spent["cost"] or 0
        total["list_cost"] += entry.private.get("searches", {}).get("cost", 0)
    session = bench.snapshot.session
    seen = [*metered[: len(replies) - max(0, len(serving.usages) - 3)]]
    seen += [by_search] if search and session.web_searches else []
    for name in TOKENS:
        assert total[name] == getattr(session, name) == sum(getattr(u, name) for u in seen)
        assert bench.head.usage.get(name, 0) == total[name]
    assert total["list_cost"] + session.active_us * session.time_rate == session.spend
    assert bench.head.usage.get("list_cost", 0) == total["list_cost"]
