"""`python -m functions.service`: API and streams, behind a load balancer."""

from __future__ import annotations

import os

from freehold.bootstrap_aws import aws
from freehold.settings_aws import ServiceEnvironment
from functions.observability import log_as_json
from functions.service.app import Service
from functions.web_server import WebServer


def main() -> None:
    """Serves until it is told to end."""
    log_as_json("service")
    environment = ServiceEnvironment.read(os.environ)
    service = Service(aws(environment))
    WebServer(
        service.asgi,
        service.hub,
        # The load balancer's way in; a security group lets nobody else come.
        host="0.0.0.0",  # noqa: S104
        port=environment.port,
        ws="none",
        timeout_keep_alive=environment.keep_alive_seconds,
    ).run()
    service.close()


if __name__ == "__main__":
    main()
