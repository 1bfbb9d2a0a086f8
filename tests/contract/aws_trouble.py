"""Services of AWS in trouble: refusals put before a client, and servers that do not answer."""

from __future__ import annotations

from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import count
from types import SimpleNamespace
from urllib.parse import urlsplit

from tests.loopback import LoopbackServer, QuietHandler


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

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def serve(self, body):
            answer(self, body)

    with LoopbackServer(Handler) as listening:
        yield listening.url


def say(handler, status, body, headers=(), length=None):
    """An answer; a `length` that is not the body's ends the connection early."""
    handler.send_response_only(status)
    for name, value in headers:
        if name.lower() not in {"connection", "content-length", "transfer-encoding"}:
            handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)
    if length is not None:
        handler.close_connection = True


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
