"""First preview: from the model's first token leaving its server to the first `event_delta` frame
on an open stream.

The model is a Messages endpoint in this process, so both ends share a clock.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from bench.api import Api, message, running_server, until
from bench.report import Bounds, options, report

if TYPE_CHECKING:
    from collections.abc import Iterator

_TURNS_OF_A_SESSION = 25
_WARM = 20
_USAGE = {"input_tokens": 1, "output_tokens": 1}


class ModelServer(ThreadingHTTPServer):
    """Answers each request with one word, and remembers when it sent it (`time.perf_counter`)."""

    first_token_at = 0.0


class _Reply(BaseHTTPRequestHandler):
    server: ModelServer

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        envelope = {
            "id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"],
            "content": [], "stop_reason": None, "stop_sequence": None, "usage": _USAGE,
        }  # fmt: skip
        self._event({"type": "message_start", "message": envelope})
        block = {"type": "text", "text": ""}
        self._event({"type": "content_block_start", "index": 0, "content_block": block})
        delta = {"type": "text_delta", "text": "Yes."}
        self.server.first_token_at = time.perf_counter()
        self._event({"type": "content_block_delta", "index": 0, "delta": delta})
        self._event({"type": "content_block_stop", "index": 0})
        end = {"stop_reason": "end_turn", "stop_sequence": None}
        self._event({"type": "message_delta", "delta": end, "usage": _USAGE})
        self._event({"type": "message_stop"})

    def _event(self, data: dict[str, Any]) -> None:
        self.wfile.write(f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Says nothing: a line per request would be measured with it."""


@contextmanager
def model_server() -> Iterator[ModelServer]:
    """Serves on a free port of 127.0.0.1."""
    with ModelServer(("127.0.0.1", 0), _Reply) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def measure(api: Api, model: ModelServer, n: int) -> list[float]:
    """Seconds of `n` turns, after 20 that are not counted."""
    found: list[float] = []
    body = message("Is that so?")
    while len(found) < n + _WARM:
        session = api.session(tools=False)
        with api.stream(session, "?event_deltas[]=agent.message") as frames:
            for _ in range(_TURNS_OF_A_SESSION):
                api.begin_post(f"/v1/sessions/{session}/events", body)
                found.append(until(frames, "event_delta").at - model.first_token_at)
                until(frames, "session.status_idle")
                api.end_post()
    return found[_WARM : _WARM + n]


def main() -> None:
    given = options(__doc__, n=300)
    with model_server() as model:
        environment = {
            "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{model.server_address[1]}",
            "ANTHROPIC_API_KEY": "unchecked",
        }
        with running_server(model="anthropic", environment=environment) as api:
            seconds = measure(api, model, given.n)
    report("first preview after first token", seconds, Bounds(p50=5), as_json=given.json)


if __name__ == "__main__":
    main()
