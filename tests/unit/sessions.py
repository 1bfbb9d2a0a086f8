"""Sessions driven to their end without a server: the real store, log and engine, the scripted
model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from freehold.adapters.blobs import DirectoryBlobs
from freehold.adapters.local_secrets import LocalSecrets
from freehold.adapters.process_feed import ProcessFeed
from freehold.adapters.sqlite import SqliteRecords
from freehold.adapters.web import PublicWeb
from freehold.engine import recovery
from freehold.engine.tools import run_tools
from freehold.engine.turn import run_turn
from freehold.errors import SandboxLost
from freehold.event_log import EventLog
from freehold.ids import now
from freehold.ports import App, Run
from freehold.services.events import send_events
from freehold.settings import Settings
from freehold.testing.scripted_model import ScriptedModel
from freehold.toolset import ToolResult
from freehold.wire.event_input import SendEvents
from tests.judge import judge
from tests.protocol.sessions import seed_session


class Recorded:
    """A model, and the requests it was sent."""

    def __init__(self, model):
        self.model = model
        self.requests = []

    def open(self, request):
        self.requests.append(request)
        return self.model.open(request)


class Failing:
    """A model each of whose requests ends with `error`; a reply that does."""

    def __init__(self, error):
        self._error = error

    def open(self, request):
        return self

    def close(self):
        pass

    def __iter__(self):
        raise self._error


class Echo:
    """A sandbox whose every call answers its own input; `lost` calls lose it."""

    def __init__(self):
        self.calls = []
        self.lost = False

    def prewarm(self, sandbox) -> None:
        pass

    def boot(self, sandbox) -> str:
        return "boot-1"

    def execute(self, sandbox, boot_id, call):
        self.calls.append(call)
        if self.lost:
            raise SandboxLost("gone")
        return ToolResult.text(str(call.input.get("command", "")))

    def cancel(self, sandbox, boot_id, calls) -> None:
        pass

    def remove(self, sandbox) -> None:
        pass


class Queue:
    """Executions wait until `drain` runs them, one function after the other."""

    def __init__(self):
        self.waiting: list[Run] = []

    def start(self, run: Run) -> bool:
        self.waiting.append(run)
        return True

    def drain(self, app: App) -> None:
        while self.waiting:
            run = self.waiting.pop(0)
            stage = "turn"
            while stage not in ("idle", "taken", "successor"):
                act = run_tools if stage == "tools" else run_turn
                stage = act(app, run).next


class Bench:
    """One session, and what happens to it."""

    def __init__(
        self,
        directory: Path,
        *,
        model: Any = None,
        web: Any = None,
        path: Any = ":memory:",
        agent: Any = None,
        observe: Any = None,
        **settings,
    ):
        self.records = SqliteRecords(path)
        blobs, secrets = DirectoryBlobs(directory / "blobs"), LocalSecrets(directory / "key")
        self.model = Recorded(model or ScriptedModel())
        self.sandbox = Echo()
        self.runs = Queue()
        self.app = App(
            settings=Settings(**{"retry_base_seconds": 0.0, **settings}),
            records=self.records,
            blobs=blobs,
            secrets=secrets,
            log=EventLog(self.records, blobs, secrets),
            model=self.model,
            sandboxes=self.sandbox,
            runs=self.runs,
            feed=ProcessFeed(),
            clock=now,
            web=web or PublicWeb(),
            observe=observe,
        )
        self.key, self.caller = seed_session(self.app, agent=agent)
        self.thread_id = self.app.log.read(self.key).session.primary_id

    def send(self, *events: dict[str, Any]) -> list[Any]:
        request = SendEvents.model_validate({"events": list(events)})
        return send_events(self.app, self.caller, self.key.session_id, request).data

    def say(self, text: str, *, drain: bool = True) -> list[Any]:
        sent = self.send({"type": "user.message", "content": [{"type": "text", "text": text}]})
        if drain:
            self.runs.drain(self.app)
        return sent

    @property
    def snapshot(self):
        return self.app.log.read(self.key, self.thread_id)

    @property
    def head(self):
        return self.snapshot.heads[self.thread_id]

    @property
    def entries(self):
        return self.app.log.history(self.key, self.thread_id)

    @property
    def events(self):
        return [event for entry in self.entries for event in entry.events]

    def kinds(self):
        return [event["type"] for event in self.events]

    def judge(self):
        """Every request so far keeps the rules of the Messages API. Raises Refused."""
        for request in self.model.requests:
            judge(request)

    def sweep(self):
        return recovery.sweep(self.app).visited
