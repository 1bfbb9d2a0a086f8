"""`freehold serve`: the API on this machine, in the foreground."""

from __future__ import annotations

import os
import socket
from typing import Annotated

import typer

from freehold.cli.options import (
    DEFAULT_DATA_DIR,
    DataDir,
    ModelOption,
    SandboxOption,
    prepare_data_dir,
    settings,
)
from freehold.cli.terminal import CommandFailed


def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8700,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    model: ModelOption = None,
    sandbox: SandboxOption = "auto",
) -> None:
    """Serve the API until SIGTERM or Ctrl-C.

    ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL reach the model; FREEHOLD_API_KEY, when set, is an
    accepted API key.
    """
    chosen = settings(host=host, port=port, data_dir=data_dir, model=model, sandbox=sandbox)
    prepare_data_dir(chosen.data_dir)
    _refuse_a_busy_port(chosen.host, chosen.port)
    from freehold.local import server  # noqa: PLC0415 - the server takes a second to import

    raise typer.Exit(server.serve(chosen))


def _refuse_a_busy_port(host: str, port: int) -> None:
    """Says so in one line before the server is loaded.

    The server still binds for itself, and may lose a race here.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as failed:
        raise CommandFailed(f"cannot listen on {host} port {port}: {failed.strerror}") from failed
