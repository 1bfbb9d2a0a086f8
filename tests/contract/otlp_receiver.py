"""A collector of OTLP/HTTP on a free port of loopback, which decodes what it is sent."""

from __future__ import annotations

import gzip
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Receiver:
    """`spans` in the order they came, `bodies` as bytes."""

    def __init__(self, server):
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.spans = []
        self.bodies = []
        self.resources = []
        self.paths = []

    def take(self, path, body):
        self.paths.append(path)
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(plain(resource.resource.attributes))
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]

    def named(self, operation):
        """Spans of one operation, as they ended."""
        found = [s for s in self.spans if plain(s.attributes)["gen_ai.operation.name"] == operation]
        return sorted(found, key=lambda span: span.end_time_unix_nano)


def plain(attributes):
    """Attributes as a dict of plain values."""
    return {a.key: _value(a.value) for a in attributes}


def _value(value):
    kind = value.WhichOneof("value")
    found = getattr(value, kind)
    return [_value(v) for v in found.values] if kind == "array_value" else found


@contextmanager
def otlp_receiver():
    """Stopped when left."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            receiver.take(self.path, body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(server)
    thread = threading.Thread(target=server.serve_forever, name="otlp", daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
