"""The table's stream where the table has none: what is written through `StreamedRecords`, as the
records that the fan-out would be given on AWS.
"""

from __future__ import annotations

import itertools
import json
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from freehold import keys
from freehold.adapters.dynamodb import schema
from freehold.adapters.dynamodb.attributes import from_item, from_key
from freehold.keys import Key
from freehold.ports import Item, Records, Write

_STRIPES = 256
Record = Mapping[str, Any]


class StreamedRecords:
    """`Records` over `records`; `hear` is called with each record that rings the fan-out, after the
    transaction it tells of. Threads may share it.
    """

    def __init__(self, records: Records, hear: Callable[[Record], None]) -> None:
        self._records = records
        self._hear = hear
        self._locks = [threading.Lock() for _ in range(_STRIPES)]
        self._numbers = itertools.count(1)
        self.get, self.query, self.due = records.get, records.query, records.due

    def write(self, writes: Sequence[Write]) -> None:
        """As the port. Transactions on one partition that is of interest to the fan-out come one
        after another, so that an image is the one that its transaction left.
        """
        told = [write.key for write in writes if keys.parse_beside(write.key.pk) is not None]
        if not told:
            self._records.write(writes)
            return
        stripes = {zlib.crc32(key.pk.encode()) % _STRIPES for key in told}
        with ExitStack() as held:
            for stripe in sorted(stripes):
                held.enter_context(self._locks[stripe])
            before = self._records.get(told)
            self._records.write(writes)
            after = self._records.get(told)
            for key, old, new in zip(told, before, after, strict=True):
                if new is not None and new != old:
                    self._tell(key, new, is_new=old is None)

    def put(self, key: Key, item: Item) -> None:
        """As the port."""
        self.write([Write(key, put=item)])

    def _tell(self, key: Key, image: Item, *, is_new: bool) -> None:
        record = {
            "eventSource": "aws:dynamodb",
            "eventName": "INSERT" if is_new else "MODIFY",
            "dynamodb": {
                "Keys": from_key(key),
                "NewImage": from_item(key, image),
                "SequenceNumber": str(next(self._numbers)),
            },
        }
        if any(matches(record, pattern) for pattern in schema.DOORBELLS):
            self._hear(record)


def matches(record: Mapping[str, Any], pattern: Mapping[str, Any]) -> bool:
    """Whether Lambda's filter lets the record through, for the rules that our patterns use."""
    for name, wanted in pattern.items():
        found = record.get(name)
        if isinstance(wanted, Mapping):
            if not isinstance(found, Mapping) or not matches(found, wanted):
                return False
        elif not any(_allows(rule, found) for rule in wanted):
            return False
    return True


def _allows(rule: Any, found: Any) -> bool:
    match rule:
        case {"exists": True}:
            return found is not None
        case {"prefix": prefix}:
            return isinstance(found, str) and found.startswith(prefix)
        case {"anything-but": unwanted}:
            return found not in unwanted
        case str():
            return bool(found == rule)
    raise ValueError(f"a rule that is not understood: {json.dumps(rule)}")
