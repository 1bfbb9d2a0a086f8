"""`slots` on Lambda."""

from __future__ import annotations

import os

import functions.start
from freehold.bootstrap_fargate import inventory, upkeep
from freehold.settings_aws import SlotsEnvironment
from functions.observability import done, no_names, observed
from functions.slots.handler import make_handler

_environment = SlotsEnvironment.read(os.environ)

handler = observed(
    "slots",
    make_handler(upkeep(_environment), inventory(_environment)),
    names=no_names,
    outcome=done,
    environment=os.environ,
)
functions.start.over()
