"""`stream` on Lambda: a program that listens, behind the Lambda Web Adapter (`run.sh`)."""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.routing import Route

import functions.start
from freehold.bootstrap_aws import aws
from freehold.settings_aws import StreamEnvironment
from functions.health import healthz
from functions.observability import log_as_json
from functions.stream.app import stream_routes
from functions.stream.hub import Hub
from functions.web_server import WebServer


def main() -> None:
    """Serves until it is told to end. The adapter asks `/healthz` before the first request."""
    log_as_json("stream")
    hub = Hub(aws(StreamEnvironment.read(os.environ)))
    streams = Starlette(routes=[Route("/healthz", healthz), *stream_routes(hub)])
    port = int(os.environ["AWS_LWA_PORT"])
    functions.start.over()
    WebServer(streams, hub, host="127.0.0.1", port=port, ws="none").run()
    hub.release()


if __name__ == "__main__":
    main()
