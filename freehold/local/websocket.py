"""`/ws`: feeds over one WebSocket (DESIGN 8). An extension; the hosted API streams by SSE only.

In: `{"action": "subscribe", "session_id", "thread_id"?, "after_seq"?, "event_deltas"?}`,
`unsubscribe` with the same ids, `send` with `session_id`, `events` and an `idempotency_key`?,
`ping`. Out: `event` frames with `session_id`, `thread_id` and `seq`, `preview` frames, `sent` with
the stored events as `data`, `pong`, and `error` frames with the `action` they refuse, after which
the connection goes on. `functions/socket` has the words, which are the same on AWS.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from freehold.errors import ApiError, AuthenticationFailed, InvalidRequest
from freehold.ids import new_id
from freehold.wire.parsing import parse_body
from functions.admission import parse_query
from functions.envelope import InternalError, answer_headers, error_body
from functions.socket import frames
from functions.socket.actions import (
    MAX_SUBSCRIPTIONS,
    Ping,
    Subscribe,
    Unsubscribe,
    action_name,
    parse_send,
)
from functions.socket.requests import check_cursor, enter, locate, post_events
from functions.stream.hub import PING
from functions.stream.standing import Standing

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from starlette.types import Receive, Scope, Send

    from freehold.domain.session import Head
    from freehold.keys import SessionKey
    from freehold.services.keys import Caller
    from functions.stream.hub import Following, Hub

_log = logging.getLogger("freehold.websocket")
_POLICY_VIOLATION = 1008


class LiveSocket:
    """The endpoint. The handshake has a key in its headers or, from a browser, a ticket in its
    query. `workers` run what blocks.
    """

    def __init__(self, hub: Hub, workers: ThreadPoolExecutor) -> None:
        self._hub = hub
        self._workers = workers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        headers = {name.lower(): value for name, value in socket.headers.items()}
        loop = asyncio.get_running_loop()
        try:
            query = parse_query(scope["query_string"])
            entrant = await loop.run_in_executor(
                self._workers, enter, self._hub.app, headers, query
            )
        except ApiError as error:
            await deny(socket, error)
            return
        given = answer_headers(new_id("req"), entrant.caller).items()
        await socket.accept(entrant.subprotocol, [(n.encode(), v.encode()) for n, v in given])
        await _Connection(self._hub, self._workers, socket, entrant.caller).serve()


async def deny(socket: WebSocket, error: ApiError) -> None:
    """Refuses the handshake with the error envelope."""
    request_id = new_id("req")
    answer = Response(
        error_body(error, request_id),
        status_code=error.status,
        headers=dict(answer_headers(request_id, error=error)),
        media_type="application/json",
    )
    await socket.send_denial_response(answer)


@dataclass(slots=True)
class _Subscription:
    """One followed thread, sent by a task of its own, so that a full socket holds up that task."""

    session_id: str
    thread_id: str
    following: Following
    task: asyncio.Task[None] | None = None


class _Connection:
    """One client. Its actions are taken one after the other, so a `pong` says that all before it is
    done.
    """

    def __init__(
        self, hub: Hub, workers: ThreadPoolExecutor, socket: WebSocket, caller: Caller
    ) -> None:
        self._hub = hub
        self._workers = workers
        self._socket = socket
        self._caller = caller
        self._standing = Standing(hub, caller)
        self._subscriptions: dict[tuple[str, str], _Subscription] = {}
        self._actions: Mapping[str, Callable[[bytes], Awaitable[None]]] = {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "ping": self._ping,
            "send": self._send,
        }

    async def serve(self) -> None:
        """Takes actions until the client leaves; then nothing of it stays."""
        try:
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                await self._act(message.get("text"))
        except WebSocketDisconnect:
            return
        finally:
            for subscription in list(self._subscriptions.values()):
                self._drop(subscription)

    async def _act(self, text: str | None) -> None:
        """One action. A refusal is a frame; the connection goes on, but for a key revoked since."""
        name: str | None = None
        try:
            name = action_name(text)
            if name != "ping":
                await self._standing.check(now=True)
            await self._actions[name]((text or "").encode())
        except AuthenticationFailed as revoked:
            await self._end(revoked)
        except ApiError as error:
            await self._refuse(error, name)
        except WebSocketDisconnect:
            raise
        except Exception:  # noqa: BLE001 - the edge: a defect is an error frame in our shape
            await self._fail(name)

    # ------------------------------------------------------------ actions
    async def _ping(self, raw: bytes) -> None:
        parse_body(Ping, raw)
        await self._say(frames.PONG)

    async def _send(self, raw: bytes) -> None:
        """As the POST of the events, with its refusals."""
        loop = asyncio.get_running_loop()
        action, body = parse_send(raw)
        answer = await loop.run_in_executor(
            self._workers, post_events, self._hub.app, self._caller, action, body
        )
        await self._say(frames.sent(action.session_id, answer))

    async def _subscribe(self, raw: bytes) -> None:
        action = parse_body(Subscribe, raw)
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise InvalidRequest(f"At most {MAX_SUBSCRIPTIONS} subscriptions on one connection.")
        key, thread_id, head = await self._locate(action.session_id, action.thread_id)
        name = (action.session_id, thread_id)
        if name in self._subscriptions:
            raise InvalidRequest(f"Already subscribed to thread {thread_id}.")
        cursor = check_cursor(action, head)
        following = self._hub.follow(key, head, cursor, frozenset(action.event_deltas))
        subscription = _Subscription(action.session_id, thread_id, following)
        self._subscriptions[name] = subscription
        subscription.task = asyncio.create_task(self._deliver(subscription))
        await following.ready()

    async def _unsubscribe(self, raw: bytes) -> None:
        action = parse_body(Unsubscribe, raw)
        found = [
            subscription
            for (session_id, thread_id), subscription in self._subscriptions.items()
            if session_id == action.session_id and action.thread_id in (None, thread_id)
        ]
        if not found:
            raise InvalidRequest("There is no such subscription.")
        for subscription in found:
            self._drop(subscription)

    async def _locate(self, session_id: str, thread_id: str | None) -> tuple[SessionKey, str, Head]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._workers, locate, self._hub.app, self._caller, session_id, thread_id
        )

    # ------------------------------------------------------------ frames
    async def _deliver(self, subscription: _Subscription) -> None:
        """Sends until the thread ends, the client unsubscribes or leaves. Awaiting the socket keeps
        a slow client's events in the log.
        """
        try:
            while found := await subscription.following.frames():
                await self._standing.check()
                for frame in found:
                    if frame is not PING:
                        where = subscription.session_id, subscription.thread_id
                        await self._say(frames.followed(*where, frame))
        except WebSocketDisconnect:
            pass  # the connection's own loop sees it too
        except AuthenticationFailed as revoked:
            with suppress(WebSocketDisconnect):
                await self._end(revoked)
        except Exception:  # noqa: BLE001 - the edge: a defect ends the subscription in a frame
            await self._fail("subscribe")
        finally:
            self._drop(subscription)

    async def _say(self, text: str) -> None:
        """Raises WebSocketDisconnect once the client has closed: the server says that in its own
        way.
        """
        try:
            await self._socket.send_text(text)
        except RuntimeError as error:
            raise WebSocketDisconnect(1006) from error

    async def _refuse(self, error: ApiError, action: str | None) -> None:
        await self._say(frames.refusal(error, action))

    async def _end(self, revoked: AuthenticationFailed) -> None:
        """Says why, and closes the connection."""
        await self._refuse(revoked, None)
        with suppress(RuntimeError):  # closed already, by the client or another subscription
            await self._socket.close(_POLICY_VIOLATION)

    async def _fail(self, action: str | None) -> None:
        request_id = new_id("req")
        _log.exception("action_failed", extra={"request_id": request_id, "action": action})
        with suppress(WebSocketDisconnect):
            await self._refuse(InternalError(request_id), action)

    def _drop(self, subscription: _Subscription) -> None:
        subscription.following.close()
        if subscription.task is not None and subscription.task is not asyncio.current_task():
            subscription.task.cancel()
        self._subscriptions.pop((subscription.session_id, subscription.thread_id), None)
