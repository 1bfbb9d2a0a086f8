"""Serves child-process sandboxes over loopback, to functions that come and go."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from freehold.adapters.local_secrets import LocalSecrets
from freehold.adapters.subprocess_sandbox import SubprocessSandboxes
from freehold.errors import SandboxLost
from freehold.ports import SandboxRef
from freehold.toolset import ToolCall


@contextmanager
def sandbox_host(directory):
    """The port on 127.0.0.1. The sandboxes live until the end."""
    secrets = LocalSecrets(directory / "secret.key")
    sandboxes = SubprocessSandboxes(directory / "sandboxes", secrets)
    sandboxes.usable()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            try:
                answer = {"result": _perform(sandboxes, self.path.strip("/"), asked)}
            except SandboxLost as lost:
                answer = {"lost": str(lost)}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        sandboxes.close()


def _perform(sandboxes, verb, asked):
    sandbox = SandboxRef(**asked.pop("sandbox"))
    if "call" in asked:
        asked["call"] = ToolCall(**asked["call"])
    if "calls" in asked:
        asked["calls"] = [ToolCall(**call) for call in asked["calls"]]
    found = getattr(sandboxes, verb)(sandbox, *asked.values())
    return asdict(found) if verb == "execute" and found is not None else found
