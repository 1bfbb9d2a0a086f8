"""`wake` on Lambda."""

from __future__ import annotations

import os

import functions.start
from freehold.bootstrap_aws import runs
from freehold.settings_aws import FunctionEnvironment
from functions.observability import no_names, observed, outcome_of_batch
from functions.wake.handler import make_handler

handler = observed(
    "wake",
    make_handler(runs(FunctionEnvironment.read(os.environ))),
    names=no_names,
    outcome=outcome_of_batch,
    environment=os.environ,
)
functions.start.over()
