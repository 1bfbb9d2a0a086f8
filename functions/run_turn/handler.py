"""The state `RunTurn`: a model request, and what comes next of it while there is time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from freehold.engine.steps import run_steps
from freehold.ports import App, Run


def make_handler(app: App, *, goes_on: float = 0) -> Callable[[Any, Any], dict[str, Any]]:
    """Takes the ids of a run, answers `{next, seconds, turns}`: all that the state may carry.

    `goes_on` is for how many seconds an invocation begins further steps; 0: it makes one.
    """

    def handler(event: Any, context: Any) -> dict[str, Any]:
        deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000
        return asdict(run_steps(app, Run(**event), seconds=goes_on, deadline=deadline))

    return handler
