"""A raw HTTP client and a server to point it at: no SDK stands between the clock and the wire."""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freehold.cli.server_process import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KEY = "a-key-for-the-benchmarks"
HEADERS = {
    "x-api-key": KEY,
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "managed-agents-2026-04-01",
    "content-type": "application/json",
}
TOOLSET = [{"type": "agent_toolset_20260401"}]
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a stream: its event name, its JSON, and when its last byte was read
    (`time.perf_counter`).
    """

    type: str
    data: dict[str, Any]
    at: float


class Api:
    """One server. Every connection is its own socket, kept open between calls."""

    def __init__(self, address: str, data_dir: Path | None = None) -> None:
        self.data_dir = data_dir
        self._address = address.removeprefix("http://")
        self._connection = HTTPConnection(self._address, timeout=_SECONDS)
        self._connection.connect()

    def post(self, path: str, body: object) -> dict[str, Any]:
        """The answer's JSON. Raises RuntimeError when it is not a 2xx."""
        self.begin_post(path, json.dumps(body).encode())
        return self.end_post()

    def begin_post(self, path: str, body: bytes) -> None:
        """Sends the request, and does not wait for its answer."""
        self._connection.request("POST", path, body, HEADERS)

    def end_post(self) -> dict[str, Any]:
        """The answer to `begin_post`."""
        return _answer(self._connection.getresponse())

    def session(self, *, tools: bool, config: Mapping[str, object] | None = None) -> str:
        """The id of a new session of a new agent, in a new environment of this `config`."""
        stamp = time.time_ns()
        agent = self.post(
            "/v1/agents",
            {"name": "bench", "model": "claude-sonnet-5-5", "tools": TOOLSET if tools else []},
        )
        environment = self.post("/v1/environments", {"name": f"bench-{stamp}", "config": config})
        session = self.post(
            "/v1/sessions", {"agent": agent["id"], "environment_id": environment["id"]}
        )
        return str(session["id"])

    @contextmanager
    def stream(self, session_id: str, query: str = "") -> Iterator[Iterator[Frame]]:
        """The frames of a session's stream without pings; entered once its headers are there."""
        connection = HTTPConnection(self._address, timeout=_SECONDS)
        connection.request("GET", f"/v1/sessions/{session_id}/events/stream{query}", None, HEADERS)
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"stream: {response.status} {response.read()!r}")
        try:
            yield _frames(response)
        finally:
            connection.close()


def _answer(response: HTTPResponse) -> dict[str, Any]:
    body = response.read()
    if response.status >= 300:
        raise RuntimeError(f"{response.status} {body.decode(errors='replace')}")
    answer: dict[str, Any] = json.loads(body)
    return answer


def _frames(response: HTTPResponse) -> Iterator[Frame]:
    kind = ""
    while line := response.readline():
        name, _, value = line.rstrip().partition(b": ")
        if name == b"event":
            kind = value.decode()
        elif name == b"data" and kind != "ping":
            yield Frame(kind, json.loads(value), time.perf_counter())


def message(text: str) -> bytes:
    """The body of a send with one user message."""
    content = [{"type": "text", "text": text}]
    return json.dumps({"events": [{"type": "user.message", "content": content}]}).encode()


def until(frames: Iterator[Frame], kind: str) -> Frame:
    """The next frame of that type.

    Raises RuntimeError on a `session.error`, or when the stream ends before.
    """
    for frame in frames:
        if frame.type == "session.error":
            raise RuntimeError(frame.data["error"]["message"])
        if frame.type == kind:
            return frame
    raise RuntimeError(f"the stream ended before {kind}")


@contextmanager
def running_server(
    *,
    model: str = "scripted",
    sandbox: str = "auto",
    environment: Mapping[str, str] | None = None,
) -> Iterator[Api]:
    """A server of its own with an empty, temporary data directory."""
    with (
        tempfile.TemporaryDirectory(prefix="freehold-bench-", ignore_cleanup_errors=True) as folder,
        ServerProcess(
            Path(folder),
            options=["--model", model, "--sandbox", sandbox],
            environment={"FREEHOLD_API_KEY": KEY, **(environment or {})},
        ) as server,
    ):
        yield Api(server.url, Path(folder))
