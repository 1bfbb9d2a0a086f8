"""The state `RunTurn`: one model request at most."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from freehold.engine.turn import run_turn
from freehold.ports import App, Run


def make_handler(app: App) -> Callable[[Any, Any], dict[str, Any]]:
    """Takes the ids of a run, answers `{next, seconds, turns}`: all that the state may carry."""

    def handler(event: Any, context: Any) -> dict[str, Any]:
        deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000
        return asdict(run_turn(app, Run(**event), deadline=deadline))

    return handler
