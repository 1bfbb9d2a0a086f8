"""`fan_out` on Lambda."""

from __future__ import annotations

import os

import functions.start
from freehold.bootstrap_aws import aws, connections
from freehold.settings_aws import FanOutEnvironment
from functions.fan_out.handler import make_handler
from functions.observability import no_names, observed, outcome_of_batch

_environment = FanOutEnvironment.read(os.environ)

handler = observed(
    "fan_out",
    make_handler(aws(_environment), connections(_environment.connections_url)),
    names=no_names,
    outcome=outcome_of_batch,
    environment=os.environ,
)
functions.start.over()
