"""`freehold serve`: the API on this machine, in the foreground."""

from __future__ import annotations

from typing import Annotated

import typer

from freehold.cli.options import (
    DEFAULT_DATA_DIR,
    DataDir,
    ModelOption,
    SandboxOption,
    settings,
)


def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8700,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    model: ModelOption = None,
    sandbox: SandboxOption = "auto",
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
) -> None:
    """Serve the API until SIGTERM or Ctrl-C.

    ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL reach the model; FREEHOLD_API_KEY, when set, is an
    accepted API key. FREEHOLD_SEARCH_URL, and FREEHOLD_SEARCH_KEY if it asks for one, name the
    endpoint of web_search; without it the Claude API searches, where it is the model.
    """
    chosen = settings(
        host=host,
        port=port,
        data_dir=data_dir,
        model=model,
        sandbox=sandbox,
        metrics_port=metrics_port,
        max_tool_rounds=max_tool_rounds,
    )
    from freehold.local import server  # noqa: PLC0415 - the server takes a second to import

    raise typer.Exit(server.serve(chosen))
