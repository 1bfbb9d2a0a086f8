"""The state `RunTools`: the permitted calls of the last reply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from freehold.engine.tools import run_tools
from freehold.ports import App, Run


def make_handler(app: App) -> Callable[[Any, Any], dict[str, Any]]:
    """Takes the ids of a run, answers `{next, seconds, turns}`: all that the state may carry."""

    def handler(event: Any, _context: Any) -> dict[str, Any]:
        return asdict(run_tools(app, Run(**event)))

    return handler
