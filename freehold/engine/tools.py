"""RunTools: every permitted, unanswered call of the last reply; plan, then act (DESIGN 5).

A failing call is a result and never discards its siblings. Calls asked for in parallel run in
parallel; their results enter the log together, in the model's order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from threading import Event

from freehold.domain import calls as plans
from freehold.domain import lifecycle
from freehold.domain.draft import Draft, Snapshot
from freehold.domain.entry import Entry
from freehold.domain.session import Head, Use
from freehold.domain.step import Next
from freehold.domain.tool_results import as_taken
from freehold.engine.commit import Done, Transaction, perform
from freehold.engine.history import History
from freehold.engine.invocation import Invocation, Outcome, Watch
from freehold.engine.observing import observed_calls
from freehold.engine.web_calls import WebCalls
from freehold.errors import NotFound, SandboxLost, SandboxStarting, ToolError
from freehold.ports import App, Run, SandboxRef
from freehold.toolset import WEB_TOOLS, JsonObject, ToolCall, ToolResult

UNKNOWN = "The sandbox was lost while this call ran. Outcome unknown, not repeated."


def run_tools(
    app: App, run: Run, *, deadline: float | None = None, leaves: Collection[str] = ()
) -> Outcome:
    """Marks, dispatches, answers. Safe to call again at any time, by anybody.

    A round with a call of a tool that this invocation `leaves` is not touched: `tools` again.
    """
    try:
        return _Round(app, run, deadline).run(leaves)
    except NotFound:
        return Outcome("taken")  # the session was deleted under the run


class _Round:
    """One invocation: mark, dispatch, results."""

    def __init__(self, app: App, run: Run, deadline: float | None) -> None:
        self._app = app
        self._run = run
        self._invocation = Invocation(app, run, deadline)
        self._history = History(app, self._invocation.key, run.thread_id)
        self._sandbox = SandboxRef(run.workspace_id, run.session_id)
        self._no_sandbox: ToolError | None = None
        self._starting: SandboxStarting | None = None
        self._web = WebCalls(app, run, self._history)
        self._leave = Event()

    def run(self, leaves: Collection[str]) -> Outcome:
        wanted = self._wanted()
        if not wanted.isdisjoint(leaves):
            return Outcome("tools")
        begun = self._begin(self._boot() if wanted.difference(WEB_TOOLS) else None)
        if begun.answer == "tools" and self._starting is not None:
            return Outcome("wait", seconds=self._starting.seconds)
        if begun.answer not in ("dispatch", "cancel"):
            return Outcome(_word(begun.answer))
        uses = plans.started(self._head(begun).uses)
        calls = self._calls(uses)
        results: Mapping[str, ToolResult] = {}
        if begun.answer == "cancel":
            self._cancel(uses, calls)
        else:
            results = self._dispatch(uses, calls)
        return Outcome(self._finish(uses, calls, results))

    def _wanted(self) -> set[str]:
        """The tools of the calls that wait: the plan decides, this only spares the boot. None where
        there is an interrupt, which does not wait for a sandbox.
        """
        try:
            snapshot = self._app.log.read(self._invocation.key, self._run.thread_id)
        except NotFound:
            return set()
        head = snapshot.heads.get(self._run.thread_id)
        if head is None or head.epoch != self._run.epoch:
            return set()
        if lifecycle.is_interrupted(snapshot.session, head):
            return set()
        return {use.name for use in head.uses if use.is_runnable}

    def _boot(self) -> str | None:
        """None while the sandbox starts: what needs none goes on, the rest comes back later."""
        try:
            return self._app.sandboxes.boot(self._sandbox)
        except SandboxStarting as starting:
            self._starting = starting
            return None
        except ToolError as error:
            self._no_sandbox = error
            return ""

    def _begin(self, boot_id: str | None) -> Done[Next | plans.Step]:
        return perform(
            self._app,
            Transaction(
                self._invocation.key,
                self._run.thread_id,
                actor=self._run.name,
                plan=lambda draft: plans.begin_tools(
                    draft, self._run, self._invocation.lease(), boot_id
                ),
                landed=self._landed_begin,
                inputs=self._history.inputs,
            ),
        )

    def _head(self, begun: Done[Next | plans.Step]) -> Head:
        """The head with the mark. One read before an earlier attempt landed may be without."""
        head = begun.draft.heads[self._run.thread_id]
        if not begun.entries:
            return head
        found = self._app.log.read(self._invocation.key, self._run.thread_id).heads
        return found.get(self._run.thread_id, head)

    def _landed_begin(self, snapshot: Snapshot, found: Sequence[Entry]) -> Next | plans.Step:
        """Our claim landed: what it marked is ours to dispatch; without a mark it was the claim of
        a cancellation.
        """
        answer = self._invocation.landed(snapshot, found)
        if answer is not None:
            return answer
        return "dispatch" if any("started" in entry.private for entry in found) else "cancel"

    def _calls(self, uses: Sequence[Use]) -> dict[str, ToolCall]:
        """The calls behind the uses, by event id, from the events of the reply."""
        found: dict[str, JsonObject] = {}
        for use in uses:
            if use.event_id not in found:
                events = self._app.log.events_after(
                    self._invocation.key, self._run.thread_id, use.seq - 1, limit=1
                )
                found.update((str(event.body["id"]), event.body) for event in events)
        calls = {}
        for use in uses:
            given = found[use.event_id]["input"]
            assert isinstance(given, dict)
            calls[use.event_id] = ToolCall(self._run.thread_id, use.event_id, use.name, given)
        return calls

    # ------------------------------------------------------------ acting
    def _dispatch(
        self, uses: Sequence[Use], calls: Mapping[str, ToolCall]
    ) -> dict[str, ToolResult]:
        """All calls, in parallel. An interrupt kills what runs, and the calls then answer at once;
        out of time, the finished ones at the front are answered and the round is entered again.
        """
        watch = Watch(
            interrupted=lambda: self._cancel(uses, calls),
            lost=self._give_up,  # the calls belong to whoever has the claim now
            late=self._give_up,
        )
        with self._invocation.watched(watch):
            execute = observed_calls(self._app, self._run, self._execute)
            workers = min(len(uses), self._app.settings.max_parallel_tools)
            if workers == 1:
                answers = [execute(use, calls[use.event_id]) for use in uses]
            else:
                with ThreadPoolExecutor(workers) as pool:
                    jobs = pool.map(lambda use: execute(use, calls[use.event_id]), uses)
                    answers = list(jobs)
        finished = takewhile(lambda pair: pair[1] is not None, zip(uses, answers, strict=True))
        return {use.event_id: as_taken(answer) for use, answer in finished if answer is not None}

    def _execute(self, use: Use, call: ToolCall) -> ToolResult | None:
        """The call's result; None when this invocation ends before it has one."""
        if use.name in WEB_TOOLS:
            return self._web.execute(call)
        if self._no_sandbox is not None:
            return ToolResult.text(str(self._no_sandbox), is_error=True)
        try:
            result = None
            while result is None and not self._leave.is_set():
                result = self._app.sandboxes.execute(self._sandbox, use.boot or "", call)
        except SandboxLost:
            return ToolResult.text(UNKNOWN, is_error=True)
        except ToolError as error:
            return ToolResult.text(str(error), is_error=True)
        return result

    def _give_up(self) -> None:
        self._leave.set()
        self._web.leave()

    def _cancel(self, uses: Sequence[Use], calls: Mapping[str, ToolCall]) -> None:
        self._web.interrupt()
        by_boot: dict[str, list[ToolCall]] = {}
        for use in uses:
            if use.name not in WEB_TOOLS:
                by_boot.setdefault(use.boot or "", []).append(calls[use.event_id])
        for boot_id, cancelled in by_boot.items():
            self._app.sandboxes.cancel(self._sandbox, boot_id, cancelled)

    # ------------------------------------------------------------ results
    def _finish(
        self,
        uses: Sequence[Use],
        calls: Mapping[str, ToolCall],
        results: Mapping[str, ToolResult],
    ) -> Next:
        """Commits the results; where an interrupt came first, kills what still runs and asks once
        more.
        """
        cancelled = False
        while True:
            answer = self._commit_results(results, cancelled=cancelled)
            if answer != "cancel":
                return _word(answer)
            self._cancel(uses, calls)
            cancelled = True

    def _commit_results(
        self, results: Mapping[str, ToolResult], *, cancelled: bool
    ) -> Next | plans.Step:
        def plan(draft: Draft) -> Next | plans.Step:
            return plans.finish_tools(
                draft,
                self._run,
                self._invocation.holder,
                results,
                self._invocation.limits,
                spent=self._web.spent,
                search_cost=self._app.settings.prices.search_cost,
                cancelled=cancelled,
            )

        done = perform(
            self._app,
            Transaction(
                self._invocation.key,
                self._run.thread_id,
                actor=self._run.name,
                plan=plan,
                landed=lambda s, e: self._invocation.landed(s, e) or "turn",
                inputs=self._history.inputs,
            ),
        )
        for started in done.runs():
            if started.name != self._run.name:
                self._app.runs.start(started)
        return done.answer


def _word(answer: Next | plans.Step) -> Next:
    """The answer for the state machine; the steps of an invocation never leave it."""
    if answer == "dispatch" or answer == "cancel":  # noqa: PLR1714 - narrows the type
        raise AssertionError(answer)
    return answer
