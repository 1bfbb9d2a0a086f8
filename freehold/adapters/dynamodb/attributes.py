"""Items as the table's attributes and back.

Every attribute of an item is one of the table's, in its own type, so that a stream record, a filter
or a console shows it. The key and the shard of the index are the table's alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from freehold.adapters.dynamodb import schema
from freehold.keys import Key
from freehold.ports import Item, Value

Attribute: TypeAlias = dict[str, Any]
"""A value with its type: `{"S": "text"}`."""

_OWN = frozenset({schema.PARTITION_KEY, schema.SORT_KEY, schema.DUE_PARTITION_KEY})


def from_key(key: Key) -> dict[str, Attribute]:
    return {schema.PARTITION_KEY: {"S": key.pk}, schema.SORT_KEY: {"S": key.sk}}


def to_key(attributes: Mapping[str, Attribute]) -> Key:
    return Key(attributes[schema.PARTITION_KEY]["S"], attributes[schema.SORT_KEY]["S"])


def from_item(key: Key, item: Item) -> dict[str, Attribute]:
    """`due` with the value None is not kept: the index would refuse NULL, and the item with it."""
    due = item.get("due")
    kept = {name: from_value(v) for name, v in item.items() if name != "due" or v is not None}
    if isinstance(due, str):
        kept[schema.DUE_PARTITION_KEY] = {"S": schema.due_partition(key, due)}
    return kept | from_key(key)


def to_item(attributes: Mapping[str, Attribute]) -> dict[str, Value]:
    """A new item that shares nothing mutable with any other."""
    return {name: to_value(value) for name, value in attributes.items() if name not in _OWN}


def from_value(value: Value) -> Attribute:
    """The value has passed `limits`."""
    plain: object = value
    match value:
        case None:
            kind, plain = "NULL", True
        case bool():
            kind = "BOOL"
        case int():
            kind, plain = "N", str(value)
        case str():
            kind = "S"
        case bytes():
            kind = "B"
        case list():
            kind, plain = "L", [from_value(element) for element in value]
        case dict():
            kind, plain = "M", {name: from_value(element) for name, element in value.items()}
    return {kind: plain}


def to_value(attribute: Attribute) -> Value:
    """Raises ValueError for a type that no item of ours has."""
    ((kind, value),) = attribute.items()
    if kind == "NULL":
        return None
    if kind in {"BOOL", "S", "B"}:
        plain: Value = value
        return plain
    if kind == "N":
        # An exponent is another way to write a number, which the table may choose.
        return int(Decimal(value))
    if kind == "L":
        return [to_value(element) for element in value]
    if kind == "M":
        return {name: to_value(element) for name, element in value.items()}
    raise ValueError(f"an attribute of type {kind}")
