"""Sessions in this process, driven without a server: what is read of the store is counted, and the
model answers at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from freehold import bootstrap
from freehold.adapters.no_sandbox import NoSandbox
from freehold.domain.compaction import INSTRUCTION
from freehold.engine.turn import run_turn
from freehold.event_log import EventLog
from freehold.keys import Key, SessionKey
from freehold.ports import BlockDone, BlockStarted, Item, ModelRequest, Page, ReplyDone, Run, Usage
from freehold.services.events import send_events
from freehold.services.keys import Caller
from freehold.settings import Settings
from freehold.wire.event_input import SendEvents
from tests.protocol.sessions import seed_session

_WINDOW = 16_000
_TOKENS_OF_MESSAGE = 250
_MESSAGE = "Say one word. " * 20


class Counting:
    """The store, and how many items were read of it."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self.items = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)

    def get(self, keys: Sequence[Key]) -> list[Item | None]:
        self.items += len(keys)
        found: list[Item | None] = self._records.get(keys)
        return found

    def query(self, pk: str, **bounds: Any) -> Page:
        page: Page = self._records.query(pk, **bounds)
        self.items += len(page.items)
        return page


class _Instant:
    """A model that answers at once, and takes each message for 250 tokens."""

    def open(self, request: ModelRequest) -> _InstantReply:
        return _InstantReply(request)


class _InstantReply:
    def __init__(self, request: ModelRequest) -> None:
        content = request.messages[-1]["content"]
        assert isinstance(content, list)
        is_summary = any(isinstance(b, dict) and b.get("text") == INSTRUCTION for b in content)
        self._text = "What was said so far." if is_summary else "Word."
        self._usage = Usage(input_tokens=_TOKENS_OF_MESSAGE * len(request.messages))

    def __iter__(self) -> Iterator[Any]:
        yield BlockStarted(0, "text")
        yield BlockDone(0, {"type": "text", "text": self._text})
        yield ReplyDone("end_turn", self._usage)

    def close(self) -> None:
        """Nothing is open."""


class Started:
    """Executions wait until they are carried out."""

    def __init__(self) -> None:
        self.waiting: list[Run] = []

    def start(self, run: Run) -> bool:
        self.waiting.append(run)
        return True


class Sessions:
    """Sessions in one directory."""

    def __init__(self, directory: Path) -> None:
        # Waits for the disk would be the larger part, and are the same at every age.
        settings = Settings(data_dir=directory, context_window=_WINDOW, synchronous="NORMAL")
        self._runs = Started()
        app = bootstrap.local(settings, runs=self._runs, model=_Instant(), sandboxes=NoSandbox())
        self.records = Counting(app.records)
        self.app = replace(app, records=self.records)
        self.forget()

    def forget(self) -> None:
        """As in a new process."""
        log = EventLog(self.records, self.app.blobs, self.app.secrets)
        self.app = replace(self.app, log=log)

    def session(self) -> tuple[SessionKey, Caller]:
        key, caller = seed_session(self.app)
        return key, caller

    def turn(self, key: SessionKey, caller: Caller) -> tuple[float, float]:
        """Milliseconds from a message to its thread's idle: of the processor, and of the clock."""
        content = [{"type": "text", "text": _MESSAGE}]
        said = SendEvents.model_validate({"events": [{"type": "user.message", "content": content}]})
        cpu, began = time.process_time(), time.perf_counter()
        send_events(self.app, caller, key.session_id, said)
        while self._runs.waiting:
            run = self._runs.waiting.pop(0)
            while run_turn(self.app, run).next == "turn":
                pass
        return (time.process_time() - cpu) * 1000, (time.perf_counter() - began) * 1000
