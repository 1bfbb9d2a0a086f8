"""The feed of a thread as one invocation reads it: once, then only what came after."""

from __future__ import annotations

from collections.abc import Mapping

from freehold.domain.draft import Snapshot
from freehold.domain.entry import BEGINNING, Entry, Place
from freehold.keys import SessionKey
from freehold.ports import App
from freehold.toolset import JsonObject


class History:
    """Entries oldest first, from where the thread's checkpoint has a reader begin."""

    def __init__(self, app: App, key: SessionKey, thread_id: str) -> None:
        self._app = app
        self._key = key
        self._thread_id = thread_id
        self._start = BEGINNING
        self.entries: list[Entry] = []

    @property
    def start(self) -> Place:
        return self._start

    def refresh(self) -> None:
        """Reads what was committed since the last call."""
        self.entries = self._app.log.history(self._key, self._thread_id, self._start)

    def follow(self, snapshot: Snapshot) -> None:
        """Begins where the head of `snapshot` says, and reads up to that head."""
        head = snapshot.heads.get(self._thread_id)
        if head is None:
            return
        moved = head.begins != self._start
        self._start = head.begins
        if moved or not self.entries or self.entries[-1].version < head.version - 1:
            self.refresh()

    def inputs(self, snapshot: Snapshot) -> Mapping[str, JsonObject]:
        """Bodies of the events that are pending in `snapshot`, by id."""
        head = snapshot.heads.get(self._thread_id)
        if head is None or not head.pending:
            return {}
        self.follow(snapshot)
        wanted = {pending.event_id for pending in head.pending}
        return {
            str(event["id"]): event
            for entry in self.entries
            for event in entry.events
            if event["id"] in wanted
        }
