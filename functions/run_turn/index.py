"""`run_turn` on Lambda."""

from __future__ import annotations

import os

import functions.start
from freehold.bootstrap_aws import aws, survive_snapshots, warm_up
from freehold.settings_aws import TurnEnvironment
from functions.observability import names_of_run, observed, outcome_of_run
from functions.run_turn.handler import make_handler

_GOES_ON_SECONDS = 300
"""Of the 900 that an invocation may take: the last request to the model has ten minutes."""

_app = aws(TurnEnvironment.read(os.environ))
warm_up(_app)
survive_snapshots(_app, os.environ)

handler = observed(
    "run_turn",
    make_handler(_app, goes_on=_GOES_ON_SECONDS),
    names=names_of_run,
    outcome=outcome_of_run,
    environment=os.environ,
)
functions.start.over()
