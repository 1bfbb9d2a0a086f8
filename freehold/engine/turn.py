"""RunTurn: at most one model request (DESIGN 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil
from threading import Event
from typing import TYPE_CHECKING, Protocol, TypeVar

from freehold import toolset
from freehold.domain import compaction, permissions
from freehold.domain import turn as plans
from freehold.domain.cache_points import with_cache_points
from freehold.domain.compaction import Reading
from freehold.domain.draft import Draft, Snapshot
from freehold.domain.entry import Entry
from freehold.domain.media import with_bounded_media
from freehold.domain.step import Failure, Next, Reply, Summary
from freehold.domain.transcript import messages_of
from freehold.engine import day_spend
from freehold.engine.commit import Transaction, perform
from freehold.engine.compaction import SUMMARY_TOKENS, SummaryReader, reply_tokens, room_of
from freehold.engine.history import History
from freehold.engine.invocation import Invocation, Outcome, Watch
from freehold.engine.observing import open_reply
from freehold.engine.pricing import priced
from freehold.engine.reply import ReplyReader
from freehold.errors import ModelError, ModelStopped, NotFound
from freehold.keys import SessionKey
from freehold.model_limits import most_output_tokens
from freehold.ports import App, ModelRequest, OpenReply, Run, SandboxRef, Usage
from freehold.session_doc import read_doc
from freehold.toolset import JsonObject
from freehold.wire.sessions import SessionAgent
from freehold.wire.tools import CustomTool

if TYPE_CHECKING:
    from freehold.settings import Settings

_WORKPLACE = (
    "You work in a sandbox of your own. /workspace is your working directory and keeps its files "
    "between turns. Put what you hand over to the user in /mnt/session/outputs. Files the user "
    "uploads are under /mnt/session/uploads and are read-only."
)
_STOPPED = ("model_request_failed", "The request was stopped.")
_LATE = ("model_request_failed", "The summary took too long.")

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")
Result = Reply | Summary | Failure


class Reader(Protocol[T_co]):
    """Makes something of the chunks of a reply. `usage` is what was metered of it so far."""

    @property
    def usage(self) -> Usage: ...

    def read(self, reply: OpenReply) -> T_co:
        """Raises ModelError, ModelStopped."""


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
        agent = read_doc(
            app.records, app.blobs, SessionKey(run.workspace_id, run.session_id)
        ).doc.agent
        return _Turn(app, run, permissions.servable(agent, app.web.tools), reader, deadline).run()
    except NotFound:
        return Outcome("taken")  # the session was deleted under the run


class _Turn:
    """One invocation: claim, request, advance."""

    def __init__(
        self,
        app: App,
        run: Run,
        agent: SessionAgent,
        reader: type[ReplyReader],
        deadline: float | None,
    ) -> None:
        self._app = app
        self._run = run
        self._agent = agent
        self._room = room_of(app.settings, agent.model.id)
        self._reader = reader
        self._invocation = Invocation(app, run, deadline)
        self._history = History(app, self._invocation.key, run.thread_id)
        self._is_repeated = False
        self._summary_tokens = SUMMARY_TOKENS

    def run(self) -> Outcome:
        answer = self._claim()
        if answer not in ("reply", "summary"):
            return Outcome(_word(answer))
        self._history.refresh()
        if answer == "summary":
            return self._advance(priced(self._app, self._agent, self._ask_for_summary()))
        if set(toolset.SANDBOX_TOOLS) & set(permissions.enabled_tools(self._agent)):
            ref = SandboxRef(self._run.workspace_id, self._run.session_id)
            self._app.sandboxes.prewarm(ref)
        return self._advance(priced(self._app, self._agent, self._ask_for_reply()))

    def _claim(self) -> Next | plans.Request:
        day = day_spend.reached(self._app, self._run.workspace_id)
        done = perform(
            self._app,
            Transaction(
                self._invocation.key,
                self._run.thread_id,
                actor=self._run.name,
                plan=lambda draft: plans.begin_turn(
                    draft, self._run, self._invocation.lease(), reading=self._reading(), day=day
                ),
                landed=self._landed_claim,
                inputs=self._read,
            ),
        )
        if done.answer == "summary":
            head = done.draft.heads[self._run.thread_id]
            self._is_repeated = head.compactions > 0
            if head.retries:  # it may have thought until there was no room for a word
                self._summary_tokens = most_output_tokens(self._agent.model.id)
        return done.answer

    def _read(self, snapshot: Snapshot) -> Mapping[str, JsonObject]:
        """The conversation as of the snapshot, and the bodies of what is pending in it."""
        self._history.follow(snapshot)
        return self._history.inputs(snapshot)

    def _reading(self) -> Reading:
        return Reading(self._history.entries, self._room)

    def _landed_claim(self, snapshot: Snapshot, found: Sequence[Entry]) -> Next | plans.Request:
        answer = self._invocation.landed(snapshot, found)
        if answer is not None:
            return answer
        return "summary" if any("summarizes" in entry.private for entry in found) else "reply"

    def _ask_for_reply(self) -> Reply | Failure:
        topic = self._invocation.key.feed(self._run.thread_id)
        reader = self._reader(self._agent, self._app.feed, topic)
        request = request_of(self._agent, messages_of(self._history.entries), self._app.settings)
        return self._ask(request, reader, late=reader.cut_short)

    def _ask_for_summary(self) -> Summary | Failure:
        """The same prefix as ever, so that it is read from the cache: other tools or another
        choice of them would be another prefix.
        """
        reader = SummaryReader()
        messages = compaction.closed_conversation(self._reading(), is_repeated=self._is_repeated)
        request = request_of(self._agent, messages, self._app.settings)
        most = min(self._summary_tokens, reply_tokens(self._app.settings, request.model))
        late = Failure(ModelError(*_LATE, retryable=True), Usage())
        result = self._ask(
            replace(request, max_tokens=most),
            reader,
            late=lambda: replace(late, usage=reader.usage),
        )
        return replace(result, of_summary=True) if isinstance(result, Failure) else result

    def _ask(
        self, request: ModelRequest, reader: Reader[T], late: Callable[[], T | Failure]
    ) -> T | Failure:
        """One model request, closed at once when an interrupt is accepted meanwhile. `late` says
        what comes of one for which there was no time.
        """
        reply = open_reply(self._app, self._run, self._agent.id, request)
        is_late = Event()

        def cut() -> None:
            is_late.set()
            reply.close()

        watch = Watch(interrupted=reply.close, lost=reply.close, late=cut)
        try:
            with self._invocation.watched(watch):
                return reader.read(reply)
        except ModelError as error:
            return Failure(error, reader.usage)
        except ModelStopped:
            if is_late.is_set():
                return late()
            return Failure(ModelError(*_STOPPED, retryable=True), reader.usage)
        finally:
            reply.close()

    def _advance(self, result: Result) -> Outcome:
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

    def _pause(self, retries: int, result: Result) -> int:
        """Seconds until the next attempt: what the provider asked for, else exponential."""
        settings = self._app.settings
        asked = result.error.retry_after if isinstance(result, Failure) else None
        backoff = min(
            settings.retry_cap_seconds, settings.retry_base_seconds * 2.0 ** max(0, retries - 1)
        )
        return ceil(max(asked or 0.0, backoff))

    def _landed(self, snapshot: Snapshot, found: Sequence[Entry]) -> Next:
        return self._invocation.landed(snapshot, found) or "turn"

    def _plan_end(self, draft: Draft, result: Result) -> Next:
        run, holder, limits = self._run, self._invocation.holder, self._invocation.limits
        if isinstance(result, Reply):
            return plans.finish_turn(draft, run, holder, result, limits)
        if isinstance(result, Summary):
            return compaction.finish_summary(draft, run, holder, result, limits, self._reading())
        return plans.fail_turn(draft, run, holder, result, limits, self._reading())


def _word(answer: Next | plans.Request) -> Next:
    """The answer for the state machine; the steps of an invocation never leave it."""
    if answer == "reply" or answer == "summary":  # noqa: PLR1714 - narrows the type
        raise AssertionError(answer)
    return answer


def request_of(
    agent: SessionAgent, messages: Sequence[JsonObject], settings: Settings
) -> ModelRequest:
    """The request for a conversation. Byte-stable from turn to turn: nothing in it depends
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
    bounded = with_bounded_media(messages)
    marked = with_cache_points(system, tools, bounded, settings.cache_ttl)
    most = reply_tokens(settings, agent.model.id)
    return ModelRequest(
        model=agent.model.id,
        system=marked[0],
        tools=marked[1],
        messages=marked[2],
        max_tokens=most if most < most_output_tokens(agent.model.id) else None,
        effort=agent.model.effort.type if agent.model.effort else None,
        speed=agent.model.speed,
    )


def _definition(tool: CustomTool) -> JsonObject:
    return {
        "name": tool.name,
        "description": tool.description,
        "input_schema": tool.input_schema.model_dump(),
    }
