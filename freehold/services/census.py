"""What a store holds now, counted by status, for the operator's metrics."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator

from freehold import keys
from freehold.domain.session import Claim, Head, SessionState
from freehold.errors import AmbiguousWrite, Unavailable
from freehold.ids import parse_timestamp, timestamp
from freehold.keys import SessionKey
from freehold.metrics import BUSY_THREADS, OLDEST_SECONDS, SESSIONS, Measurement
from freehold.ports import App
from freehold.services.keys import list_workspaces
from freehold.services.session_view import status_of

_log = logging.getLogger("freehold.census")
_PAGE = 50
"""Sessions of one read: two items each."""
_REST = 20.0
"""Between two counts of all sessions, times what a count took: at most a twentieth of a core."""

METRICS = (SESSIONS, BUSY_THREADS, OLDEST_SECONDS)


class Census:
    """Looks at the store when asked. Sessions are counted anew only after a rest, since each of
    them is read; threads that run are found by their index, at every look.
    """

    def __init__(self, app: App, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._clock = clock
        self._sessions: Counter[str] = Counter()
        self._again = 0.0

    def look(self) -> list[Measurement]:
        """What is known now; of a store that does not answer, nothing."""
        try:
            return [*self._of_sessions(), *self._of_threads()]
        except (Unavailable, AmbiguousWrite) as error:
            _log.warning("census_failed", extra={"error": str(error)})
            return []

    def _of_sessions(self) -> Iterator[Measurement]:
        began = self._clock()
        if began >= self._again:
            self._sessions = Counter(self._statuses())
            ended = self._clock()
            self._again = ended + _REST * (ended - began)
        for status in ("idle", "running", "rescheduling", "terminated"):
            yield Measurement(SESSIONS, self._sessions[status], {"status": status})

    def _statuses(self) -> Iterator[str]:
        for workspace_id in list_workspaces(self._app.records):
            more, after = True, ""
            while more:
                page = self._app.records.query(
                    keys.collection(workspace_id, "sessions"), after=after, limit=_PAGE
                )
                more, after = page.more, page.items[-1][0].sk if page.items else ""
                yield from self._page([SessionKey(workspace_id, k.sk) for k, _ in page.items])

    def _page(self, places: list[SessionKey]) -> Iterator[str]:
        if not places:
            return
        read = self._app.records.get
        found = zip(places, read([place.state() for place in places]), strict=True)
        states = {p: s for p, i in found if i and not (s := SessionState.from_item(i)).dead}
        if not states:
            return
        heads = read([place.head(state.primary_id) for place, state in states.items()])
        for state, head in zip(states.values(), heads, strict=True):
            if head is not None:
                yield status_of(state, Head.from_item(head))

    def _of_threads(self) -> Iterator[Measurement]:
        now = self._app.clock()
        ages: dict[str, list[float]] = {"claimed": [], "waiting": []}
        for place in self._app.records.due("busy/"):
            key, thread_id = keys.parse_head(place)
            head, claim = self._app.records.get([place, key.claim(thread_id)])
            if head is None or not (busy := Head.from_item(head)).is_busy:
                continue
            held = claim is not None and not Claim.from_item(claim).has_lapsed(timestamp(now))
            since = (now - parse_timestamp(busy.updated_at)).total_seconds()
            ages["claimed" if held else "waiting"].append(max(0.0, since))
        for state, found in ages.items():
            yield Measurement(BUSY_THREADS, len(found), {"state": state})
            yield Measurement(OLDEST_SECONDS, max(found, default=0.0), {"state": state})
