"""Brings dead runs back: one that the state machine caught, or all that a sweep finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from freehold.engine import recovery
from freehold.ports import App, Run


def make_handler(app: App) -> Callable[[Any, Any], None]:
    """Takes `{"release": ids of a run}`, or anything else as the tick of a timer."""

    def handler(event: Any, _context: Any) -> None:
        if "release" in event:
            recovery.release(app, Run(**event["release"]), failed=True)
        else:
            recovery.sweep(app)

    return handler
