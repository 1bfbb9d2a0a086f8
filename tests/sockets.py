"""WebSockets as functions see them: connections that a gateway would hold, and their clients."""

from __future__ import annotations

import json
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

from freehold.errors import ConnectionGone


@dataclass
class Client:
    """What arrived, and what a client makes of it: a `seq` it has is dropped, one too far is a
    hole.
    """

    last: int = 0
    heard: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    previews: list[dict[str, Any]] = field(default_factory=list)
    is_open: bool = True

    def hear(self, text: str) -> None:
        frame = json.loads(text)
        self.heard.append(frame)
        if frame["type"] == "preview":
            self.previews.append(frame["preview"])
        if frame["type"] not in ("event", "event_stub") or frame["seq"] is None:
            return
        assert frame["seq"] <= self.last + 1, f"{frame['seq']} after {self.last}"
        if frame["seq"] == self.last + 1:
            self.last += 1
            self.events.append(frame["event"])

    def types(self) -> list[str]:
        return [frame["type"] for frame in self.heard]


class Gateway:
    """`Connections` whose every message arrives. Connections are opened by asking for them."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}

    def open(self, connection_id: str, last: int = 0) -> Client:
        self.clients[connection_id] = Client(last)
        return self.clients[connection_id]

    def post(self, connection_id: str, text: str) -> None:
        client = self.clients.get(connection_id)
        if client is None or not client.is_open:
            raise ConnectionGone(connection_id)
        assert len(text.encode()) <= 128 * 1024
        client.hear(text)

    def close(self, connection_id: str) -> None:
        if connection_id in self.clients:
            self.clients[connection_id].is_open = False


class Inline(Executor):
    """Workers whose every task is done when it is asked for, on the thread that asks: a schedule is
    repeatable, and whoever is killed does nothing more.
    """

    def submit(self, fn, /, *args, **kwargs):
        done = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - raised by `result`
            done.set_exception(error)
        return done


def event(kind, connection_id, **fields):
    """An event of API Gateway's WebSocket API: `CONNECT`, `MESSAGE` or `DISCONNECT`."""
    about = {"eventType": kind, "connectionId": connection_id, "routeKey": "$default"}
    return {"requestContext": about, "isBase64Encoded": False, **fields}


def connect(handler, connection_id, *, headers=None, query=None):
    """What the handshake is answered."""
    return handler(
        event(
            "CONNECT",
            connection_id,
            multiValueHeaders={name: [value] for name, value in (headers or {}).items()},
            multiValueQueryStringParameters={
                name: value if isinstance(value, list) else [value]
                for name, value in (query or {}).items()
            }
            or None,
        ),
        None,
    )


def say(handler, connection_id, **action):
    return handler(event("MESSAGE", connection_id, body=json.dumps(action)), None)


def disconnect(handler, connection_id):
    return handler(event("DISCONNECT", connection_id), None)
