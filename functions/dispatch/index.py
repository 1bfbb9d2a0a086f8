"""`dispatch` on Lambda."""

from __future__ import annotations

import os

from freehold.bootstrap_fargate import network, transfers
from freehold.settings_aws import DispatchEnvironment
from functions.dispatch.handler import Network, make_handler, outcome_of_dispatch
from functions.observability import no_names, observed

_environment = DispatchEnvironment.read(os.environ)

handler = observed(
    "dispatch",
    make_handler(Network(*network(_environment)), transfers(_environment)),
    names=no_names,
    outcome=outcome_of_dispatch,
    environment=os.environ,
)
