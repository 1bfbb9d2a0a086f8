"""Random schedules of sessions with a budget: prices, threads, crashes, answers, and a cap that is
raised, lowered and removed while they go on.

After every transaction: no request to the model begins at the cap, and a thread spends at most one
more than what was spent when it was reached. At the end: nothing below its cap is paused, what a
removal resumes ends, and the totals are what the commits noted, to the token.
`WALK_SEED=n pytest tests/protocol/test_budget_walks.py` repeats a schedule.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from freehold.domain.session import TOKENS
from freehold.engine.day_spend import spent_on
from freehold.errors import InvalidRequest
from freehold.list_prices import own_prices, shipped_prices
from freehold.money import CENT
from freehold.ports import Usage
from tests.protocol import clients
from tests.protocol.test_walks import Case, Walk
from tests.protocol.world import START, World

MODEL = "claude-opus-5"
CHILDREN = (("spawn", "allow", "spawn", "text"), ("allow", "both", "text"))
LONG = (("allow",) * 6 + ("text",),)
CASES = [
    Case("long", (("msg", "raise", "msg"), ("raise", "remove")), LONG, {"crash": 2, "cut": 2}),
    Case("lowered", (("msg", "lower", "raise"), ("msg", "raise")), LONG, {"lost": 1, "held": 1}),
    Case(
        "threads",
        (("msg", "raise", "msg"), ("raise", "ok", "raise")),
        CHILDREN,
        {"crash": 2, "slow": 1, "cut": 1, "lost": 1},
    ),
    Case(
        "threads-int",
        (("msg", "raise", "int", "msg"), ("raise", "int", "remove")),
        CHILDREN,
        {"crash": 1, "held": 1, "cut": 1},
    ),
    Case(
        "child-asks",
        (("msg", "raise", "ok"), ("raise", "ok", "raise")),
        (("spawn", "allow", "allow", "allow", "text"), ("ask", "text")),
        {"crash": 1, "lost": 1},
    ),
    Case(
        "asks",
        (("msg", "ok", "raise", "ok"), ("ok", "raise", "deny")),
        (("mixed", "webs", "custom", "text"),),
        {"crash": 1, "lost": 1, "error": 2},
    ),
    Case(
        "everything",
        (("msg", "ok", "raise", "msg", "ok"), ("msg", "int", "lower", "ok"), ("raise", "remove")),
        (("mixed", "spawn", "webs", "text"), ("mixed", "spawn", "text")),
        {"crash": 2, "slow": 1, "dup": 1, "abort": 1, "lost": 1, "held": 1, "error": 1, "cut": 1},
    ),
]
DAYS = [
    Case("day", (("msg", "msg"), ("msg", "morning")), LONG, {"crash": 2, "lost": 1, "held": 1}),
    Case("day-threads", (("msg", "morning", "msg"), ("raise", "morning")), CHILDREN, {"crash": 1}),
    Case(
        "day-asks",
        (("msg", "ok", "morning", "ok"), ("int", "raise", "remove")),
        (("spawn", "mixed", "allow", "text"), ("allow", "ask", "text")),
        {"crash": 1, "lost": 1, "slow": 1},
    ),
]
"""With a cap of the workspace's day as well; `morning` begins another one."""
SEEDS = int(os.environ.get("WALKS", "16"))
SEEN: Counter[str] = Counter()


def some_prices(rng: random.Random):
    """Prices at which a request of a few tokens costs some cents, and never a whole number."""
    names = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
    prices = {name: f"{rng.randint(0, 20_000)}.{rng.randint(0, 999_999):06}" for name in names}
    own = {"source": "chance", "date": "2030-01-01", "models": {MODEL: prices}}
    return shipped_prices().with_own(own_prices(json.dumps(own)))


class Budgeted(World):
    """Judges every transaction."""

    def __post_init__(self) -> None:
        self.last = None
        self.after_the_cap: Counter[str] = Counter()
        self.after_the_day: Counter[str] = Counter()
        self.day, self.was_over = START.date(), False
        super().__post_init__()

    def observe(self) -> None:
        super().observe()
        if self.key is None or self.erasing or not self.feeds:
            return
        before, self.last = self.last, self.snapshot
        statuses = [head.status for head in self.snapshot.heads.values()]
        SEEN["paused"] += "budget_reached" in statuses
        SEEN["several paused"] += statuses.count("budget_reached") > 1
        SEEN["paused behind an ask"] += {"budget_reached", "requires_action"} <= set(statuses)
        if before is None:
            return
        day = self.now.date()
        if day != self.day:
            self.day, self.after_the_day = day, Counter()
        day_is_over = self.daily_cap is not None and self.spent_today >= self.daily_cap
        for thread_id, head in self.snapshot.heads.items():
            old = before.heads.get(thread_id)
            if head.span is not None and (old is None or old.span != head.span):
                self.check_begin(before.session)
                if self.was_over:
                    self.after_the_day[thread_id] += 1
                    assert self.after_the_day[thread_id] <= 1, "a second request beyond the day"
            if old is None or head.version > old.version:
                self.check_end(before.session, thread_id)
        if self.snapshot.session.cap != before.session.cap:
            self.after_the_cap.clear()
        self.was_over = day_is_over

    @property
    def spent_today(self) -> int:
        bare = replace(self.app, records=self.store)
        return spent_on(bare, self.key.workspace_id, self.now)

    @staticmethod
    def check_begin(session) -> None:
        assert session.cap is None or session.spend < session.cap, "a request began at the cap"

    def check_end(self, session, thread_id: str) -> None:
        entry = self.feeds[thread_id].entries[-1]
        if session.cap is None or session.spend < session.cap or "spent" not in entry.private:
            return
        self.after_the_cap[thread_id] += "started" not in entry.private
        assert self.after_the_cap[thread_id] <= 1, "a thread spent twice beyond the cap"


class BudgetWalk(Walk):
    """A walk whose clients also change the budget."""

    def make_world(self, tmp_path, **given) -> World:
        rng = self.rng

        def metered() -> Usage:
            served = rng.choice((MODEL, ""))
            return Usage(*(rng.randint(0, 3) for _ in TOKENS), model=served)

        rate = rng.choice((0, 0, 7, CENT // 10**6))
        return Budgeted(
            tmp_path,
            cap=rng.randint(1, rng.choice((12, 40))) * CENT,
            time_rate=rate,
            daily_cap=rng.randint(1, 20) * CENT if self.case in DAYS else None,
            prices=some_prices(rng),
            metered=metered,
            **given,
        )

    def _request(self, n: int, op: str) -> None:
        if op == "morning":
            self.world.now += timedelta(days=1)
            self.requests[n] = self.world.sweep()
            self.scripts[n].pop(0)
            return
        if op not in ("raise", "lower", "remove"):
            super()._request(n, op)
            return
        session = self.world.snapshot.session
        above = {"raise": session.spend, "lower": session.spend // 2}.get(op)
        cents = None if above is None else above // CENT + self.rng.randint(1, 6)
        SEEN[f"{op} {'at' if self.is_at_cap else 'below'} the cap"] += 1
        self.requests[n] = clients.set_budget(self.world, cents)
        self.scripts[n].pop(0)

    def _worker(self, worker, *, faults):
        found = super()._worker(worker, faults=faults)
        if faults and worker.at == "model" and self.left.get("cut"):
            found.append(("cut", lambda: self._spend("cut", lambda: worker.step("cut"))))
        return found

    @property
    def is_at_cap(self) -> bool:
        session = self.world.snapshot.session
        return session.cap is not None and session.spend >= session.cap

    def check_end(self) -> None:
        world, heads = self.world, self.world.snapshot.heads.values()
        session = world.snapshot.session
        paused = [head for head in heads if head.status == "budget_reached"]
        SEEN["paused for the day"] += bool(paused and not self.is_at_cap)
        below = not self.is_at_cap and session.paused_day is None
        assert not (paused and below), "paused below the cap"
        assert (session.running, session.todo) == (0, False)
        if self.is_at_cap and world.kinds()[-1] == "session.status_idle":
            last = world.feeds[session.primary_id].entries[-1].events[-1]
            reason = "requires_action" if session.asks else "budget_reached"
            assert last["stop_reason"]["type"] == reason
        self.end_days()
        if session.cap is not None:
            clients.set_budget(world, None).finish()
            world.settle()
        self.end_days()
        super().check_end()
        self.reconcile()

    def end_days(self) -> None:
        """One morning after another, until nothing waits for one."""
        while self.world.snapshot.session.paused_day is not None:
            self.world.now += timedelta(days=1)
            self.world.sweep().finish()
            self.world.settle()

    def reconcile(self) -> None:
        """Every token, search and cent is in the commit that spent it, and in the totals."""
        session, total = self.world.snapshot.session, Counter()
        for thread_id, head in self.world.snapshot.heads.items():
            found, spans = Counter(), Counter()
            for entry in self.world.feeds[thread_id].entries:
                for spent in entry.private.get("spent", ()):
                    found.update({name: spent[name] for name in TOKENS})
                    found["list_cost"] += spent["cost"]
                    SEEN["estimated"] += spent["estimated"]
                    if "reply" in entry.private:
                        spans.subtract(output=spent["output_tokens"], input=spent["input_tokens"])
                searches = entry.private.get("searches", {"count": 0, "cost": 0})
                found.update(web_searches=searches["count"], list_cost=searches["cost"])
                for event in entry.events:
                    if event["type"] == "span.model_request_end":
                        usage = event["model_usage"]
                        spans.update(output=usage["output_tokens"], input=usage["input_tokens"])
            assert {k: n for k, n in found.items() if n} == {
                k: n for k, n in head.usage.items() if n
            }
            assert not any(spans.values())
            total.update(found)
        assert all(total[name] == getattr(session, name) for name in (*TOKENS, "web_searches"))
        assert total["list_cost"] + session.active_us * session.time_rate == session.spend


@pytest.mark.parametrize("case", [*CASES, *DAYS], ids=lambda case: case.name)
@pytest.mark.timeout(300)
def test_every_walk_keeps_its_budget_and_ends(case, tmp_path):
    only = os.environ.get("WALK_SEED")
    for seed in [int(only)] if only else range(SEEDS):
        walk = BudgetWalk(case, seed, tmp_path)
        try:
            walk.run()
            for request in walk.requests:
                assert request is None or isinstance(request.error, InvalidRequest | None)
        except AssertionError as error:
            path = "\n".join(f"{n:4} {label}" for n, label in enumerate(walk.trace))
            raise AssertionError(f"{case.name}, seed {seed}: {error}\n{path}") from error


def test_the_walks_reached_every_kind_of_pause():
    wanted = {"paused for the day", "paused", "several paused", "paused behind an ask", "estimated"}
    wanted |= {f"{op} {where} the cap" for op in ("raise", "lower") for where in ("at", "below")}
    if SEEN:
        print("\npauses:", dict(sorted(SEEN.items())))
        assert wanted <= {name for name, times in SEEN.items() if times}
