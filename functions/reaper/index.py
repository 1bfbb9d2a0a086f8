"""`reaper` on Lambda."""

from __future__ import annotations

import os
from typing import Any

import functions.start
from freehold.bootstrap_aws import aws
from freehold.settings_aws import SessionsEnvironment
from functions.observability import count_released_runs, done, names_of_run, observed
from functions.reaper.handler import make_handler
from functions.reaper.occasions import occasion

_reaper = observed(
    "reaper",
    make_handler(aws(SessionsEnvironment.read(os.environ))),
    names=names_of_run,
    outcome=done,
    counts=count_released_runs,
    environment=os.environ,
)


def handler(event: Any, context: Any) -> None:
    """Called by the state machine's Catch, by a timer, and by EventBridge."""
    _reaper(occasion(event), context)


functions.start.over()
