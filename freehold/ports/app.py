"""One of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from freehold.ports.live import Feed, Runs
from freehold.ports.model import Model
from freehold.ports.sandbox import Sandboxes
from freehold.ports.store import Blobs, Records, Secrets
from freehold.ports.web import Web

if TYPE_CHECKING:
    from freehold.event_log import EventLog
    from freehold.facts import Observe
    from freehold.settings import Settings


@dataclass(frozen=True, slots=True)
class App:
    """Everything the core may touch, built once in `bootstrap`."""

    settings: Settings
    records: Records
    blobs: Blobs
    secrets: Secrets
    log: EventLog
    model: Model
    sandboxes: Sandboxes
    runs: Runs
    feed: Feed
    clock: Callable[[], datetime]
    web: Web
    observe: Observe | None = None
    """Told what happens, to count and to trace it (`freehold.facts`); None where nobody does."""
