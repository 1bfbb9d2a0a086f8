"""Services of AWS in trouble: refusals put before a client, and servers that do not answer."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from types import SimpleNamespace
from urllib.parse import urlsplit


def refuse(client, operation, status, code, times=1):
    """The next calls of an operation (`s3.PutObject`) are refused before they are sent."""
    numbers = count(1)

    def answer(**_):
        if next(numbers) > times:
            return None
        error = {"Error": {"Code": code, "Message": "said the test"}}
        metadata = {"ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "none"}}
        return SimpleNamespace(status_code=status), error | metadata

    client.meta.events.register(f"before-call.{operation}", answer)


def counted(client):
    """A list that grows by (operation, parameters) with each call of the client."""
    calls = []

    def note(params, model, **_):
        calls.append((model.name, params))

    client.meta.events.register("provide-client-params", note)
    return calls


@contextmanager
def server(answer):
    """A service on a loopback port: `answer(handler, body)` writes the answer, or none. Its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16

        def __getattr__(self, name):
            """Of any method."""
            if not name.startswith("do_"):
                raise AttributeError(name)
            return lambda: answer(self, self.rfile.read(int(self.headers["Content-Length"] or 0)))

        def log_message(self, *_):
            """Says nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def say(handler, status, body, headers=(), length=None):
    """An answer; a `length` that is not the body's ends the connection early."""
    handler.send_response_only(status)
    for name, value in headers:
        if name.lower() not in {"connection", "content-length", "transfer-encoding"}:
            handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)
    handler.close_connection = length is not None


def forgetful(url, losses=1):
    """An `answer` for `server`: hands everything to `url`, but loses the first answers."""
    numbers = count(1)

    def answer(handler, body):
        connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
        try:
            headers = dict(handler.headers.items())
            connection.request(handler.command, handler.path, body, headers)
            came = connection.getresponse()
            data = came.read()
        finally:
            connection.close()
        if next(numbers) <= losses:
            handler.close_connection = True
        else:
            say(handler, came.status, data, came.getheaders())

    return answer
