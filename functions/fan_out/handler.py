"""Brings what is written to feeds to the WebSockets that follow them (ADR 0007).

A record of the table's stream is a doorbell: what is sent is decided by the log and the cursors. So
a record that is repeated, or comes late, costs a look.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

from freehold.errors import AuthenticationFailed
from freehold.ports import App, Connections
from freehold.services.followers import Listener, followers, look_up
from freehold.services.keys import check_standing
from functions.fan_out.calls import Call, calls_of
from functions.fan_out.delivery import Delivery
from functions.socket.farewell import part

_log = logging.getLogger("freehold.fan_out")

_WORKERS = 32
"""Connections served at a time. One that is slow holds up its own worker, for a moment."""


def make_handler(
    app: App, connections: Connections, workers: Executor | None = None
) -> Callable[[Any, Any], Mapping[str, Any]]:
    """Takes a batch of stream records; answers which of them to deliver again. `workers` replace
    the threads that serve connections.
    """
    workers = workers or ThreadPoolExecutor(_WORKERS, thread_name_prefix="fan-out")

    def handler(event: Any, _context: Any) -> Mapping[str, Any]:
        batch = _Batch(app, connections, calls_of(event["Records"]))
        failed = batch.perform(workers)
        numbers = [number for call in failed for number in call.records]
        return {"batchItemFailures": [{"itemIdentifier": number} for number in numbers]}

    return handler


class _Batch:
    """The calls of one invocation. What fails for one feed or connection holds up no other."""

    def __init__(self, app: App, connections: Connections, calls: Sequence[Call]) -> None:
        self._app = app
        self._connections = connections
        self._calls = calls
        self._failed: dict[str, Call] = {}

    def perform(self, workers: Executor) -> Sequence[Call]:
        """The calls that were not performed to their end."""
        asked = [(call, workers.submit(self._audience, call)) for call in self._calls]
        served: list[tuple[Call, Future[None]]] = []
        for call, found in asked:
            is_preview = not call.everybody and not call.alone
            delivery = Delivery(self._app, self._connections, is_preview=is_preview)
            for listener in self._outcome(call, found) or ():
                task = workers.submit(delivery.serve, listener, call.previews)
                served.append((call, task))
        for call, done in served:
            self._outcome(call, done)
        return list(self._failed.values())

    def _audience(self, call: Call) -> list[Listener]:
        """Whom the call concerns, if their keys still stand."""
        if call.everybody or call.previews:
            now = self._app.clock()
            found = [
                listener
                for listener in followers(self._app, call.topic)
                if listener.connection_id in call.alone
                or (listener.is_due(now) and (call.everybody or listener.wanted))
            ]
        else:
            found = look_up(self._app, call.topic, sorted(call.alone))
        refused = self._revoked(found)
        for listener in found:
            if listener.caller.key_digest in refused:
                error = refused[listener.caller.key_digest]
                part(self._app, self._connections, listener.connection_id, error)
        return [listener for listener in found if listener.caller.key_digest not in refused]

    def _revoked(self, found: Sequence[Listener]) -> Mapping[str, AuthenticationFailed]:
        """Why, by the digests of keys that are not accepted any more."""
        refused: dict[str, AuthenticationFailed] = {}
        for caller in {listener.caller.key_digest: listener.caller for listener in found}.values():
            try:
                check_standing(self._app, caller)
            except AuthenticationFailed as error:
                refused[caller.key_digest] = error
        return refused

    def _outcome(self, call: Call, done: Future[Any]) -> Any:
        """None for what failed: its records are delivered again."""
        try:
            return done.result()
        except Exception:  # noqa: BLE001 - the other feeds have a right to theirs
            _log.exception("delivery_failed", extra={"feed": call.topic})
            self._failed[call.topic] = call
            return None
