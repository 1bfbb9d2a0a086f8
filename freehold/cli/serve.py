"""`freehold serve`: the API on this machine, in the foreground."""

from __future__ import annotations

from typing import Annotated

import typer

from freehold.cli.options import (
    DEFAULT_DATA_DIR,
    DataDir,
    ModelOption,
    NetworkOption,
    SandboxOption,
    settings,
)
from freehold.setting_types import CacheTtl


def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8700,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    model: ModelOption = None,
    sandbox: SandboxOption = "auto",
    network: NetworkOption = "on",
    metrics_port: Annotated[
        int | None,
        typer.Option(
            help="Port of Prometheus metrics, on loopback; 0 takes a free one.",
            show_default="no metrics",
        ),
    ] = None,
    max_tool_rounds: Annotated[
        int | None,
        typer.Option(
            help="Model replies with tool calls in one run before it is ended.", show_default="1000"
        ),
    ] = None,
    cache_ttl: Annotated[
        CacheTtl | None,
        typer.Option(
            help="How long the model's provider caches a conversation.", show_default="5m"
        ),
    ] = None,
) -> None:
    """Serve the API until SIGTERM or Ctrl-C.

    ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL reach the model; FREEHOLD_API_KEY, when set, is an
    accepted API key. FREEHOLD_SEARCH_URL, and FREEHOLD_SEARCH_KEY if it asks for one, name the
    endpoint of web_search; without it the Claude API searches, where it is the model.
    FREEHOLD_PACKAGE_HOSTS and FREEHOLD_REFUSED_RANGES, lists with commas, add hosts of package
    managers and networks that no sandbox reaches.
    FREEHOLD_PRICES is a file of list prices that go before the shipped ones, and
    FREEHOLD_WORKSPACE_DAILY_CAP what each workspace may spend in a UTC day, in US dollars.
    FREEHOLD_CONTEXT_WINDOW, FREEHOLD_COMPACT_AT and FREEHOLD_CLEAR_TOOL_RESULTS say when a
    conversation is shortened.
    """
    chosen = settings(
        host=host,
        port=port,
        data_dir=data_dir,
        model=model,
        sandbox=sandbox,
        network=network,
        metrics_port=metrics_port,
        max_tool_rounds=max_tool_rounds,
        cache_ttl=cache_ttl,
    )
    from freehold.local import server  # noqa: PLC0415 - the server takes a second to import

    raise typer.Exit(server.serve(chosen))
