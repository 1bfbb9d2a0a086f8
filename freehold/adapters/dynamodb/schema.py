"""The one table, as the stack makes it and the store reads it. Free of boto3.

An item's `due` attribute becomes two: the kind before its slash with a shard, which is the
partition of the sparse index, and the whole of it, which orders that partition.
"""

from __future__ import annotations

import zlib

from freehold.keys import SOCKETS, Key

PARTITION_KEY = "pk"
SORT_KEY = "sk"
DUE_INDEX = "due"
DUE_PARTITION_KEY = "due_shard"
DUE_SORT_KEY = "due"
TTL_ATTRIBUTE = "expires_at"

DOORBELLS = (
    {"eventName": ["INSERT"], "dynamodb": {"NewImage": {"first_seq": {"N": [{"exists": True}]}}}},
    {"eventName": ["INSERT"], "dynamodb": {"NewImage": {"frames": {"S": [{"exists": True}]}}}},
    {
        "eventName": ["INSERT"],
        "dynamodb": {"Keys": {SORT_KEY: {"S": [{"prefix": SOCKETS}]}}},
    },
    {
        "eventName": ["MODIFY"],
        "dynamodb": {
            "Keys": {SORT_KEY: {"S": [{"prefix": SOCKETS}]}},
            "NewImage": {"attempts": {"N": [{"anything-but": ["0"]}]}},
        },
    },
)
"""Records of the table's stream that ring the fan-out: commits, previews, connections that begin to
follow a feed or were kept waiting by it. A cursor that moves rings nobody.
"""

_SHARDS = 8
"""A partition takes 1,000 writes a second, and a `due` that changes is two of them. More shards may
follow; fewer would hide what is stored in those that go.
"""


def due_partition(key: Key, due: str) -> str:
    """Where an item stands in the index. It keeps its shard for life, whatever `due` becomes."""
    shard = zlib.crc32(f"{key.pk}\n{key.sk}".encode()) % _SHARDS
    return due_partitions(due)[shard]


def due_partitions(prefix: str) -> tuple[str, ...]:
    """Where items stand whose `due` starts with `prefix`, a whole kind at least."""
    kind, _, _ = prefix.partition("/")
    return tuple(f"{kind}/{shard}" for shard in range(_SHARDS))
