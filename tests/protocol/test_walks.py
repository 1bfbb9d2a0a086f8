"""Random schedules of everything at once: clients, starts, crashes, lost answers, slow and
duplicate workers, reboots.

The world checks every invariant after every transaction; each walk must end with nothing left to
do. A failing seed is a schedule: `WALK_SEED=n pytest tests/protocol/test_walks.py` repeats it.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import pytest

from freehold.domain.session import Use
from freehold.errors import InvalidRequest
from tests.protocol import clients
from tests.protocol.world import PAGE, Execution, Worker, World

TEXT, TOOL, ASK, BOTH = (("text",),), (("allow", "text"),), (("ask", "text"),), (("both", "text"),)
CALLS = (("calls", "allow", "calls", "allow", "text"),)
CUSTOM, MIXED = (("custom", "custom", "text"),), (("mixed", "allow", "mixed", "text"),)
WEB = (("web", "webs", "allow", "webs", "text"),)
CHILD = (("spawn", "text"), ("allow", "text"))
CHILD_ASKS = (("spawn", "both", "text"), ("ask", "allow", "text"))


class Case(NamedTuple):
    """Scripts of concurrent clients, replies of the threads, and how many faults of each kind may
    happen.
    """

    name: str
    scripts: tuple[tuple[str, ...], ...]
    replies: tuple[tuple[str, ...], ...]
    faults: dict[str, int]
    leg_turns: int = 2
    window: int | None = None


CASES = [
    Case("tool", (("msg",),), TOOL, {"crash": 2, "slow": 1, "lost": 1, "reboot": 1}),
    Case("tool-dup", (("msg",),), TOOL, {"crash": 1, "dup": 1, "abort": 1, "slow": 1}),
    Case("tool-int", (("msg",), ("int",)), TOOL, {"crash": 1, "slow": 1, "dup": 1, "lost": 1}),
    Case("two-int", (("msg",), ("msg", "int")), TEXT, {"crash": 1, "error": 2, "late": 1}),
    Case("retry", (("msg",), ("msg", "int")), TEXT, {"error": 3, "dup": 2, "slow": 1, "lost": 1}),
    Case(
        "calls-int",
        (("msg", "int-tools", "msg", "int-tools"), ("int-tools",)),
        CALLS,
        {"crash": 2, "slow": 2, "dup": 2},
    ),
    Case("successor", (("msg",), ("msg",), ("msg",)), TEXT, {"crash": 1, "slow": 1, "lost": 1}),
    Case("both", (("msg", "ok"), ("msg",)), BOTH, {"crash": 1, "lost": 1, "reboot": 1}),
    Case("ask-deny", (("msg", "deny"), ("int",)), ASK, {"crash": 1, "lost": 1}),
    Case(
        "custom",
        (("msg", "ok", "wrong", "ok"), ("wrong", "msg", "deny")),
        CUSTOM,
        {"crash": 1, "lost": 2, "slow": 1, "held": 1},
    ),
    Case(
        "mixed",
        (("msg", "ok", "ok", "ok"), ("deny", "wrong", "ok", "msg")),
        MIXED,
        {"crash": 2, "lost": 1, "slow": 1, "dup": 1, "reboot": 1},
    ),
    Case(
        "mixed-int",
        (("msg", "ok", "int-msg", "ok"), ("int-msg", "ok", "int", "wrong")),
        MIXED,
        {"crash": 2, "lost": 1, "slow": 1, "late": 1, "error": 1},
    ),
    Case(
        "parked-int",
        (("msg", "int-parked", "ok", "int-parked"), ("ok", "msg", "int-parked")),
        (("mixed", "custom", "ask", "both"),),
        {"crash": 1, "lost": 1, "held": 1, "lose": 1},
    ),
    Case(
        "web",
        (("msg", "ok", "wrong", "ok"), ("msg", "wrong", "deny")),
        WEB,
        {"crash": 2, "lost": 1, "slow": 1, "dup": 1, "reboot": 1},
    ),
    Case(
        "web-int",
        (("msg", "int-tools", "msg", "ok"), ("int-tools", "wrong", "int")),
        WEB,
        {"crash": 1, "slow": 1, "dup": 1, "late": 1},
    ),
    Case(
        "web-int-again",
        (("msg", "int-tools", "ok", "msg", "int-tools"), ("ok", "int-tools", "wrong")),
        WEB,
        {"crash": 1, "dup": 1},
    ),
    Case("child", (("msg",), ("msg",)), CHILD, {"crash": 1, "held": 1}),
    Case("child-asks", (("msg", "ok"), ("int",)), CHILD_ASKS, {"crash": 1, "lost": 1, "slow": 1}),
    Case("operator", (("msg", "sys", "msg"), ("sys", "int")), TOOL, {"error": 3, "crash": 1}),
    Case("operator-asks", (("msg", "ok", "sys"), ("sys", "int")), ASK, {"crash": 1, "lost": 1}),
    Case("refused", (("msg", "msg"), ("sys", "msg")), TOOL, {"refuse": 2, "error": 3, "lost": 1}),
    Case(
        "too-long",
        (("msg", "sys", "msg", "int-msg", "ok"), ("msg", "int", "ok", "sys")),
        (("full", "full", "mixed", "full", "full", "text", "full", "text"),),
        {"crash": 2, "slow": 1, "lost": 1, "dup": 1, "error": 2, "long": 3},
        window=1000,
    ),
    Case(
        "too-long-children",
        (("msg", "ok", "msg"), ("int",)),
        (("spawn", "full", "full", "text"), ("full", "full", "text")),
        {"crash": 1, "lost": 1, "long": 4},
        window=1000,
    ),
    Case("delete", (("msg", "del"), ("int",)), ASK, {"crash": 1, "slow": 1, "lost": 1}),
    Case(
        "everything",
        (("msg", "ok", "msg", "ok"), ("msg", "int", "deny", "ok")),
        (("mixed", "spawn", "allow", "text"), ("mixed", "webs", "text")),
        {"crash": 2, "slow": 2, "dup": 1, "abort": 1, "lost": 1, "held": 1, "late": 1}
        | {"error": 2, "reboot": 1, "lose": 1},
    ),
]
SEEDS = int(os.environ.get("WALKS", "32"))
LENGTH = 250
COVERED: Counter[str] = Counter()
WINDOWS = ("idle", "requires_action", "rescheduling", "turn-between", "turn-write", "turn-model")
WINDOWS += ("tools-between", "tools-write", "tools-dispatch", "tools-fetch")
"""Where interrupts come."""
ANSWERED = ("requires_action", "tools-between", "tools-write", "tools-dispatch", "tools-fetch")
"""Where calls are answered."""


class Walk:
    """One random schedule."""

    def __init__(self, case: Case, seed: int, tmp_path) -> None:
        self.rng = random.Random(seed)
        self.case = case
        self.world = self.make_world(
            tmp_path,
            replies=case.replies,
            leg_turns=case.leg_turns,
            window=case.window,
            torn=seed % 3 == 1,
            bell=seed % 2 == 1,
            goes_on=seed // 2 % 2 == 1,
        )
        self.left = dict(case.faults)
        # All requests at once, or spread over the whole of the session's work.
        self.haste = (1.0, 0.3, 0.1, 0.05)[seed // 2 % 4]
        self.danger = (1.0, 0.2)[seed // 8 % 2]
        self.scripts = [list(script) for script in case.scripts]
        self.requests: list[Worker | None] = [None] * len(self.scripts)
        self.wrong: list[Worker] = []
        self.trace: list[str] = []

    def make_world(self, tmp_path, **given) -> World:
        return World(tmp_path, **given)

    def run(self) -> None:
        faults_until = LENGTH // 2
        for n in range(LENGTH):
            options = self.options(faults=n < faults_until and self.rng.random() < self.danger)
            if not options:
                break
            label, act = self.rng.choice(options)
            self.trace.append(label)
            COVERED[label.split(" ")[0]] += 1
            act()
        for writes in list(self.world.flight):
            self.world.land(writes)
        self.world.settle()
        assert all(isinstance(request.error, InvalidRequest) for request in self.wrong)
        COVERED["call-cancelled"] += len(self.world.cancelled)
        COVERED["request-stopped"] += self.world.stopped_requests
        COVERED["fetched"] += self.world.fetches
        COVERED["fetch-stopped"] += self.world.stopped_fetches
        COVERED["turn-interrupted"] += sum(
            "interrupted" in entry.private
            for feed in self.world.feeds.values()
            for entry in feed.entries
        )
        self.check_end()

    def check_end(self) -> None:
        """Nothing is left to do."""
        primary = self.world.snapshot.session.primary_id
        COVERED["compacted"] += self.world.kinds(primary).count("agent.thread_context_compacted")
        session = self.world.snapshot.session
        if not session.dead:
            assert session.running == 0
            assert not session.todo
            assert all(
                h.status in ("idle", "requires_action") for h in self.world.snapshot.heads.values()
            )

    # ------------------------------------------------------------ choices
    def options(self, *, faults: bool) -> list[tuple[str, Callable[[], None]]]:
        found: list[tuple[str, Callable[[], None]]] = []
        for worker in self.world.workers:
            if not worker.done:
                found += self._worker(worker, faults=faults)
        for execution in list(self.world.open.values()):
            found += self._execution(execution, faults=faults)
        for writes in list(self.world.flight):
            found.append(("land", lambda w=writes: self.world.land(w)))
            found.append(("drop", lambda w=writes: self.world.flight.remove(w)))
        found += self._world(faults=faults)
        if not found or self.rng.random() < self.haste:
            for n in range(len(self.scripts)):
                found += self._client(n)
        return found

    def _client(self, n: int) -> list[tuple[str, Callable[[], None]]]:
        request = self.requests[n]
        if (request and not request.done) or not self.scripts[n]:
            return []
        op = self.scripts[n][0]
        busy = any(head.is_busy for head in self.world.snapshot.heads.values())
        if op in ("ok", "deny") and not self._asking() and busy:
            return []  # it has not seen that use yet
        if op == "wrong" and not self._unasking() and busy:
            return []
        at_tools = any(e.stage == "tools" for e in self.world.open.values())
        if op == "int-tools" and not at_tools and (self.world.open or busy):
            return []
        parked = self.world.primary.status == "requires_action"
        if op == "int-parked" and not parked and busy:
            return []
        return [(f"client-{op}", lambda: self._request(n, op))]

    def _asking(self) -> list[Use]:
        """Calls that wait for somebody's answer."""
        heads = self.world.snapshot.heads.values()
        return [use for head in heads for use in head.uses if use.state == "ask"]

    def _unasking(self) -> list[Use]:
        """Calls with the kind of answer they do not wait for, or not any more."""
        heads = self.world.snapshot.heads.values()
        uses = [use for head in heads for use in head.uses]
        return [replace(u, custom=not u.custom) if u.state == "ask" else u for u in uses]

    def _request(self, n: int, op: str) -> None:
        """Begins the next request of a client. An answer that finds nothing to answer is left
        out.
        """
        world, request = self.world, None
        if op in ("ok", "deny", "wrong"):
            uses = self._unasking() if op == "wrong" else self._asking()
            if uses:
                use = self.rng.choice(uses)
                COVERED[f"{op}@{self._window(use.event_id)}"] += 1
                request = clients.settle(world, use, "deny" if op == "deny" else "allow")
                self.wrong += [request] if op == "wrong" else []
        elif op == "msg":
            request = clients.message(world, f"{n}.{len(self.scripts[n])} {PAGE}")
        elif op == "sys":
            request = clients.system_message(world)
        elif op.startswith("int"):
            COVERED[f"int@{self._window()}"] += 1
            request = clients.interrupt(world, "instead" if op == "int-msg" else None)
            if op in ("int-tools", "int-parked"):  # at once, or the moment has passed
                request.finish()
        else:
            request = clients.delete(world)
        self.requests[n] = request
        self.scripts[n].pop(0)

    def _window(self, use_id: str | None = None) -> str:
        """Where the primary thread, or the one that made a call, stands."""
        heads = self.world.snapshot.heads.values()
        owners = (h for h in heads if any(use.event_id == use_id for use in h.uses))
        head = next(owners, self.world.primary)
        if head.status != "running":
            return head.status
        runs = (e for e in self.world.open.values() if e.run.thread_id == head.thread_id)
        execution = next(runs, None)
        if execution is None:
            return "unstarted"
        at = execution.worker.at if execution.worker and not execution.worker.done else "between"
        return f"{execution.stage}-{at}"

    def _worker(self, worker: Worker, *, faults: bool) -> list[tuple[str, Callable[[], None]]]:
        found = [(f"step-{worker.at}", worker.step)]
        if not faults:
            return found
        kinds = {"write": ("lost", "held"), "model": ("error", "refuse", "long")}.get(worker.at, ())
        found += [
            (kind, lambda k=kind: self._spend(k, lambda: worker.step(k)))
            for kind in kinds
            if self.left.get(kind)
        ]
        if self.left.get("crash") and worker.run is not None and not worker.ghost:
            decisions = ("crash", "crash after") if worker.at == "write" else ("crash",)
            found += [
                (decision.replace(" ", "-"), lambda d=decision: self._crash(worker, d))
                for decision in decisions
            ]
        return found

    def _spend(self, kind: str, act: Callable[[], None]) -> None:
        self.left[kind] -= 1
        act()

    def _crash(self, worker: Worker, decision: str) -> None:
        """The worker dies; Catch releases the run, or nothing does."""
        self.left["crash"] -= 1
        worker.step(decision)
        execution = self.world.open.get(worker.run.name)
        if execution is None or execution.worker is not worker:
            return
        self.world.close(execution)
        if self.rng.random() < 0.5:
            self.world.release(execution.run)

    def _execution(
        self, execution: Execution, *, faults: bool
    ) -> list[tuple[str, Callable[[], None]]]:
        worker = execution.worker
        if worker is None:
            found = [(f"invoke-{execution.stage}", lambda: self.world.invoke(execution))]
            if faults and self.left.get("dup"):
                found.append(
                    ("dup", lambda: self._spend("dup", lambda: self._duplicate(execution)))
                )
            return found
        if worker.done:
            return [("conclude", lambda: self.world.conclude(execution))]
        if faults and self.left.get("abort"):
            return [("abort", lambda: self._spend("abort", lambda: self._abort(execution)))]
        return []

    def _duplicate(self, execution: Execution) -> None:
        self.world.invoke(execution, ghost=True)

    def _abort(self, execution: Execution) -> None:
        """The execution ends while its worker lives on."""
        execution.worker.ghost = True
        self.world.close(execution)

    def _world(self, *, faults: bool) -> list[tuple[str, Callable[[], None]]]:
        world = self.world
        found: list[tuple[str, Callable[[], None]]] = []
        head = world.primary
        if not faults:
            return found
        if self.left.get("slow") and world.snapshot.claims:
            found.append(("slow", lambda: self._spend("slow", world.lapse)))
        if self.left.get("reboot"):
            found.append(("reboot", lambda: self._spend("reboot", world.reboot)))
        if self.left.get("lose") and not world.lose_starts:
            found.append(("lose", lambda: self._spend("lose", self._lose)))
        if self.left.get("late") and head.epoch > 1:
            found.append(("late", lambda: self._spend("late", self._late)))
        if any(h.is_busy for h in world.snapshot.heads.values()) and self.rng.random() < 0.05:
            found.append(("sweep", world.sweep))
        return found

    def _lose(self) -> None:
        """Prompt starts are lost from now until the next sweep."""
        self.world.lose_starts = True
        self.scripts.append([])
        self.requests.append(self.world.spawn("sweep", self._find))

    def _find(self) -> None:
        from freehold.engine import recovery

        self.world.lose_starts = False
        recovery.sweep(self.world.app)

    def _late(self) -> None:
        from freehold.ports import Run

        head, key = self.world.primary, self.world.key
        run = Run(key.workspace_id, key.session_id, head.thread_id, head.epoch - 1, 0)
        if run.name not in self.world.closed:
            self.world.open.setdefault(run.name, Execution(replace(run)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.timeout(300)
def test_every_walk_keeps_the_invariants_and_ends(case, tmp_path):
    only = os.environ.get("WALK_SEED")
    for seed in [int(only)] if only else range(SEEDS):
        walk = Walk(case, seed, tmp_path)
        try:
            walk.run()
        except AssertionError as error:
            path = "\n".join(f"{n:4} {label}" for n, label in enumerate(walk.trace))
            raise AssertionError(f"{case.name}, seed {seed}: {error}\n{path}") from error


def test_the_walks_reached_every_kind_of_step():
    wanted = {
        "crash",
        "crash-after",
        "lost",
        "held",
        "error",
        "dup",
        "abort",
        "slow",
        "late",
        "reboot",
        "land",
        "refuse",
        "long",
        "compacted",
        "client-sys",
    }
    wanted |= {
        "step-write",
        "step-model",
        "step-dispatch",
        "step-fetch",
        "fetched",
        "fetch-stopped",
        "invoke-turn",
        "invoke-tools",
        "lose",
        "sweep",
    }
    wanted |= {f"int@{window}" for window in WINDOWS}
    wanted |= {f"{op}@{place}" for op in ("ok", "wrong") for place in ANSWERED}
    if COVERED:
        print("\nphases:", dict(sorted(COVERED.items())))
        assert wanted <= {name for name, times in COVERED.items() if times}
