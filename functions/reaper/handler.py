"""Brings dead runs back: one that the state machine caught, or all that a sweep finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from freehold.engine import recovery
from freehold.ports import App, Run


def make_handler(app: App) -> Callable[[Any, Any], dict[str, int]]:
    """Takes `{"release": ids of a run}`, or anything else as the tick of a timer; answers how many
    runs were `released` and how many threads and sessions `visited`.
    """

    def handler(event: Any, _context: Any) -> dict[str, int]:
        if "release" not in event:
            return asdict(recovery.sweep(app))
        released = recovery.release(app, Run(**event["release"]), failed=True)
        return asdict(recovery.Swept(visited=1, released=int(released)))

    return handler
