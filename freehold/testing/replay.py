"""Runs a recorded session again in a scratch store: the same clients' events, the recorded replies
and results, the engine as it is now.

A regression shows as the first event that comes out otherwise. Nothing is asked of a model, a
sandbox or the web.
"""

from __future__ import annotations

import tempfile
from collections import deque
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

from freehold.adapters.blobs import DirectoryBlobs
from freehold.adapters.local_secrets import LocalSecrets
from freehold.adapters.sqlite import SqliteRecords
from freehold.bootstrap_at_rest import at_rest
from freehold.domain import append
from freehold.domain.checkpoint import CHECKPOINT, CLEARED
from freehold.domain.draft import Draft, Snapshot
from freehold.domain.entry import ERASED
from freehold.domain.session import Head, SessionState
from freehold.engine import recovery
from freehold.engine.commit import Transaction, perform
from freehold.engine.tools import run_tools
from freehold.engine.turn import run_turn
from freehold.errors import ApiError
from freehold.ids import new_id, timestamp
from freehold.ports import Run
from freehold.services.events import send_events
from freehold.services.keys import Caller
from freehold.session_doc import read_doc, write_doc
from freehold.settings import Settings
from freehold.testing.recorded_world import RecordedWeb, RecordedWorld
from freehold.testing.recording import Died, EndOfRecording, Recording, Step
from freehold.views.comparison import Difference, first_difference
from freehold.wire.event_input import SendEvents

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from freehold.keys import SessionKey
    from freehold.ports import App
    from freehold.session_doc import SessionDoc
    from freehold.toolset import JsonObject
    from freehold.views.thread_log import ThreadLog

_MANY = 1_000_000
"""Retries: how often the recorded session tried is in its log."""
_MOST_STAGES = 4
"""For each recorded event: an engine that goes round without an event would do so for ever."""
_ACTOR = "apikey_replay"


class NotReplayable(Exception):
    """The message says what the recording lacks, in one line."""


@dataclass(frozen=True, slots=True)
class Replay:
    """`events` were compared. `is_at_rest` is false for a session that was running: what would have
    come next is not judged.
    """

    threads: int
    events: int
    is_at_rest: bool
    difference: Difference | None


def replay_session(app: App, key: SessionKey, threads: Sequence[ThreadLog]) -> Replay:
    """`app` is where the recording lies; nothing is written there. Raises NotReplayable."""
    _require_replayable(threads)
    recording = Recording(threads[0].thread_id, threads[0].entries)
    doc = read_doc(app.records, app.blobs, key).doc
    with (
        tempfile.TemporaryDirectory(prefix="freehold-replay-") as scratch,
        closing(SqliteRecords(":memory:")) as records,
    ):
        stage = _Stage(records, Path(scratch), key, recording, doc)
        stage.play()
        replayed = stage.events()
    if not recording.is_at_rest:
        replayed = replayed[: len(recording.events)]
    difference = first_difference(recording.thread_id, recording.events, replayed)
    return Replay(len(threads), len(recording.events), recording.is_at_rest, difference)


def _require_replayable(threads: Sequence[ThreadLog]) -> None:
    if len(threads) > 1:
        raise NotReplayable("sessions of several threads are not replayed")
    for entry in threads[0].entries:
        if ERASED in entry.private:
            raise NotReplayable("content was erased from this session")
        if {CHECKPOINT, CLEARED, "summarizes"} & set(entry.private):
            raise NotReplayable("its conversation was shortened, which depends on settings")
        for event in entry.events:
            if event["type"] == "session.updated" and "agent" in event:
                raise NotReplayable("its agent's tools were changed, and only the last are known")
            reason = event.get("stop_reason")
            if isinstance(reason, dict) and reason.get("type") == "budget_reached":
                raise NotReplayable("it paused at a budget, which depends on prices and time")


class _Stage:
    """A scratch store, and the world as the recording has it. Sends what clients sent when the feed
    stands where it stood then.
    """

    def __init__(
        self,
        records: SqliteRecords,
        scratch: Path,
        key: SessionKey,
        recording: Recording,
        doc: SessionDoc,
    ) -> None:
        self._key = key
        self._recording = recording
        self._waiting: deque[Run] = deque()
        self._steps = deque(recording.steps)
        self._lock = RLock()
        self._stages_left = _MOST_STAGES * (len(recording.events) + 1)
        secrets = LocalSecrets(scratch / "secret.key")
        world = RecordedWorld(recording, self.events, self.catch_up)
        self._app = replace(
            at_rest(records, DirectoryBlobs(scratch / "blobs"), secrets),
            settings=Settings(max_model_retries=_MANY, retry_base_seconds=0.0),
            runs=self,
            model=world,
            sandboxes=world,
            web=RecordedWeb(recording, self.catch_up),
        )
        self._create(doc)

    def _create(self, doc: SessionDoc) -> None:
        at = timestamp(self._app.clock())
        thread_id = self._recording.thread_id
        head = Head(thread_id, None, doc.agent.name, created_at=at, updated_at=at)
        snapshot = Snapshot(self._key, SessionState(primary_id=thread_id, updated_at=at), {})
        draft = Draft(snapshot, commit_id=new_id("cmt"), actor=_ACTOR, now=self._app.clock())
        draft.born(head)
        draft.extra.append(write_doc(self._app.blobs, self._key, doc, revision=0))
        self._app.log.create(draft)

    def start(self, run: Run) -> bool:
        """As `Runs`: executions wait for their turn."""
        self._waiting.append(run)
        return True

    def events(self) -> list[JsonObject]:
        """The scratch feed so far."""
        entries = self._app.log.history(self._key, self._recording.thread_id)
        return [event for entry in entries for event in entry.events]

    # ------------------------------------------------------------ playing
    def play(self) -> None:
        """Until nothing is left to do, the recording ends, or a client is refused what it had been
        granted.
        """
        try:
            self.catch_up(in_call=True)
            while self._waiting:
                self._execute(self._waiting.popleft())
                if not self._waiting:
                    self.catch_up(in_call=True)
        except (EndOfRecording, ApiError):
            return

    def _execute(self, run: Run) -> None:
        stage = "turn"
        while stage not in ("idle", "taken") and self._stages_left:
            self._stages_left -= 1
            if stage == "successor":
                run = replace(run, leg=run.leg + 1)
            self.catch_up()
            try:
                stage = (run_tools if stage == "tools" else run_turn)(self._app, run).next
            except Died:
                recovery.release(self._app, run)
                return

    def catch_up(self, *, in_call: bool = False) -> None:
        """Sends what was sent before the feed stood here. What came while calls ran waits for
        `in_call`.
        """
        with self._lock:
            while self._steps and self._is_due(self._steps[0], in_call=in_call):
                self._take(self._steps.popleft())

    def _is_due(self, step: Step, *, in_call: bool) -> bool:
        head = self._app.log.read(self._key).primary
        return step.seq <= head.next_seq and (in_call or not step.in_call)

    def _take(self, step: Step) -> None:
        """Events that are sent in one request; what an update or the end of the session wrote is
        written as it was.
        """
        sent = [event for event in step.events if not str(event["type"]).startswith("session.")]
        if sent:
            request = SendEvents.model_validate({"events": [self._input(e) for e in sent]})
            caller = Caller(self._key.workspace_id, _ACTOR, "api")
            send_events(self._app, caller, self._key.session_id, request)
        for event in step.events:
            if event["type"] == "session.updated":
                self._commit(lambda draft, e=event: self._repeat(draft, e))  # type: ignore[misc]
            elif event["type"] == "session.status_terminated":
                self._commit(append.archive_session)

    def _repeat(self, draft: Draft, event: JsonObject) -> None:
        at = draft.stamp(self._recording.thread_id)
        draft.add(self._recording.thread_id, {**event, "processed_at": at})

    def _commit(self, plan: Callable[[Draft], None]) -> None:
        primary = ""
        transaction = Transaction(
            self._key, primary, actor=_ACTOR, plan=plan, landed=lambda *_: None, every=True
        )
        perform(self._app, transaction)

    def _input(self, event: JsonObject) -> JsonObject:
        """The event as its client sent it; the calls that it answers have other ids here."""
        given = {k: v for k, v in event.items() if k not in ("id", "processed_at")}
        sent: JsonObject = {name: value for name, value in given.items() if value is not None}
        for name in ("tool_use_id", "custom_tool_use_id"):
            if name in sent:
                sent[name] = self._here(str(sent[name]))
        return sent

    def _here(self, recorded_id: str) -> str:
        """The id of the event that stands where that one stood."""
        ids = [event["id"] for event in self._recording.events]
        events, place = self.events(), ids.index(recorded_id)
        return str(events[place]["id"]) if place < len(events) else recorded_id
