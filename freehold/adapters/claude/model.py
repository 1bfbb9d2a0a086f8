"""`ClaudeModel`: the `Model` port on an endpoint that serves Claude."""

from __future__ import annotations

import ssl
from threading import Lock
from typing import TYPE_CHECKING

from freehold.adapters.claude.reply import ReplyBuilder
from freehold.errors import ModelError, ModelStopped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freehold.adapters.claude.connection import Connection, Connections
    from freehold.adapters.claude.endpoint import Endpoint
    from freehold.adapters.claude.parameters import Call
    from freehold.ports import Chunk, ModelRequest


class ClaudeModel:
    """Streams replies of Claude. Thread-safe; one per process.

    HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR are honoured; an endpoint on this machine
    is reached without a proxy. The `anthropic` package is imported by the first request, or by
    `warm_up`.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._connections: Connections | None = None
        self._lock = Lock()

    def open(self, request: ModelRequest) -> OpenClaudeReply:
        return OpenClaudeReply(self, request)

    def warm_up(self) -> None:
        """Does now what the first request would wait seconds for. Sends nothing.

        Raises ModelError as `open` would.
        """
        self.connections()

    def connections(self) -> Connections:
        """Raises ModelError where the endpoint lacks something, or a certificate cannot be read."""
        with self._lock:
            if self._connections is None:
                self._connections = self._connect()
            return self._connections

    def _connect(self) -> Connections:
        if lack := self._endpoint.lack:
            raise ModelError("model_request_failed", lack, retryable=False)
        from freehold.adapters.claude import connection, failures  # noqa: PLC0415 - takes 2 s

        try:
            return connection.Connections(self._endpoint)
        except (OSError, ssl.SSLError) as error:
            raise failures.without_certificates(error) from error

    def call_of(self, request: ModelRequest) -> Call:
        """The request as the endpoint takes it. Raises ModelError for what it does not serve."""
        return self._endpoint.call_of(request)

    def close(self) -> None:
        """Closes the connections that wait for a next request."""
        with self._lock:
            if self._connections is not None:
                self._connections.close()


class OpenClaudeReply:
    """One request, sent by the first `next`. See `ports.OpenReply`.

    `close` ends every wait on the socket at once. What it cannot end is the wait for a socket: the
    look-up of the name, and the connection itself, given up after five seconds.
    """

    def __init__(self, model: ClaudeModel, request: ModelRequest) -> None:
        self._model = model
        self._request = request
        self._connection: Connection | None = None
        self._is_closed = False
        self._lock = Lock()

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            if self._connection is not None:
                self._connection.shut_down()

    def __iter__(self) -> Iterator[Chunk]:
        """A connection is used again only if its answer was read to the end of the body."""
        connections = self._model.connections()
        connection = connections.take()
        is_whole = False
        try:
            self._attach(connection)
            builder = ReplyBuilder(connections.endpoint.url_variable)
            for chunk in self._read(connection, builder):
                self._check()
                yield chunk
            done = builder.finish()
            is_whole = self._detach()
        except Exception as error:
            meaning = self._explain(error, connections)
            if meaning is None:
                raise
            raise meaning from error
        finally:
            if is_whole:
                connections.give_back(connection)
            else:
                self._detach()
                connection.close()
        self._check()
        yield done

    def _read(self, connection: Connection, builder: ReplyBuilder) -> Iterator[Chunk]:
        with connection.stream(self._model.call_of(self._request)) as events:
            for event in events:
                yield from builder.read(event)

    def _explain(self, error: Exception, connections: Connections) -> Exception | None:
        """After `close` any error is its consequence. None for what is no failed request."""
        from freehold.adapters.claude import failures  # noqa: PLC0415 - loaded by now

        if self._is_closed:
            return ModelStopped()
        return failures.failure_of(error, connections.endpoint, self._request.model)

    # ------------------------------------------------------------ against the closing thread
    def _attach(self, connection: Connection) -> None:
        with self._lock:
            self._connection = connection
        self._check()

    def _detach(self) -> bool:
        """From here on `close` leaves the connection alone. False when it has not."""
        with self._lock:
            self._connection = None
            return not self._is_closed

    def _check(self) -> None:
        if self._is_closed:
            raise ModelStopped
