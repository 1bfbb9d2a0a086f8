"""`DynamoRecords`: the port, over one table of DynamoDB."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from freehold.adapters.dynamodb import attempts, expressions, schema
from freehold.adapters.dynamodb.attributes import Attribute, from_item, from_key, to_item, to_key
from freehold.adapters.dynamodb.transaction import Transaction
from freehold.errors import Unavailable
from freehold.items import limits
from freehold.items.ranges import SortKeys
from freehold.keys import Key
from freehold.ports import Item, Page, Write

_Attributes = Mapping[str, Attribute]


class DynamoRecords:
    """`Records` in one table. Threads share an instance; it keeps no state but its client.

    Every read is consistent but `due`, and a `query` that need not be. A transaction that met
    another one on the way is StaleRead without a reason; Unavailable when the table was too busy
    for a few seconds.
    """

    def __init__(self, client: Any, table_name: str) -> None:
        """`client` is boto3's for DynamoDB. Sends nothing yet."""
        self._client = client
        self._table = table_name

    def write(self, writes: Sequence[Write]) -> None:
        """As the port; an empty transaction does nothing.

        A single write is a transaction as well, at twice the price: only a transaction has a token,
        and only under a token may a write whose answer was lost be asked for again.
        """
        transaction = Transaction(self._table, writes)
        if not transaction.items:
            return
        token = uuid.uuid4().hex

        send = partial(
            self._client.transact_write_items,
            TransactItems=transaction.items,
            ClientRequestToken=token,
        )
        attempts.write(send, transaction.refusal)

    def put(self, key: Key, item: Item) -> None:
        """As the port. What lost its answer is asked for again: the same item, so nothing is lost
        by it.
        """
        limits.check([Write(key, put=item)])
        limits.check_size(key, item)
        request = partial(self._client.put_item, TableName=self._table, Item=from_item(key, item))
        attempts.put(request)

    def get(self, keys: Sequence[Key]) -> list[Item | None]:
        """As the port. Raises ValueError for more than 100 keys."""
        limits.check_get(keys)
        found: dict[Key, _Attributes] = {}
        wanted: Sequence[_Attributes] = [from_key(key) for key in dict.fromkeys(keys)]
        while wanted:
            answered, wanted = self._get_some(wanted)
            found |= {to_key(attributes): attributes for attributes in answered}
        return [to_item(found[key]) if key in found else None for key in keys]

    def query(
        self,
        pk: str,
        *,
        after: str = "",
        before: str = "",
        prefix: str = "",
        limit: int = 1000,
        reverse: bool = False,
        consistent: bool = True,
    ) -> Page:
        """As the port; `more` may be true where the page ended with the partition."""
        limits.check_query(pk, after, before, prefix, limit=limit)
        wanted = SortKeys(after, before, prefix)
        if wanted.high is not None and wanted.low >= wanted.high:
            return Page((), more=False)
        names = expressions.Placeholders()
        request = {
            "KeyConditionExpression": expressions.sort_keys(pk, wanted, names),
            "ConsistentRead": consistent,
            "ScanIndexForward": not reverse,
            **names.parameters(),
        }
        found: list[tuple[Key, Item]] = []
        size = 0
        for attributes in self._items(request, limit):
            key, item = to_key(attributes), to_item(attributes)
            if key.sk not in wanted:
                continue
            size += limits.size_of(key, item)
            if found and size > limits.MAX_PAGE:
                return Page(tuple(found), more=True)
            found.append((key, item))
            if len(found) == limit:
                return Page(tuple(found), more=True)
        return Page(tuple(found), more=False)

    def due(self, prefix: str, limit: int = 1000) -> tuple[Key, ...]:
        """As the port. A `prefix` without a slash names a whole kind: `busy`, not `bus`.

        Raises ValueError for an empty one.
        """
        limits.check_limit(limit)
        if not prefix:
            raise ValueError("an empty prefix names no kind")
        found: list[tuple[str, Key]] = []
        for partition in schema.due_partitions(prefix):
            names = expressions.Placeholders()
            shard = names.name(schema.DUE_PARTITION_KEY), names.value(partition)
            due = names.name(schema.DUE_SORT_KEY), names.value(prefix)
            request = {
                "IndexName": schema.DUE_INDEX,
                "KeyConditionExpression": f"{'='.join(shard)} AND begins_with({','.join(due)})",
                **names.parameters(),
            }
            first = islice(self._items(request, limit), limit)
            found += [(item[schema.DUE_SORT_KEY]["S"], to_key(item)) for item in first]
        return tuple(key for _, key in sorted(found)[:limit])

    def close(self) -> None:
        """Drops idle connections; the next call opens new ones."""
        self._client.close()

    def _items(self, request: Mapping[str, Any], limit: int) -> Iterator[_Attributes]:
        """What a query finds, page by page of the table (1 MB) as it is taken."""
        page = {"TableName": self._table, "Limit": limit, **request}
        while True:
            answer = attempts.read(partial(self._client.query, **page))
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            page["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _get_some(
        self, wanted: Sequence[_Attributes]
    ) -> tuple[Sequence[_Attributes], Sequence[_Attributes]]:
        """Some of the items of these keys, at least one key's worth, and the keys that are left.

        The table leaves keys when the answer has 16 MB, and when it is too busy.
        """
        keys = {self._table: {"Keys": wanted, "ConsistentRead": True}}
        for _ in attempts.pauses():
            answer = attempts.read(partial(self._client.batch_get_item, RequestItems=keys))
            left = answer["UnprocessedKeys"].get(self._table, {}).get("Keys", [])
            if len(left) < len(wanted):
                return answer["Responses"].get(self._table, ()), left
        raise Unavailable("The store cannot be read.", retry_after=1)
