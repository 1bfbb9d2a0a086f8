"""`dispatch` on Lambda."""

from __future__ import annotations

import os

import functions.start
from freehold.bootstrap_fargate import package_archives, transfers
from freehold.settings_aws import EGRESS_CONTROL_PORT, SANDBOX_PORT, DispatchEnvironment
from functions.dispatch.handler import (
    EGRESS_PROXY,
    Network,
    make_handler,
    outcome_of_dispatch,
)
from functions.observability import no_names, observed

_environment = DispatchEnvironment.read(os.environ)
_networks = [Network(_environment.sandbox_network, SANDBOX_PORT)]
if _environment.sandbox_egress_network is not None:
    _networks.append(
        Network(_environment.sandbox_egress_network, EGRESS_CONTROL_PORT, EGRESS_PROXY)
    )

handler = observed(
    "dispatch",
    make_handler(_networks, transfers(_environment), package_archives(_environment)),
    names=no_names,
    outcome=outcome_of_dispatch,
    environment=os.environ,
)
functions.start.over()
