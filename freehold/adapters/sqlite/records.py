"""`SqliteRecords`: the port, over the writer and the readers."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from freehold.adapters.sqlite.connections import Connections, Synchronous
from freehold.adapters.sqlite.encoding import decode
from freehold.adapters.sqlite.transaction import Transaction
from freehold.adapters.sqlite.writer import Stream, Writer
from freehold.items import limits
from freehold.items.ranges import SortKeys, after_prefix
from freehold.keys import Key
from freehold.ports import Item, Page, Write

# CAST: what somebody changed with SQL of their own may be text, which would not be read at all.
_GET = "SELECT CAST(value AS BLOB) FROM items WHERE pk = ? AND sk = ?"
_QUERY = (
    "SELECT sk, size, CAST(value AS BLOB) FROM items"
    " WHERE pk = :pk AND sk {lower} :low AND (:high IS NULL OR sk < :high)"
    " ORDER BY sk {order} LIMIT :limit"
)
_DUE = (
    "SELECT pk, sk FROM items WHERE due >= :low AND (:high IS NULL OR due < :high)"
    " ORDER BY due, pk, sk LIMIT :limit"
)


class SqliteRecords:
    """`Records` in one file. Threads share an instance; processes may share the file.

    A `write` that returned is on the disk (`synchronous="FULL"`) and visible to every reader. It
    raises Unavailable when SQLite could not take it, with nothing applied, and AmbiguousWrite when
    the commit itself failed. `stream` is called with the keys written through this instance, in the
    order of the commits, from one thread, before `write` returns; it must be quick and must not
    write. Several keys of `get` are one snapshot, and so is a `query`.

    The content of a deleted item is gone from the file and its log after a second without writes,
    and once this is closed.
    """

    def __init__(
        self,
        path: Path | Literal[":memory:"],
        *,
        synchronous: Synchronous = "FULL",
        stream: Stream | None = None,
    ) -> None:
        """Opens the store or creates it. Raises StoreUnusable."""
        self._connections = Connections(path, synchronous)
        self._writer = Writer(self._connections, stream)
        # Also when it is forgotten: a thread that waits for ever would keep the file open.
        self._end = weakref.finalize(self, _close, self._writer, self._connections)

    def close(self) -> None:
        """Ends after what was written before. From then on everything else raises Unavailable."""
        self._end()

    def write(self, writes: Sequence[Write]) -> None:
        """As the port; an empty transaction does nothing."""
        if writes:
            self._writer.write(Transaction(writes))

    def put(self, key: Key, item: Item) -> None:
        """As the port."""
        self.write([Write(key, put=item)])

    def get(self, keys: Sequence[Key]) -> list[Item | None]:
        """As the port. Raises ValueError for more than 100 keys."""
        limits.check_get(keys)
        with self._connections.reading() as connection:
            if len(keys) > 1:
                connection.execute("BEGIN")
            rows = [connection.execute(_GET, (key.pk, key.sk)).fetchone() for key in keys]
            if len(keys) > 1:
                connection.execute("COMMIT")
        return [decode(row[0]) if row else None for row in rows]

    def query(
        self,
        pk: str,
        *,
        after: str = "",
        before: str = "",
        prefix: str = "",
        limit: int = 1000,
        reverse: bool = False,
        consistent: bool = True,  # noqa: ARG002 - every read of a file is
    ) -> Page:
        """As the port; `more` is exact."""
        limits.check_query(pk, after, before, prefix, limit=limit)
        wanted = SortKeys(after, before, prefix)
        statement = _QUERIES[after >= prefix, reverse]
        found: list[tuple[Key, bytes]] = []
        size, more = 0, False
        with self._connections.reading() as connection:
            bounds = {"pk": pk, "low": wanted.low, "high": wanted.high, "limit": limit + 1}
            cursor = connection.execute(statement, bounds)
            for sk, item_size, value in cursor:
                size += item_size
                if len(found) == limit or (found and size > limits.MAX_PAGE):
                    more = True
                    break
                found.append((Key(pk, sk), value))
            cursor.close()
        return Page(tuple((key, decode(value)) for key, value in found), more)

    def due(self, prefix: str, limit: int = 1000) -> tuple[Key, ...]:
        """As the port, and consistent."""
        limits.check_limit(limit)
        bounds = {"low": prefix, "high": after_prefix(prefix), "limit": limit}
        with self._connections.reading() as connection:
            rows = connection.execute(_DUE, bounds).fetchall()
        return tuple(Key(pk, sk) for pk, sk in rows)


_QUERIES = {
    (is_after, reverse): _QUERY.format(
        lower=">" if is_after else ">=", order="DESC" if reverse else "ASC"
    )
    for is_after in (False, True)
    for reverse in (False, True)
}


def _close(writer: Writer, connections: Connections) -> None:
    writer.stop()
    connections.close()
