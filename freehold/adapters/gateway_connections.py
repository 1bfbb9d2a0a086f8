"""`Connections`: the WebSockets of an API of API Gateway."""

from __future__ import annotations

import logging
from typing import Any

from botocore.exceptions import ClientError  # type: ignore[import-untyped]  # publishes no types

from freehold.adapters.aws_answers import answered, code
from freehold.errors import ConnectionBusy, ConnectionGone, Unavailable

_log = logging.getLogger("freehold.connections")

_SERVICE = "API Gateway"
_GONE = "GoneException"
_BUSY = "LimitExceededException"
"""Of this connection's buffer or of all requests of the account: the answer does not tell."""
_TOO_MANY = 429


class GatewayConnections:
    """Threads share an instance."""

    def __init__(self, client: Any) -> None:
        """`client` is boto3's for the management API. Sends nothing yet."""
        self._client = client

    def post(self, connection_id: str, text: str) -> None:
        """As the port."""
        try:
            with answered(_SERVICE):
                self._client.post_to_connection(ConnectionId=connection_id, Data=text.encode())
        except Unavailable as error:
            raise ConnectionBusy(connection_id) from error
        except ClientError as error:
            if code(error) == _GONE:
                raise ConnectionGone(connection_id) from None
            status: int = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if code(error) == _BUSY or status == _TOO_MANY:
                raise ConnectionBusy(connection_id) from None
            raise

    def close(self, connection_id: str) -> None:
        """As the port."""
        try:
            with answered(_SERVICE):
                self._client.delete_connection(ConnectionId=connection_id)
        except (ClientError, Unavailable) as error:
            if isinstance(error, ClientError) and code(error) == _GONE:
                return
            _log.warning("connection_not_closed", extra={"error": str(error)})
