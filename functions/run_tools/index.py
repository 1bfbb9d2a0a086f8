"""`run_tools` on Lambda."""

from __future__ import annotations

import os

import functions.start
from freehold.bootstrap_aws import aws
from freehold.settings_aws import TurnEnvironment
from functions.observability import names_of_run, observed, outcome_of_run
from functions.run_tools.handler import make_handler

handler = observed(
    "run_tools",
    make_handler(aws(TurnEnvironment.read(os.environ))),
    names=names_of_run,
    outcome=outcome_of_run,
    environment=os.environ,
)
functions.start.over()
