"""HTTP on a free port of loopback, served on threads of the test."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class LoopbackServer(ThreadingHTTPServer):
    """Serves while it is entered. `handler` is a class."""

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self._thread.join()
        self.server_close()


class QuietHandler(BaseHTTPRequestHandler):
    """Has `serve` answer requests of any method, and logs none."""

    wbufsize = 1 << 16
    """An answer in two packets would wait 40 ms for the first one's acknowledgement."""

    def serve(self, body):
        raise NotImplementedError

    def __getattr__(self, name):
        """`do_GET`, `do_POST` and so on."""
        if not name.startswith("do_"):
            raise AttributeError(name)
        return lambda: self.serve(self.rfile.read(int(self.headers["content-length"] or 0)))

    def answer(self, status, body=b"", **headers):
        """`content_type="…"` is the header of that name."""
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def answer_json(self, value, status=200, **headers):
        self.answer(status, json.dumps(value), content_type="application/json", **headers)

    def log_message(self, *_):
        """Says nothing."""
