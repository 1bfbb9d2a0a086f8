"""The one table, as the stack makes it and the store will read it. Free of boto3.

An item's `due` attribute becomes two: the kind before its slash with a shard, which is the
partition of the sparse index, and the whole of it, which orders that partition.
"""

PARTITION_KEY = "pk"
SORT_KEY = "sk"
DUE_INDEX = "due"
DUE_PARTITION_KEY = "due_shard"
DUE_SORT_KEY = "due"
TTL_ATTRIBUTE = "expires_at"
