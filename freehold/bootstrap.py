"""Builds an `App`: the one place where ports meet their adapters."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from freehold.adapters.blobs import DirectoryBlobs
from freehold.adapters.claude import ClaudeModel, endpoint_of
from freehold.adapters.egress import LaptopEgress
from freehold.adapters.local_secrets import LocalSecrets
from freehold.adapters.process_feed import ProcessFeed
from freehold.adapters.sqlite import SqliteRecords
from freehold.adapters.subprocess_sandbox import SubprocessSandboxes
from freehold.adapters.web import PublicWeb
from freehold.engine.environment import sandbox_network, sandbox_packages
from freehold.event_log import EventLog
from freehold.ids import now
from freehold.ports import App, Model, Runs
from freehold.testing.scripted_model import ScriptedModel
from freehold.wire.base import build_models

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from freehold.facts import Observe
    from freehold.ports import Blobs, Records, Sandboxes, Secrets, Web
    from freehold.settings import Settings


def local(
    settings: Settings,
    *,
    runs: Runs,
    model: Model | None = None,
    sandboxes: Sandboxes | None = None,
    web: Web | None = None,
    clock: Callable[[], datetime] = now,
    observe: Observe | None = None,
) -> App:
    """Everything in one directory and this process. Close it with `close`.

    `model`, `sandboxes` and `web` replace the adapters that the settings would choose. The
    directory must exist and belong to this process alone.
    """
    build_models()
    directory = settings.data_dir
    feed = ProcessFeed()
    records = SqliteRecords(
        directory / "freehold.db", synchronous=settings.synchronous, stream=feed.ring
    )
    model = model or _model(settings)
    blobs = DirectoryBlobs(directory / "blobs")
    secrets = LocalSecrets(directory / "secret.key")
    return App(
        settings=settings,
        records=records,
        blobs=blobs,
        secrets=secrets,
        log=EventLog(records, blobs, secrets),
        model=model,
        sandboxes=sandboxes or _sandboxes(settings, records, blobs, secrets),
        runs=runs,
        feed=feed,
        clock=clock,
        web=web or _web(settings, model),
        observe=observe,
    )


def _web(settings: Settings, model: Model) -> Web:
    search_model = model if settings.model_searches else None
    return PublicWeb(settings.search_url, settings.search_key, search_model=search_model)


def _sandboxes(
    settings: Settings, records: Records, blobs: Blobs, secrets: Secrets
) -> SubprocessSandboxes:
    return SubprocessSandboxes(
        settings.data_dir,
        secrets,
        settings.sandbox,
        egress=laptop_egress(settings, settings.data_dir, secrets),
        network_of=partial(sandbox_network, records, blobs),
        packages_of=partial(sandbox_packages, records, blobs),
    )


def laptop_egress(settings: Settings, directory: Path, secrets: Secrets) -> LaptopEgress | None:
    """The way out of sandboxes whose files are in `directory`; None where it is turned off."""
    if settings.network == "off":
        return None
    return LaptopEgress(
        directory / "egress",
        secrets,
        package_hosts=settings.package_hosts,
        refused_ranges=settings.refused_ranges,
    )


def _model(settings: Settings) -> Model:
    if settings.model == "scripted":
        return ScriptedModel(settings.context_window)
    return ClaudeModel(endpoint_of(settings, settings.anthropic_api_key))


def close(app: App) -> None:
    """Stops the sandboxes, drops connections, flushes the store. `app` is of no use afterwards."""
    for part in (app.sandboxes, app.model, app.records):
        end = getattr(part, "close", None)
        if end is not None:
            end()
