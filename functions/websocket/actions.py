"""What each action does, and its answer if it has one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from freehold.ids import new_id
from freehold.services import connections
from freehold.services.followers import Listener
from freehold.services.keys import Caller, check_standing
from freehold.wire.parsing import parse_body
from functions.socket import frames
from functions.socket.actions import MAX_SUBSCRIPTIONS, Ping, Subscribe, Unsubscribe, parse_send
from functions.socket.requests import check_cursor, locate, post_events

if TYPE_CHECKING:
    from freehold.ports import App


class Actions:
    """By the names that clients use. An action raises ApiError for what it refuses."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._known: Mapping[str, Callable[[str, Caller, int, bytes], str | None]] = {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "send": self._send,
            "ping": self._ping,
        }

    def perform(self, name: str, connection_id: str, raw: bytes) -> str | None:
        """One action of a connection, by its name.

        Raises AuthenticationFailed for a connection that is not open, or whose key is not accepted
        any more, a ping among them: nothing else looks after a connection that is quiet.
        """
        caller, expires_at = connections.caller_of(self._app, connection_id)
        check_standing(self._app, caller)
        return self._known[name](connection_id, caller, expires_at, raw)

    def _ping(self, _connection_id: str, _caller: Caller, _expires_at: int, raw: bytes) -> str:
        parse_body(Ping, raw)
        return frames.PONG

    def _send(self, _connection_id: str, caller: Caller, _expires_at: int, raw: bytes) -> str:
        """As the POST of the events, with its refusals."""
        action, body = parse_send(raw)
        answer = post_events(self._app, caller, action, body)
        return frames.sent_or_stub(action.session_id, answer)

    def _subscribe(self, connection_id: str, caller: Caller, expires_at: int, raw: bytes) -> None:
        action = parse_body(Subscribe, raw)
        key, thread_id, head = locate(self._app, caller, action.session_id, action.thread_id)
        cursor, end = check_cursor(action, head), head.next_seq - 1
        last = end if head.status == "terminated" else None
        if last == cursor:
            return  # there is nothing to follow
        listener = Listener(
            topic=key.feed(thread_id),
            connection_id=connection_id,
            subscription=new_id("sub"),
            session_id=action.session_id,
            thread_id=thread_id,
            caller=caller,
            cursor=cursor,
            wanted=frozenset(action.event_deltas),
            expires_at=expires_at,
            last=last,
        )
        connections.subscribe(self._app, listener, most=MAX_SUBSCRIPTIONS)

    def _unsubscribe(
        self, connection_id: str, _caller: Caller, _expires_at: int, raw: bytes
    ) -> None:
        action = parse_body(Unsubscribe, raw)
        connections.unsubscribe(self._app, connection_id, action.session_id, action.thread_id)
