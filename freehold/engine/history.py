"""The feed of a thread as one invocation reads it: once, then only what came after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from freehold import keys
from freehold.domain.draft import Snapshot
from freehold.domain.entry import BEGINNING, Entry
from freehold.domain.session import Head
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

    def everything(self) -> Iterator[Entry]:
        """The whole feed up to where `entries` end, read as it is taken; what stands before the
        checkpoint is not kept.
        """
        after, end = "", keys.before_entry(self._start.seq, self._start.version)
        more = bool(end)
        while more:
            found, more = self._app.log.entries(self._key, self._thread_id, after=after)
            for entry in found:
                if entry.version >= self._start.version:
                    more = False
                    break
                yield entry
            after = found[-1].sort_key
        yield from self.entries

    def refresh(self) -> None:
        """Reads what was committed since the last call."""
        self.entries = self._app.log.history(self._key, self._thread_id, self._start)

    def follow(self, snapshot: Snapshot) -> None:
        """Reads up to the head of `snapshot`, from where that begins."""
        head = self._begin(snapshot)
        if head and (not self.entries or self.entries[-1].version < head.version - 1):
            self.refresh()

    def _begin(self, snapshot: Snapshot) -> Head | None:
        head = snapshot.heads.get(self._thread_id)
        if head is not None and head.begins != self._start:
            self._start, self.entries = head.begins, []
        return head

    def inputs(self, snapshot: Snapshot) -> Mapping[str, JsonObject]:
        """Bodies of the events that are pending in `snapshot`, by id. What is read from then on
        begins where the head of `snapshot` says.
        """
        head = self._begin(snapshot)
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
