"""The end of a connection that a gateway holds, from the server's side."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from freehold.errors import ConnectionBusy, ConnectionGone
from freehold.services.connections import forget
from functions.socket import frames

if TYPE_CHECKING:
    from freehold.errors import ApiError
    from freehold.ports import App, Connections


def part(app: App, connections: Connections, connection_id: str, error: ApiError | None) -> None:
    """Says why, if there is an error to say, closes the connection and forgets it."""
    if error is not None:
        with suppress(ConnectionBusy, ConnectionGone):  # it is over, told or not
            connections.post(connection_id, frames.refusal(error, None))
    connections.close(connection_id)
    forget(app, connection_id)
