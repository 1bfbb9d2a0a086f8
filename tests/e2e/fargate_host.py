"""Stands for ECS and EFS behind the emulated account: tasks are child processes of the test."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.fargate_account import Account, Refused


@contextmanager
def fargate_host(directory, port):
    """The account, and the port on 127.0.0.1 where functions ask it."""
    account = Account(directory, port=port)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            try:
                answer = {"answer": account.answer(asked["operation"], asked["asked"])}
            except Refused as refused:
                answer = {"refused": [refused.code, refused.status, refused.fields]}
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
        yield account, server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        account.close()
