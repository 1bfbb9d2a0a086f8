"""The API as a function: every operation that answers at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from freehold.ports import App
from functions.api.resolver import Resolver


def make_handler(app: App) -> Callable[[Any, Any], dict[str, Any]]:
    """A handler of API Gateway REST proxy events; any number of threads may call it."""
    own = threading.local()

    def handler(event: Any, context: Any) -> dict[str, Any]:
        resolver: Resolver | None = getattr(own, "resolver", None)
        if resolver is None:
            resolver = own.resolver = Resolver(app)
        return resolver.resolve(event, context)

    return handler
