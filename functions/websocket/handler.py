"""The WebSocket's own events: a client connects, says something, leaves (DESIGN 8).

It says what `/ws` says on a laptop. Events of what it follows are the fan-out's to send.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from freehold.errors import ApiError, AuthenticationFailed, ConnectionBusy, ConnectionGone
from freehold.ids import new_id
from freehold.ports import App, Connections
from freehold.services.connections import forget, open_connection
from functions.admission import headers_of, query_of
from functions.envelope import InternalError, answer_headers, error_body
from functions.socket import frames
from functions.socket.actions import action_name
from functions.socket.farewell import part
from functions.socket.requests import enter
from functions.websocket.actions import Actions

_log = logging.getLogger("freehold.websocket")

_PAUSES = (0, 0.1, 0.4)
"""Seconds before each attempt to answer."""
Answer = Mapping[str, Any]
_DONE: Answer = {"statusCode": 200}


def make_handler(app: App, connections: Connections) -> Callable[[Any, Any], Answer]:
    """A handler of the events of API Gateway's WebSocket API."""
    sockets = _Sockets(app, connections)
    routes: Mapping[str, Callable[[Any, str], Answer]] = {
        "CONNECT": sockets.connect,
        "DISCONNECT": sockets.disconnect,
        "MESSAGE": sockets.message,
    }

    def handler(event: Any, _context: Any) -> Answer:
        about = event["requestContext"]
        return routes[about["eventType"]](event, about["connectionId"])

    return handler


class _Sockets:
    def __init__(self, app: App, connections: Connections) -> None:
        self._app = app
        self._connections = connections
        self._actions = Actions(app)

    def connect(self, event: Any, connection_id: str) -> Answer:
        """Lets a client in, or refuses the handshake with the error envelope."""
        request_id = new_id("req")
        try:
            entrant = enter(self._app, headers_of(event), query_of(event))
            open_connection(self._app, connection_id, entrant.caller)
        except ApiError as error:
            return _refused(error, request_id)
        except Exception:  # noqa: BLE001 - the edge: a defect becomes a 500 in our shape
            _log.exception("connect_crashed", extra={"request_id": request_id})
            return _refused(InternalError(request_id), request_id)
        headers = dict(answer_headers(request_id, entrant.caller))
        if entrant.subprotocol is not None:
            headers["Sec-WebSocket-Protocol"] = entrant.subprotocol
        return {"statusCode": 200, "headers": headers}

    def disconnect(self, _event: Any, connection_id: str) -> Answer:
        """Called at best: what it misses is found by the next post, or expires."""
        forget(self._app, connection_id)
        return _DONE

    def message(self, event: Any, connection_id: str) -> Answer:
        """One action. Whatever it is answered is a message of its own."""
        text = None if event.get("isBase64Encoded") else event.get("body") or ""
        name: str | None = None
        try:
            name = action_name(text)
            answer = self._actions.perform(name, connection_id, (text or "").encode())
        except AuthenticationFailed as error:
            part(self._app, self._connections, connection_id, error)
            return _DONE
        except ApiError as error:
            answer = frames.refusal(error, name)
        except Exception:  # noqa: BLE001 - the edge: a defect is an error frame in our shape
            request_id = new_id("req")
            _log.exception("action_failed", extra={"request_id": request_id, "action": name})
            answer = frames.refusal(InternalError(request_id), name)
        if answer is not None:
            self._say(connection_id, answer)
        return _DONE

    def _say(self, connection_id: str, text: str) -> None:
        """A client that misses an answer would wait for it, or believe what was refused: it is let
        go, and sees that.
        """
        for pause in _PAUSES:
            time.sleep(pause)
            try:
                self._connections.post(connection_id, text)
            except ConnectionGone:
                forget(self._app, connection_id)
            except ConnectionBusy:
                continue
            return
        part(self._app, self._connections, connection_id, None)


def _refused(error: ApiError, request_id: str) -> Answer:
    return {
        "statusCode": error.status,
        "headers": {
            **answer_headers(request_id, error=error),
            "content-type": "application/json",
        },
        "body": error_body(error, request_id),
    }
