"""A collector of OTLP/HTTP on a free port of loopback, which decodes what it is sent."""

from __future__ import annotations

import gzip
from contextlib import contextmanager

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.loopback import LoopbackServer, QuietHandler


class Receiver:
    """`spans` in the order they came, `bodies` as bytes."""

    def __init__(self, server):
        self.url = server.url
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

    class Handler(QuietHandler):
        def serve(self, body):
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            receiver.take(self.path, body)
            self.answer(200, content_type="application/x-protobuf")

    with LoopbackServer(Handler) as server:
        receiver = Receiver(server)
        yield receiver
