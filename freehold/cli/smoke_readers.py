"""How `freehold smoke` follows a session: what a stream and a WebSocket say, up to its end."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anthropic import Anthropic

AT_NIGHT = "docs/aws.md, At 2 AM: the alarms of the Operations stack say which part it is"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class StepFailed(Exception):
    """One line about what is wrong, and one about what helps."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class NotServed(Exception):
    """This installation has no such part; the message says which."""


def read_stream(client: Anthropic, session_id: str, patience: float) -> int:
    """How many events a stream has from the first to the one that says idle. Raises StepFailed."""
    import httpx2  # noqa: PLC0415 - few commands pay

    try:
        with client.beta.sessions.events.with_streaming_response.stream(
            session_id, extra_headers={"Last-Event-ID": "0"}
        ) as answer:
            lines = (line.partition("event:") for line in answer.iter_lines())
            return _until_idle((kind.strip() for _, found, kind in lines if found), patience)
    except httpx2.HTTPError as broken:  # once a stream has begun the client passes it on
        raise StepFailed(f"broke off: {broken or type(broken).__name__}", AT_NIGHT) from broken


def read_socket(url: str | None, key: str, session_id: str, patience: float) -> int:
    """The same of a WebSocket."""
    if url is None:
        raise NotServed("this installation has no WebSocket")
    from websockets.sync.client import connect  # noqa: PLC0415 - few commands pay

    proxy: Literal[True] | None = None if is_local(url) else True
    with connect(url, additional_headers={"x-api-key": key}, proxy=proxy) as socket:
        socket.send(json.dumps({"action": "subscribe", "session_id": session_id, "after_seq": 0}))

        def types() -> Iterator[str]:
            while True:
                frame = json.loads(socket.recv(timeout=patience))
                if frame["type"] == "error":
                    raise StepFailed(frame["error"]["message"], AT_NIGHT)
                yield frame["event"]["type"] if frame["type"] == "event" else frame["type"]

        return _until_idle(types(), patience)


def _until_idle(types: Iterator[str], patience: float) -> int:
    """Counts events. Others than those of sessions come every few seconds, and let this look at the
    clock.
    """
    deadline = time.monotonic() + patience
    count = 0
    for kind in types:
        count += kind.partition(".")[0] in {"session", "user", "agent", "span", "system"}
        if kind == "session.status_idle":
            return count
        if time.monotonic() > deadline:
            break
    raise StepFailed(f"ended after {count} events, before the session was idle", AT_NIGHT)


def is_local(url: str) -> bool:
    """Whether a proxy of the environment, which is for the outside, must be passed by."""
    return urlsplit(url).hostname in _LOOPBACK
