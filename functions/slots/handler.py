"""Looks after the slots of sandboxes, every minute, and takes an inventory every hour."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

_MARGIN_SECONDS = 30.0
"""For the visit that is under way when time is up."""


class Upkeep(Protocol):
    """`freehold.adapters.fargate_sandbox.upkeep`."""

    def due(self) -> Sequence[str]: ...

    def visit(self, slot_id: str) -> None: ...

    def refill(self, pause: Callable[[float], None]) -> int: ...

    def start_ahead(self) -> None: ...

    def settle_egress(self) -> None: ...


class Inventory(Protocol):
    """`freehold.adapters.fargate_sandbox.inventory`."""

    def compare(self) -> int: ...


def make_handler(upkeep: Upkeep, inventory: Inventory) -> Callable[[Any, Any], None]:
    """Takes `{"inventory": true}`, or anything else as the tick of a timer. What it does not come
    to is still due at the next one.
    """

    def handler(event: Any, context: Any) -> None:
        if event.get("inventory"):
            inventory.compare()
            return
        until = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - _MARGIN_SECONDS
        failures = []
        acts: list[Callable[[], Any]] = [
            *(partial(upkeep.visit, slot_id) for slot_id in upkeep.due()),
            *(upkeep.settle_egress, partial(upkeep.refill, time.sleep), upkeep.start_ahead),
        ]
        for act in acts:
            if time.monotonic() > until:
                break
            try:
                act()
            except Exception as failure:  # noqa: BLE001 - a slot that AWS refuses something of must
                failures.append(failure)  # not keep the tasks of others running
        if failures:
            raise ExceptionGroup("some of the upkeep failed", failures)

    return handler
