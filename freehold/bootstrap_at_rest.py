"""Builds an `App` of what is stored alone, for an operator's commands beside a server, or without
one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.adapters.keyed_model import KeyedModel
from freehold.adapters.late_web import LateWeb
from freehold.adapters.no_sandbox import NoSandbox
from freehold.adapters.process_feed import ProcessFeed
from freehold.errors import ModelError
from freehold.event_log import EventLog
from freehold.ids import now
from freehold.ports import App
from freehold.settings import Settings
from freehold.wire.base import build_models

if TYPE_CHECKING:
    from freehold.ports import Blobs, Model, Records, Run, Secrets, Web


class SweptRuns:
    """Starts nothing: the sweep of whoever serves this store does."""

    def start(self, run: Run) -> bool:  # noqa: ARG002 - the port's
        return True


def at_rest(records: Records, blobs: Blobs, secrets: Secrets) -> App:
    """Model, sandboxes and web refuse. Closing what is given stays with the caller."""
    build_models()
    return App(
        settings=Settings(),
        records=records,
        blobs=blobs,
        secrets=secrets,
        log=EventLog(records, blobs, secrets),
        model=KeyedModel(lambda: None, _no_model),
        sandboxes=NoSandbox(),
        runs=SweptRuns(),
        feed=ProcessFeed(),
        clock=now,
        web=LateWeb((), _no_web),
    )


def _no_model(_: object) -> Model:
    text = "An operator's command asks no model."
    raise ModelError("model_request_failed", text, retryable=False)


def _no_web() -> Web:
    raise AssertionError("no tool of the web is offered")
