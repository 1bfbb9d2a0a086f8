"""The event streams of sessions and threads as one ASGI application (BEHAVIOUR 8, DESIGN 8)."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from freehold.domain.session import Head
from freehold.errors import ApiError, AuthenticationFailed, InvalidRequest
from freehold.ids import new_id
from freehold.keys import SessionKey
from freehold.ports import App
from freehold.services.keys import Caller
from freehold.services.rate_limits import Allowance, count_request
from freehold.services.tail import Frame
from freehold.services.threads import locate_thread
from freehold.wire.lists import EventStream
from functions.admission import admit, joined_headers, parse_query
from functions.cors import Cors
from functions.envelope import InternalError, MethodNotAllowed, answer_headers, error_body
from functions.stream.hub import Following, Hub
from functions.stream.standing import Standing

_log = logging.getLogger("freehold.stream")
_CHUNK = 65_536
_EVENT_ID = re.compile(r"[0-9]{1,18}\Z")
_STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


def make_app(app: App, hub: Hub | None = None) -> Starlette:
    """The two stream routes; `hub` where a program follows feeds in other ways too."""
    return Starlette(routes=stream_routes(hub or Hub(app)))


def stream_routes(hub: Hub) -> list[Route]:
    """For a program that serves more than streams."""
    endpoint = Cors(EventStreams(hub), hub.app.settings.cors_origins)
    return [
        Route("/v1/sessions/{session_id}/events/stream", endpoint),
        Route("/v1/sessions/{session_id}/threads/{thread_id}/stream", endpoint),
    ]


@dataclass(frozen=True, slots=True)
class _Opening:
    """Where a stream begins."""

    caller: Caller
    key: SessionKey
    head: Head
    cursor: int
    wanted: frozenset[str]
    allowance: Allowance | None


class EventStreams:
    """Answers a GET with server-sent events until the client leaves or the session ends."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = new_id("req")
        if scope["method"] != "GET":
            await refuse(
                send, request_id, MethodNotAllowed(f"Method {scope['method']} not allowed.")
            )
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            opening = await loop.run_in_executor(self._hub.readers, self._open, scope)
        except ApiError as error:
            await refuse(send, request_id, error)
            return
        except Exception:  # noqa: BLE001 - the edge: a defect becomes a 500 in our shape
            _log.exception("stream_crashed", extra={"request_id": request_id})
            await refuse(send, request_id, InternalError(request_id))
            return
        # Before the headers: whoever has them may count on previews of what it sends next.
        following = self._hub.follow(opening.key, opening.head, opening.cursor, opening.wanted)
        leaving = asyncio.create_task(_leave_with_client(receive, following))
        end = self._hub.app.settings.stream_seconds
        # Between two frames, while there is time to: whatever cuts it later does not look where.
        ending = None if end is None else loop.call_at(began + end, following.close)
        try:
            await following.ready()
            headers = answer_headers(request_id, opening.caller)
            counted = opening.allowance.headers() if opening.allowance is not None else {}
            await _start(send, 200, {**headers, **counted, **_STREAM_HEADERS})
            await _stream(send, following, Standing(self._hub, opening.caller), request_id)
        finally:
            leaving.cancel()
            if ending is not None:
                ending.cancel()
            following.close()

    def _open(self, scope: Scope) -> _Opening:
        """All that can refuse the stream, and a consistent read of where it begins. Blocks."""
        rows = ((n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"])
        headers = joined_headers(rows)
        ids: Mapping[str, str] = scope["path_params"]
        caller = admit(self._hub.app, headers)
        allowance = count_request(self._hub.app, caller, "read")
        if allowance is not None:
            allowance.check(self._hub.app.clock())
        wanted = EventStream.from_query(parse_query(scope["query_string"])).event_deltas
        key, _, head = locate_thread(self._hub.app, caller, ids["session_id"], ids.get("thread_id"))
        cursor = _resume_after(headers.get("last-event-id"), head.next_seq - 1)
        return _Opening(caller, key, head, cursor, frozenset(wanted or ()), allowance)


def _resume_after(header: str | None, end: int) -> int:
    """The last event seen. Without the header nothing is replayed, as hosted (BEHAVIOUR 8.1)."""
    if header is None:
        return end
    if _EVENT_ID.match(header) is None or int(header) > end:
        raise InvalidRequest("`Last-Event-ID` must be the id of an event of this stream.")
    return int(header)


async def _stream(send: Send, following: Following, standing: Standing, request_id: str) -> None:
    """Sends until the end. Awaiting the socket keeps a slow client's events in the log."""
    error: ApiError | None = None
    try:
        while frames := await following.frames():
            await standing.check()
            for chunk in _chunks(frames):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except AuthenticationFailed as revoked:
        error = revoked
    except Exception:  # noqa: BLE001 - the edge: a defect ends the stream with an error event
        _log.exception("stream_failed", extra={"request_id": request_id})
        error = InternalError(request_id)
    if error is not None:
        failure = Frame("error", error_body(error, request_id))
        chunk = next(_chunks([failure]))
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _chunks(frames: Sequence[Frame]) -> Iterator[bytes]:
    """Frames as server-sent events: small ones together, a large one in parts, so that a client
    that does not read holds up one chunk and not another copy of the event.
    """
    parts: list[str] = []
    size = 0
    for part in _parts(frames):
        if parts and size + len(part) > _CHUNK:
            yield "".join(parts).encode()
            parts, size = [], 0
        parts.append(part)
        size += len(part)
    yield "".join(parts).encode()


def _parts(frames: Sequence[Frame]) -> Iterator[str]:
    for frame in frames:
        number = "" if frame.seq is None else f"id: {frame.seq}\n"
        yield f"event: {frame.type}\n{number}data: "
        for start in range(0, len(frame.data), _CHUNK):
            yield frame.data[start : start + _CHUNK]
        yield "\n\n"


async def _leave_with_client(receive: Receive, following: Following) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    following.close()


async def refuse(send: Send, request_id: str, error: ApiError) -> None:
    """Answers with the error envelope."""
    headers = {**answer_headers(request_id, error=error), "content-type": "application/json"}
    body = error_body(error, request_id).encode()
    await _start(send, error.status, {**headers, "content-length": str(len(body))})
    await send({"type": "http.response.body", "body": body})


async def _start(send: Send, status: int, headers: Mapping[str, str]) -> None:
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
