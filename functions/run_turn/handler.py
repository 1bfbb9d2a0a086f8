"""The state `RunTurn`: one model request at most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from freehold.engine.turn import run_turn
from freehold.ports import App, Run


def make_handler(app: App) -> Callable[[Any, Any], dict[str, Any]]:
    """Takes the ids of a run, answers `{next, seconds, turns}`: all that the state may carry."""

    def handler(event: Any, _context: Any) -> dict[str, Any]:
        return asdict(run_turn(app, Run(**event)))

    return handler
