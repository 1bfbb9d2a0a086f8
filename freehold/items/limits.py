"""DynamoDB's limits, so that what works on a laptop is not refused by the table on AWS.

An item is measured as DynamoDB measures it: names and texts in UTF-8, a number at one byte for two
digits and one more, 3 bytes for a list or map and 1 for each element of it. The two attributes of
the key, `pk` and `sk`, count, and so does `due_shard`, which the table keeps beside `due`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from freehold.errors import ItemTooLarge
from freehold.keys import Key
from freehold.ports import Condition, Item, Value, Write

MAX_ITEM = 400 * 1024
MAX_TRANSACTION = 4 * 1024 * 1024
MAX_WRITES = 100
MAX_GET = 100
MAX_PAGE = 4 * 1024 * 1024
"""What one `query` answers: four pages of DynamoDB."""
_MAX_CONDITIONS = 64
"""Conditions and increments of one write: as an expression they stay under 4 KB."""
_MAX_SET = 100
_MAX_PK = 2048
_MAX_SK = 1024
_MAX_DUE = 1024
_MAX_DEPTH = 32
MAX_NUMBER = 10**38 - 1
_DUE_SHARD = "due_shard"
"""Pinned to the table's schema by tests/unit/test_dynamodb_expressions.py."""
_OWN_NAMES = frozenset({"pk", "sk", _DUE_SHARD})


def check(writes: Sequence[Write]) -> None:
    """What can be said of a transaction without reading anything.

    Raises ItemTooLarge for what is over a limit, ValueError for what is malformed, TypeError for a
    value that no item can hold.
    """
    if len(writes) > MAX_WRITES:
        raise ItemTooLarge(f"{len(writes)} writes in a transaction, at most {MAX_WRITES}")
    if len({write.key for write in writes}) < len(writes):
        raise ValueError("two writes of a transaction name the same key")
    for write in writes:
        check_key(write.key)
        _check_form(write)
        for condition in write.conditions:
            _check_condition(condition)


def check_key(key: Key) -> None:
    """Raises ValueError for an empty part, ItemTooLarge for one that is too long."""
    if not key.pk or not key.sk:
        raise ValueError("a key has an empty part")
    if _length(key.pk) > _MAX_PK or _length(key.sk) > _MAX_SK:
        raise ItemTooLarge(f"a key of {_length(key.pk)} and {_length(key.sk)} bytes")


def _check_form(write: Write) -> None:
    forms = (write.put is not None, write.delete, bool(write.set or write.add))
    if sum(forms) > 1:
        raise ValueError("a write is a put, a delete or an update, not two of them")
    if write.set.keys() & write.add.keys():
        raise ValueError("an update both sets and adds to an attribute")
    measure(write.set)
    measure(write.add)
    if len(write.set) > _MAX_SET or len(write.conditions) + len(write.add) > _MAX_CONDITIONS:
        raise ItemTooLarge(
            f"at most {_MAX_SET} attributes set, {_MAX_CONDITIONS} conditions and increments"
        )
    _check_due(write.set.get("due"))
    for name, amount in write.add.items():
        if name == "due" or not _is_number(amount):
            raise TypeError(f"cannot add a {type(amount).__name__} to `{name}`")


def _check_due(due: Value) -> None:
    if due is not None and (not isinstance(due, str) or not due or _length(due) > _MAX_DUE):
        raise ValueError(f"`due` is a text of 1 to {_MAX_DUE} bytes")


def _check_condition(condition: Condition) -> None:
    if condition.op not in {"exists", "absent"}:
        measure({condition.attribute: condition.value})


def check_size(key: Key, item: Item) -> int:
    """The size in bytes of an item with its key. Raises ItemTooLarge, ValueError and TypeError."""
    _check_due(item.get("due"))
    size = size_of(key, item)
    if size > MAX_ITEM:
        raise ItemTooLarge(f"an item of {size} bytes, at most {MAX_ITEM}")
    return size


def size_of(key: Key, item: Item) -> int:
    """In bytes, with its key. Raises ValueError and TypeError for what no item can hold."""
    size = len("pk") + _length(key.pk) + len("sk") + _length(key.sk) + measure(item)
    due = item.get("due")
    if isinstance(due, str):
        kind, _, _ = due.partition("/")
        size += len(_DUE_SHARD) + _length(kind) + len("/0")
    return size


def check_query(pk: str, *bounds: str, limit: int) -> None:
    """Raises ValueError for an empty partition key, an overlong bound, a limit below 1."""
    if not pk:
        raise ValueError("a key has an empty part")
    if any(_length(bound) > _MAX_SK for bound in bounds):
        raise ValueError(f"a bound of more than {_MAX_SK} bytes")
    check_limit(limit)


def check_limit(limit: int) -> None:
    """Raises ValueError for less than 1."""
    if limit < 1:
        raise ValueError(f"a limit of {limit}, at least 1")


def check_get(keys: Sequence[Key]) -> None:
    """Raises ValueError for more than 100 keys, and as `check_key`."""
    if len(keys) > MAX_GET:
        raise ValueError(f"{len(keys)} keys in a get, at most {MAX_GET}")
    for key in keys:
        check_key(key)


def check_total(sizes: Sequence[int]) -> None:
    """Raises ItemTooLarge when the items of one transaction are too large together."""
    if sum(sizes) > MAX_TRANSACTION:
        raise ItemTooLarge(f"a transaction of {sum(sizes)} bytes, at most {MAX_TRANSACTION}")


def measure(attributes: Mapping[str, Value]) -> int:
    """The size in bytes of attributes without their item's key."""
    if not _OWN_NAMES.isdisjoint(attributes):
        raise ValueError("`pk`, `sk` and `due_shard` are the store's, not attributes of an item")
    return sum(_named(name, value, 0) for name, value in attributes.items())


def _named(name: str, value: Value, depth: int) -> int:
    if not isinstance(name, str):
        raise TypeError(f"an attribute is named by a text, not by a {type(name).__name__}")
    if not name:
        raise ValueError("an attribute has an empty name")
    return _length(name) + _measure(value, depth)


def _measure(value: Value, depth: int) -> int:
    if isinstance(value, str):
        return _length(value)
    if value is None or isinstance(value, bool):
        return 1
    if isinstance(value, int):
        return _number_length(value)
    if isinstance(value, bytes):
        return len(value)
    if not isinstance(value, list | dict):
        raise TypeError(f"an item cannot hold a {type(value).__name__}")
    if depth == _MAX_DEPTH:
        raise ItemTooLarge(f"nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, list):
        return 3 + sum(1 + _measure(element, depth + 1) for element in value)
    return 3 + sum(1 + _named(name, element, depth + 1) for name, element in value.items())


def _length(text: str) -> int:
    """Raises ValueError (UnicodeEncodeError) for half of a surrogate pair, which is no text."""
    return len(text) if text.isascii() else len(text.encode())


def _number_length(number: int) -> int:
    if abs(number) > MAX_NUMBER:
        raise ItemTooLarge("a number of more than 38 digits")
    digits = len(str(abs(number)).rstrip("0"))
    return 1 + (digits + 1) // 2 + (number < 0)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
