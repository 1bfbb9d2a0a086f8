"""A whole server in one process whose every step the test chooses: who goes on, and what happens to
each write.

The store, the log, the engine and the services are the real ones. Workers are threads that stand
still at each transaction, model request and sandbox call until the test lets one of them go on; so
a schedule is a list of choices, and repeatable.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from freehold import keys
from freehold.adapters.local_secrets import LocalSecrets
from freehold.adapters.sqlite import SqliteRecords
from freehold.domain.compaction import INSTRUCTION
from freehold.domain.transcript import messages_of
from freehold.engine import recovery
from freehold.engine.reply import ReplyReader
from freehold.engine.steps import run_steps
from freehold.engine.tools import run_tools
from freehold.errors import (
    AmbiguousWrite,
    ApiError,
    ModelError,
    ModelStopped,
    SandboxLost,
    StaleRead,
    WebCallStopped,
)
from freehold.event_log import EventLog
from freehold.keys import SessionKey
from freehold.list_prices import ListPrices, shipped_prices
from freehold.ports import App, BlockDone, BlockStarted, ReplyDone, Run, Usage, UsageSeen, Write
from freehold.settings import Settings
from freehold.testing.faulty_records import Killed
from freehold.toolset import ToolResult
from tests.judge import judge
from tests.protocol.invariants import Feed, check_session
from tests.protocol.sessions import POLICIES, asking_agent, seed_session

PAGE = "https://example.com/"
"""What a message must show, so that the agent may fetch it."""
START = datetime(2030, 1, 1, tzinfo=UTC)


class Worker:
    """A thread of the server that runs only while the test waits for it."""

    def __init__(self, world: World, label: str, work: Callable[[], Any]) -> None:
        self.world = world
        self.label = label
        self.at = "begin"
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = False
        self.ghost = False
        self.run: Run | None = None
        self.stage = ""
        self._work = work
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._decision = "ok"
        self.thread = threading.Thread(target=self._main, daemon=True, name=label)

    def _main(self) -> None:
        self._go.acquire()
        try:
            if self._decision != "crash":
                self.result = self._work()
        except Killed as error:
            self.error = error
        except ApiError as error:
            self.error = error
        except BaseException as error:  # noqa: BLE001 - reported by `step`, which re-raises it
            self.error = error
            self.world.failures.append((self.label, error))
        self.done = True
        self._stopped.release()

    def pause(self, at: str) -> str:
        """Called on the worker's own thread: stands still until `step`, and answers its
        decision.
        """
        self.at = at
        self._stopped.release()
        self._go.acquire()
        return self._decision

    def step(self, decision: str = "ok") -> None:
        """Lets the worker go on to its next stand-still or its end."""
        if not self.thread.is_alive() and not self.done:
            self.thread.start()
        self._decision = decision
        self._go.release()
        assert self._stopped.acquire(timeout=20), f"{self.label} hangs at {self.at}"
        if self.world.failures:
            label, error = self.world.failures[0]
            raise AssertionError(f"{label}: {error!r}") from error

    def finish(self) -> Worker:
        """Steps without faults to the end."""
        while not self.done:
            self.step()
        return self

    def until(self, at: str) -> Worker:
        """Steps without faults until it stands at `at`."""
        while self.at != at:
            assert not self.done, f"{self.label} ended before {at}"
            self.step()
        return self


@dataclass
class Execution:
    """An open execution of the state machine."""

    run: Run
    stage: str = "turn"
    worker: Worker | None = None
    invocations: int = 0


@dataclass
class World:
    """One session under test. `replies` are what the model answers, per thread in order of
    creation.

    `torn`: a worker stands still inside its reads too, between the session and the thread, because
    several items are not one snapshot. `bell`: doorbells ring after every transaction, and whoever
    watches has looked at the log before it is answered; without, nothing is noticed but by reading.
    `window`: of the model, small enough that a reply of the word `full` leaves no room.
    `goes_on`: an invocation of a turn makes the steps behind it as well, as on AWS.
    """

    tmp_path: Path
    replies: Sequence[Sequence[str]] = (("text",),)
    cap: int | None = None
    time_rate: int = 0
    daily_cap: int | None = None
    prices: ListPrices = field(default_factory=shipped_prices)
    metered: Callable[[], Usage] = lambda: Usage(input_tokens=1, output_tokens=1)
    """What a request to the model spends."""
    leg_turns: int = 400
    max_retries: int = 1
    torn: bool = False
    bell: bool = False
    window: int | None = None
    goes_on: bool = False
    failures: list[tuple[str, BaseException]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.now = START
        self.store = SqliteRecords(":memory:")
        self.flight: list[Sequence[Write]] = []
        self.open: dict[str, Execution] = {}
        self.closed: set[str] = set()
        self.lose_starts = False
        self.acked: list[str] = []
        self.feeds: dict[str, Feed] = {}
        self.boot, self.journal, self.effects = 0, {}, []
        self.model_requests: list[str] = []
        self.workers: list[Worker] = []
        self.key: SessionKey | None = None
        self.erasing = False
        self.cancelled: list[str] = []
        self.stopped_requests = 0
        self.fetches, self.stopped_fetches = 0, 0
        self._feed = _Bells(self)
        secrets = LocalSecrets(self.tmp_path / "secrets")
        blobs = _NoBlobs()
        self.app = App(
            settings=Settings(
                write_backoff_seconds=0.0,
                retry_base_seconds=0.0,
                max_parallel_tools=1,
                renew_seconds=3600,
                lease_seconds=10_000,
                leg_turns=self.leg_turns,
                max_model_retries=self.max_retries,
                context_window=self.window,
                prices=self.prices,
                workspace_daily_cap=self.daily_cap,
            ),
            records=_Stepped(self),
            blobs=blobs,
            secrets=secrets,
            log=EventLog(_Stepped(self), blobs, secrets),
            model=_Model(self),
            sandboxes=_Sandboxes(self),
            runs=_Runs(self),
            feed=self._feed,
            clock=self._clock,
            web=_Web(self),
        )
        agent = asking_agent(policies={**POLICIES, **_WEB_POLICIES})
        self.key, self.caller = seed_session(
            self.app, cap=self.cap, time_rate=self.time_rate, agent=agent
        )
        self.observe()

    def _clock(self) -> datetime:
        self.now += timedelta(microseconds=10)
        return self.now

    # ------------------------------------------------------------ watching
    def observe(self) -> None:
        """Reads what was committed and checks every rule. Called after each transaction."""
        if self.key is None or self.store.get([self.key.state()])[0] is None:
            return
        log = EventLog(self.store, self.app.blobs, self.app.secrets)
        snapshot = log.read(self.key, every=True)
        if self.erasing:
            return  # after the tombstone there is only less
        self.erasing = snapshot.session.dead
        for thread_id in snapshot.heads:
            feed = self.feeds.setdefault(thread_id, Feed(self.key.session_id, thread_id))
            entries = log.history(self.key, thread_id)
            feed.entries = entries
            short = log.history(self.key, thread_id, snapshot.heads[thread_id].begins)
            assert messages_of(short) == messages_of(entries), "a checkpoint hides what is needed"
            new = len(entries) - len(feed.generations)
            feed.generations += [snapshot.session.gen] * new
        check_session(snapshot, self.feeds, self.acked)
        self.snapshot = snapshot

    @property
    def primary(self):
        return self.snapshot.primary

    @property
    def child(self):
        """The first child thread's head."""
        children = [h for h in self.snapshot.heads.values() if h.parent_id]
        return min(children, key=lambda head: head.thread_id)

    def kinds(self, thread_id: str | None = None) -> list[str]:
        """Event types of a feed, in order."""
        feed = self.feeds[thread_id or self.snapshot.session.primary_id]
        return [str(event["type"]) for entry in feed.entries for event in entry.events]

    # ------------------------------------------------------------ workers
    def spawn(self, label: str, work: Callable[[], Any]) -> Worker:
        worker = Worker(self, label, work)
        self.workers.append(worker)
        return worker

    @property
    def current(self) -> Worker | None:
        thread = threading.current_thread()
        return next((w for w in self.workers if w.thread is thread), None)

    def invoke(self, execution: Execution, *, ghost: bool = False) -> Worker:
        """A further invocation of the function an execution stands at."""
        run, stage = execution.run, execution.stage
        execution.invocations += 1
        if stage == "turn":
            seconds = math.inf if self.goes_on else 0
            worker = self.spawn(
                f"turn {run.name}",
                lambda: run_steps(self.app, run, seconds=seconds, reader=_Reader),
            )
        else:
            worker = self.spawn(f"tools {run.name}", lambda: run_tools(self.app, run))
        worker.run, worker.stage, worker.ghost = run, stage, ghost
        if not ghost:
            execution.worker = worker
        return worker

    def conclude(self, execution: Execution) -> None:
        """The state machine reads its worker's answer and goes on."""
        worker = execution.worker
        assert worker is not None
        assert worker.done
        execution.worker = None
        answer = worker.result.next
        if answer in ("taken", "idle", "successor"):
            self.close(execution)
        else:
            execution.stage = {"wait": "turn"}.get(answer, answer)

    def close(self, execution: Execution) -> None:
        """The execution ends; its name is used for ever."""
        self.open.pop(execution.run.name, None)
        self.closed.add(execution.run.name)

    def release(self, run: Run) -> Worker:
        return self.spawn(f"release {run.name}", lambda: recovery.release(self.app, run))

    def sweep(self) -> Worker:
        return self.spawn("sweep", lambda: recovery.sweep(self.app))

    def lapse(self) -> None:
        """Time passes until every claim has lapsed."""
        self.now += timedelta(seconds=self.app.settings.lease_seconds + 1)

    def reboot(self) -> None:
        """The sandbox loses its journal and gets another boot id."""
        self.boot += 1
        self.journal = {}

    def land(self, writes: Sequence[Write]) -> None:
        """A transaction whose sender stopped listening arrives after all."""
        self.flight.remove(writes)
        try:
            self.store.write(writes)
        except StaleRead:
            return
        self.observe()
        self._feed.ring()

    def settle(self, limit: int = 400) -> None:
        """Runs everything without further faults until nothing is left to do."""
        for _ in range(limit):
            if not self.go_on():
                return
        raise AssertionError("work is never finished")

    def go_on(self) -> bool:
        """One step of whoever can go on; False when nobody can."""
        for worker in self.workers:
            if not worker.done and worker.at != "abandoned":
                worker.step()
                return True
        for execution in list(self.open.values()):
            if execution.worker is None:
                self.invoke(execution)
            else:
                self.conclude(execution)
            return True
        busy = any(h.is_busy for h in self.snapshot.heads.values()) or self.snapshot.session.todo
        if busy and not self.snapshot.session.dead:
            self.lapse()
            self.sweep()
            return True
        return False


# ---------------------------------------------------------------- the ports, with a stand-still
# before each effect
class _Stepped:
    """The real store; every transaction of a worker waits for a decision."""

    def __init__(self, world: World) -> None:
        self._world = world

    def get(self, wanted):
        world = self._world
        worker = world.current
        if not world.torn or worker is None or len(wanted) == 1:
            return world.store.get(wanted)
        first = world.store.get(wanted[:1])
        if worker.pause("read") == "crash":
            raise Killed
        return first + world.store.get(wanted[1:])

    def query(self, pk, **bounds):
        return self._world.store.query(pk, **bounds)

    def due(self, prefix, limit=1000):
        return self._world.store.due(prefix, limit)

    def write(self, writes: Sequence[Write]) -> None:
        world = self._world
        worker = world.current
        decision = worker.pause("write") if worker else "ok"
        if decision == "crash":
            raise Killed
        if decision == "held":
            world.flight.append(writes)
            raise AmbiguousWrite
        world.store.write(writes)
        try:
            world.observe()
        except AssertionError as error:
            world.failures.append((worker.label if worker else "test", error))
        world._feed.ring()
        if decision == "crash after":
            raise Killed
        if decision == "lost":
            raise AmbiguousWrite


_CALLS = {
    "allow": ["bash"],
    "full": ["bash"],
    "calls": ["bash", "bash"],
    "ask": ["write"],
    "both": ["bash", "write"],
    "custom": ["lookup"],
    "mixed": ["bash", "write", "lookup", "nowhere"],
    "web": ["web_fetch"],
    "webs": ["web_fetch", "bash", "web_search"],
    "spawn": ["spawn"],
}
_INPUTS = {"web_fetch": {"url": PAGE}, "web_search": {"query": "example"}}
_WEB_POLICIES = {"web_fetch": "always_allow", "web_search": "always_ask"}


class _Model:
    """Answers by the script of the thread, one word a committed reply, where the Messages API would
    answer at all.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def open(self, request):
        judge(request)
        content = request.messages[-1]["content"]
        asked = any(block.get("text") == INSTRUCTION for block in content)
        return _Reply(self._world, is_summary=asked)


class _Reply:
    def __init__(self, world: World, *, is_summary: bool) -> None:
        self._world = world
        self._is_summary = is_summary
        self._closed = False

    def close(self) -> None:
        self._closed = True

    def __iter__(self) -> Iterator[Any]:
        world = self._world
        worker = world.current
        assert worker is not None
        assert worker.run is not None
        decision = worker.pause("model")
        if decision == "crash":
            raise Killed
        world.model_requests.append(worker.run.thread_id)
        usage = world.metered()
        if decision == "cut":
            yield UsageSeen(usage)
            raise ModelError("model_request_failed", "cut off", retryable=True)
        if decision == "error":
            raise ModelError("model_overloaded", "busy", retryable=True)
        if decision == "refuse":
            raise ModelError("model_request_failed", "no", retryable=False, refused=True)
        if decision == "long":
            raise ModelError(
                "model_request_failed", "no", retryable=False, refused=True, too_long=True
            )
        if self._closed:
            world.stopped_requests += 1
            raise ModelStopped
        if self._is_summary:
            yield BlockDone(0, {"type": "text", "text": "What was."})
            yield ReplyDone("end_turn", usage)
            return
        head = world.snapshot.heads[worker.run.thread_id]
        threads = sorted(world.snapshot.heads)
        script = world.replies[min(threads.index(head.thread_id), len(world.replies) - 1)]
        word = script[head.replies] if head.replies < len(script) else "text"
        names = _CALLS.get(word, [])
        yield BlockStarted(0, "text")
        yield BlockDone(0, {"type": "text", "text": f"{word} {head.replies}"})
        for n, name in enumerate(names, 1):
            tool_id = f"toolu_{head.thread_id}_{head.replies}_{n}"
            yield BlockStarted(n, "tool_use")
            use = {"type": "tool_use", "id": tool_id, "name": name, "input": _INPUTS.get(name, {})}
            yield BlockDone(n, use)
        if word == "full":
            usage = replace(usage, input_tokens=10**6)
        yield ReplyDone("tool_use" if names else "end_turn", usage)


class _Reader(ReplyReader):
    """Understands the word that creates a child thread."""

    def _use_tool(self, block):
        if block["name"] == "spawn":
            self._children.append(("helper", "task"))
            return
        super()._use_tool(block)


class _Sandboxes:
    """A supervisor's journal without a sandbox: starts, joins, refuses another boot, remembers
    cancellations.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def prewarm(self, sandbox) -> None:
        pass

    def boot(self, sandbox) -> str:
        del sandbox
        return str(self._world.boot)

    def execute(self, sandbox, boot_id, call):
        del sandbox
        world = self._world
        worker = world.current
        assert worker is not None
        if worker.pause("dispatch") == "crash":
            raise Killed
        if boot_id != str(world.boot):
            raise SandboxLost("another boot")
        if call.event_id not in world.journal:
            world.journal[call.event_id] = "done"
            answered = any(
                event.get("tool_use_id") == call.event_id and event["type"] == "agent.tool_result"
                for entry in world.feeds[call.thread_id].entries
                for event in entry.events
            )
            assert not answered, "a sandbox effect after its result was committed"
            world.effects.append(call.event_id)
            assert len(set(world.effects)) == len(world.effects), "a sandbox effect was repeated"
        if world.journal[call.event_id] == "cancelled":
            return ToolResult.text("interrupted", is_error=True)
        return ToolResult.text("ok")

    def cancel(self, sandbox, boot_id, calls) -> None:
        del sandbox
        world = self._world
        worker = world.current
        if worker is not None and worker.pause("cancel") == "crash":
            raise Killed
        for call in calls:
            world.cancelled.append(call.event_id)
            if boot_id == str(world.boot):
                world.journal.setdefault(call.event_id, "cancelled")

    def remove(self, sandbox) -> None:
        pass


class _Web:
    """A web of one page. Its calls may be made any number of times, and stand still once."""

    tools = ("web_search", "web_fetch")

    def __init__(self, world: World) -> None:
        self._world = world

    def fetch(self, url, **rules):
        assert url == PAGE
        del rules
        return _WebCall(self._world)

    def search(self, query, **rules):
        del query, rules
        return _WebCall(self._world, self._world.metered())


class _WebCall:
    def __init__(self, world: World, usage: Usage | None = None) -> None:
        self.usage = usage or Usage()
        self._world = world
        self._closed = False

    def close(self) -> None:
        self._closed = True

    def result(self) -> ToolResult:
        worker = self._world.current
        assert worker is not None
        if worker.pause("fetch") == "crash":
            raise Killed
        if self._closed:
            self._world.stopped_fetches += 1
            raise WebCallStopped
        self._world.fetches += 1
        return ToolResult.text("a page")


class _Runs:
    def __init__(self, world: World) -> None:
        self._world = world

    def start(self, run: Run) -> bool:
        world = self._world
        if run.name in world.closed:
            return False
        if not world.lose_starts:
            world.open.setdefault(run.name, Execution(run))
        return True


class _Bells:
    """Rings for everybody after every transaction, which is too often and never too seldom; or
    never, so that whatever must be noticed is read from the log.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._rings: dict[object, Callable[[], None]] = {}

    def subscribe(self, topic, ring):
        del topic
        return _Subscription(self._rings, ring)

    def ring(self) -> None:
        if not self._world.bell:
            return
        for ring in list(self._rings.values()):
            ring()
        for thread in threading.enumerate():
            if thread.name == "watch":
                thread.join(timeout=20)
                assert not thread.is_alive(), "a watch hangs"

    def preview(self, topic, frame) -> None:
        pass

    def previewed(self, topic) -> bool:
        del topic
        return False


class _Subscription:
    def __init__(self, rings, ring) -> None:
        self._rings = rings
        rings[self] = ring

    def close(self) -> None:
        self._rings.pop(self, None)


class _NoBlobs:
    def put(self, name: str, data: bytes) -> None:
        raise AssertionError(f"unexpected blob {name} of {len(data)} bytes")

    def get(self, name: str) -> bytes:
        raise KeyError(name)

    def delete(self, prefix: str) -> None:
        pass


__all__ = ["Execution", "SessionKey", "Worker", "World", "keys"]
