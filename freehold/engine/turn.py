"""RunTurn: at most one model request (DESIGN 5)."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from threading import Event

from freehold import toolset
from freehold.domain import permissions
from freehold.domain import turn as plans
from freehold.domain.draft import Draft, Snapshot
from freehold.domain.entry import Entry
from freehold.domain.step import Failure, Next, Reply
from freehold.domain.transcript import messages_of, with_cache_points
from freehold.engine.commit import Transaction, perform
from freehold.engine.history import History
from freehold.engine.invocation import Invocation, Outcome, Watch
from freehold.engine.observing import open_reply
from freehold.engine.reply import ReplyReader
from freehold.errors import ModelError, ModelStopped, NotFound
from freehold.ports import App, ModelRequest, Run, SandboxRef
from freehold.session_doc import read_doc
from freehold.toolset import JsonObject
from freehold.wire.sessions import SessionAgent
from freehold.wire.tools import CustomTool

_WORKPLACE = (
    "You work in a sandbox of your own. /workspace is your working directory and keeps its files "
    "between turns. Put what you hand over to the user in /mnt/session/outputs. Files the user "
    "uploads are under /mnt/session/uploads and are read-only."
)
_STOPPED = ("model_request_failed", "The request was stopped.")


def run_turn(
    app: App,
    run: Run,
    *,
    deadline: float | None = None,
    reader: type[ReplyReader] = ReplyReader,
) -> Outcome:
    """Claims the thread, asks the model, appends its reply. Safe to call again at any time, by
    anybody.

    `deadline`, on the clock of `time.monotonic`: shortly before it the request is cut, complete
    blocks are kept, and a further request goes on. `reader` decides what the blocks of a reply
    mean.
    """
    try:
        return _Turn(app, run, reader, deadline).run()
    except NotFound:
        return Outcome("taken")  # the session was deleted under the run


class _Turn:
    """One invocation: claim, request, advance."""

    def __init__(
        self, app: App, run: Run, reader: type[ReplyReader], deadline: float | None
    ) -> None:
        self._app = app
        self._run = run
        self._reader = reader
        self._invocation = Invocation(app, run, deadline)
        self._history = History(app, self._invocation.key, run.thread_id)

    def run(self) -> Outcome:
        answer = self._claim()
        if answer is not None:
            return Outcome(answer)
        self._history.refresh()
        agent = read_doc(self._app.records, self._app.blobs, self._invocation.key).doc.agent
        agent = permissions.servable(agent, self._app.web.tools)
        if set(toolset.SANDBOX_TOOLS) & set(permissions.enabled_tools(agent)):
            ref = SandboxRef(self._run.workspace_id, self._run.session_id)
            self._app.sandboxes.prewarm(ref)
        return self._advance(self._ask(agent))

    def _claim(self) -> Next | None:
        self._history.refresh()
        done = perform(
            self._app,
            Transaction(
                self._invocation.key,
                self._run.thread_id,
                actor=self._run.name,
                plan=lambda draft: plans.begin_turn(draft, self._run, self._invocation.lease()),
                landed=self._invocation.landed,
                inputs=self._history.inputs,
            ),
        )
        return done.answer

    def _ask(self, agent: SessionAgent) -> Reply | Failure:
        """One model request, closed at once when an interrupt is accepted meanwhile."""
        topic = self._invocation.key.feed(self._run.thread_id)
        reader = self._reader(agent, self._app.feed, topic)
        request = request_of(agent, self._history)
        reply = open_reply(self._app, self._run, agent.id, request)
        late = Event()

        def cut() -> None:
            late.set()
            reply.close()

        watch = Watch(interrupted=reply.close, lost=reply.close, late=cut)
        try:
            with self._invocation.watched(watch):
                return reader.read(reply)
        except ModelError as error:
            return Failure(error, reader.usage)
        except ModelStopped:
            if late.is_set():
                return reader.cut_short()
            return Failure(ModelError(*_STOPPED, retryable=True), reader.usage)
        finally:
            reply.close()

    def _advance(self, result: Reply | Failure) -> Outcome:
        """Appends what came of the request, and starts what that asks for: a successor, a child."""
        done = perform(
            self._app,
            Transaction(
                self._invocation.key,
                self._run.thread_id,
                actor=self._run.name,
                plan=lambda draft: self._plan_end(draft, result),
                landed=self._landed,
                inputs=self._history.inputs,
            ),
        )
        for started in done.runs():
            if started.name != self._run.name:
                self._app.runs.start(started)
        head = done.draft.heads[self._run.thread_id]
        seconds = self._pause(head.retries, result) if done.answer == "wait" else 0
        return Outcome(done.answer, seconds=seconds, turns=head.turns)

    def _pause(self, retries: int, result: Reply | Failure) -> int:
        """Seconds until the next attempt: what the provider asked for, else exponential."""
        settings = self._app.settings
        asked = result.error.retry_after if isinstance(result, Failure) else None
        backoff = min(
            settings.retry_cap_seconds, settings.retry_base_seconds * 2.0 ** max(0, retries - 1)
        )
        return ceil(max(asked or 0.0, backoff))

    def _landed(self, snapshot: Snapshot, found: Sequence[Entry]) -> Next:
        return self._invocation.landed(snapshot, found) or "turn"

    def _plan_end(self, draft: Draft, result: Reply | Failure) -> Next:
        run, holder, limits = self._run, self._invocation.holder, self._invocation.limits
        if isinstance(result, Reply):
            return plans.finish_turn(draft, run, holder, result, limits)
        return plans.fail_turn(draft, run, holder, result, limits)


def request_of(agent: SessionAgent, history: History) -> ModelRequest:
    """The request for the conversation so far. Byte-stable from turn to turn: nothing in it depends
    on the clock (DESIGN 6).
    """
    names = permissions.enabled_tools(agent)
    built_in = toolset.tool_definitions(names)
    tools = (*built_in, *map(_definition, permissions.custom_tools(agent)))
    system: list[JsonObject] = []
    if agent.system and agent.system.strip():  # a block without a word fails the request
        system.append({"type": "text", "text": agent.system})
    if set(toolset.SANDBOX_TOOLS) & set(names):
        system.append({"type": "text", "text": _WORKPLACE})
    marked = with_cache_points(system, tools, messages_of(history.entries))
    return ModelRequest(
        model=agent.model.id,
        system=marked[0],
        tools=marked[1],
        messages=marked[2],
        effort=agent.model.effort.type if agent.model.effort else None,
        speed=agent.model.speed,
    )


def _definition(tool: CustomTool) -> JsonObject:
    return {
        "name": tool.name,
        "description": tool.description,
        "input_schema": tool.input_schema.model_dump(),
    }
