"""The feed of a thread as one invocation reads it: once, then only what came after."""

from __future__ import annotations

from collections.abc import Mapping

from freehold.domain.draft import Snapshot
from freehold.domain.entry import Entry
from freehold.keys import SessionKey
from freehold.ports import App
from freehold.toolset import JsonObject


class History:
    """Entries oldest first."""

    def __init__(self, app: App, key: SessionKey, thread_id: str) -> None:
        self._app = app
        self._key = key
        self._thread_id = thread_id
        self.entries: list[Entry] = []

    def refresh(self) -> None:
        """Reads what was committed since the last call."""
        self.entries = self._app.log.history(self._key, self._thread_id)

    def inputs(self, snapshot: Snapshot) -> Mapping[str, JsonObject]:
        """Bodies of the events that are pending in `snapshot`, by id."""
        head = snapshot.heads.get(self._thread_id)
        if head is None or not head.pending:
            return {}
        if not self.entries or self.entries[-1].version < head.version - 1:
            self.refresh()
        wanted = {pending.event_id for pending in head.pending}
        return {
            str(event["id"]): event
            for entry in self.entries
            for event in entry.events
            if event["id"] in wanted
        }
