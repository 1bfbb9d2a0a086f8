"""`Model` behind a key that can be stored, replaced or missing while the process lives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Lock

from pydantic import SecretStr

from freehold.ports import Chunk, Model, ModelRequest, OpenReply


class KeyedModel:
    """Connects with the key that is stored when a request begins; thread-safe.

    `read_key` answers None where no key is stored, `forget_key` has it look again; `connect` makes
    the model for a key, or raises ModelError where it can do nothing without one.
    """

    def __init__(
        self,
        read_key: Callable[[], SecretStr | None],
        connect: Callable[[SecretStr | None], Model],
        forget_key: Callable[[], None] = lambda: None,
    ) -> None:
        self._read_key = read_key
        self._connect = connect
        self._forget_key = forget_key
        self._connected: tuple[SecretStr | None, Model] | None = None
        self._lock = Lock()

    def open(self, request: ModelRequest) -> OpenReply:
        return _LazyReply(self, request)

    def current(self) -> Model:
        """The model for the key as it is now. Raises ModelError."""
        key = self._read_key()
        with self._lock:
            if self._connected is None or self._connected[0] != key:
                self._connected = (key, self._connect(key))
            return self._connected[1]

    def close(self) -> None:
        """Drops idle connections and what is known of the key; the next request reads it again."""
        with self._lock:
            connected, self._connected = self._connected, None
        self._forget_key()
        end = getattr(connected[1], "close", None) if connected else None
        if end is not None:
            end()


class _LazyReply:
    """Reads the key with the first `next`, as the port has it: `open` sends nothing and never
    raises.
    """

    def __init__(self, model: KeyedModel, request: ModelRequest) -> None:
        self._model = model
        self._request = request
        self._reply: OpenReply | None = None
        self._is_closed = False
        self._lock = Lock()

    def __iter__(self) -> Iterator[Chunk]:
        reply = self._model.current().open(self._request)
        with self._lock:
            self._reply = reply
            if self._is_closed:
                reply.close()  # its first `next` then raises ModelStopped
        yield from reply

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            if self._reply is not None:
                self._reply.close()
