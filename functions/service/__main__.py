"""`python -m functions.service`: API and streams, behind a load balancer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from freehold.bootstrap_aws import aws
from freehold.facts import told_to
from freehold.settings_aws import ServiceEnvironment
from functions.counted import Counted
from functions.observability import log_as_json
from functions.service.app import Service
from functions.web_server import WebServer

if TYPE_CHECKING:
    from freehold.adapters.prometheus import Prometheus


def main() -> None:
    """Serves until it is told to end."""
    log_as_json("service")
    environment = ServiceEnvironment.read(os.environ)
    prometheus = _prometheus(environment)
    observe = told_to(prometheus.observe) if prometheus else None
    service = Service(aws(environment, observe=observe))
    WebServer(
        service.asgi if observe is None else Counted(service.asgi, observe),
        service.hub,
        # The load balancer's way in; a security group lets nobody else come.
        host="0.0.0.0",  # noqa: S104
        port=environment.port,
        ws="none",
        timeout_keep_alive=environment.keep_alive_seconds,
    ).run()
    service.close()


def _prometheus(environment: ServiceEnvironment) -> Prometheus | None:
    """Its port is open to whom the operator's security group lets in, which at first is nobody."""
    if environment.metrics_port is None:
        return None
    from freehold.adapters.prometheus import (  # noqa: PLC0415 - only who is scraped needs it
        Prometheus,
    )

    found = Prometheus()
    found.serve(environment.metrics_port, "0.0.0.0")  # noqa: S104 - as above
    return found


if __name__ == "__main__":
    main()
