"""The state `RunTools`: the permitted calls of the last reply."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from freehold.engine.tools import run_tools
from freehold.ports import App, Run


def make_handler(app: App) -> Callable[[Any, Any], dict[str, Any]]:
    """Takes the ids of a run, answers `{next, seconds, turns}`: all that the state may carry."""

    def handler(event: Any, context: Any) -> dict[str, Any]:
        deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000
        return asdict(run_tools(app, Run(**event), deadline=deadline))

    return handler
