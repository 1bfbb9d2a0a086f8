"""`python -m functions.service`: API and streams, behind a load balancer."""

from __future__ import annotations

import os
from contextlib import ExitStack

from freehold.bootstrap_aws import aws
from freehold.facts import Observe, told_to
from freehold.settings_aws import ServiceEnvironment
from functions.counted import Counted
from functions.observability import log_as_json
from functions.service.app import Service
from functions.web_server import WebServer

# The load balancer's way in, and a scraper's; a security group lets nobody else come.
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - as above


def main() -> None:
    """Serves until it is told to end."""
    log_as_json("service")
    environment = ServiceEnvironment.read(os.environ)
    with ExitStack() as stack:
        observe = serve_metrics(environment, _EVERYWHERE, stack)
        service = Service(aws(environment, observe=observe))
        stack.callback(service.close)
        WebServer(
            service.asgi if observe is None else Counted(service.asgi, observe),
            service.hub,
            host=_EVERYWHERE,
            port=environment.port,
            ws="none",
            timeout_keep_alive=environment.keep_alive_seconds,
        ).run()


def serve_metrics(environment: ServiceEnvironment, host: str, stack: ExitStack) -> Observe | None:
    """Who is to be told what happens, until the stack ends; None where metrics have no port."""
    if environment.metrics_port is None:
        return None
    from freehold.adapters.prometheus import (  # noqa: PLC0415 - only who is scraped needs it
        Prometheus,
    )

    prometheus = Prometheus()
    stack.enter_context(prometheus.serve(environment.metrics_port, host))
    return told_to(prometheus.observe)


if __name__ == "__main__":
    main()
