"""Conditions, updates and ranges in the table's expressions.

Every attribute and value stands there by a placeholder: a name may be a reserved word, and neither
a name nor a value can become part of an expression.
"""

from __future__ import annotations

from typing import Any

from freehold.adapters.dynamodb import schema
from freehold.adapters.dynamodb.attributes import Attribute, from_value
from freehold.items.conditions import has_order
from freehold.items.limits import MAX_NUMBER
from freehold.items.ranges import SortKeys, after_prefix
from freehold.ports import Condition, Value, Write


class Placeholders:
    """What the expressions of one request stand for."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._values: dict[str, Attribute] = {}

    def name(self, attribute: str) -> str:
        return self._names.setdefault(attribute, f"#{len(self._names)}")

    def value(self, value: Value) -> str:
        placeholder = f":{len(self._values)}"
        self._values[placeholder] = from_value(value)
        return placeholder

    def parameters(self) -> dict[str, Any]:
        """The table refuses an empty map, so there is none."""
        names = {placeholder: attribute for attribute, placeholder in self._names.items()}
        given = {"ExpressionAttributeNames": names, "ExpressionAttributeValues": self._values}
        return {name: value for name, value in given.items() if value}


def condition(write: Write, names: Placeholders) -> str:
    """Holds when every condition of `write` does and every sum stays an integer of 38 digits."""
    parts = [_condition(one, names) for one in write.conditions]
    parts += [_is_addable(name, amount, names) for name, amount in write.add.items()]
    return " AND ".join(parts)


def update(write: Write, partition: str | None, names: Placeholders) -> str:
    """What `write` sets and adds. `partition` is where its new `due` stands in the index."""
    changed = {name: value for name, value in write.set.items() if name != "due" or value}
    if partition is not None:
        changed[schema.DUE_PARTITION_KEY] = partition
    sets = [f"{names.name(name)}={names.value(value)}" for name, value in changed.items()]
    adds = [f"{names.name(name)} {names.value(amount)}" for name, amount in write.add.items()]
    removes = []
    if "due" in write.set and partition is None:
        removes = [names.name(name) for name in (schema.DUE_SORT_KEY, schema.DUE_PARTITION_KEY)]
    clauses = {"SET": sets, "ADD": adds, "REMOVE": removes}
    return " ".join(f"{verb} {','.join(parts)}" for verb, parts in clauses.items() if parts)


def sort_keys(pk: str, wanted: SortKeys, names: Placeholders) -> str:
    """Names at least `wanted` of a partition. A range with two ends can only be asked for with
    both of them, which the reader drops.
    """
    whole = f"{names.name(schema.PARTITION_KEY)}={names.value(pk)}"
    low, high = wanted.low, wanted.high
    if not low and high is None:
        return whole
    sk = names.name(schema.SORT_KEY)
    if high is None:
        is_above = ">" if low == wanted.after else ">="
        return f"{whole} AND {sk}{is_above}{names.value(low)}"
    if not low:
        return f"{whole} AND {sk}<{names.value(high)}"
    if low != wanted.after and high == after_prefix(low):
        return f"{whole} AND begins_with({sk},{names.value(low)})"
    return f"{whole} AND {sk} BETWEEN {names.value(low)} AND {names.value(high)}"


def _condition(given: Condition, names: Placeholders) -> str:
    if given.op in {"exists", "absent"}:
        test = "attribute_exists" if given.op == "exists" else "attribute_not_exists"
        return f"{test}({names.name(schema.PARTITION_KEY)})"
    attribute = names.name(given.attribute)
    if given.op in {"==", "!="}:
        return _equality(attribute, given.op, given.value, names)
    if not has_order(given.value):
        # The table refuses such a comparison, where the port says that it never holds.
        return f"(attribute_exists({attribute}) AND attribute_not_exists({attribute}))"
    return f"{attribute}{given.op}{names.value(given.value)}"


def _equality(attribute: str, op: str, value: Value, names: Placeholders) -> str:
    """What is missing, and NULL, is None."""
    if value is None:
        is_null = f"attribute_type({attribute},{names.value('NULL')})"
        if op == "==":
            return f"(attribute_not_exists({attribute}) OR {is_null})"
        return f"(attribute_exists({attribute}) AND NOT {is_null})"
    if op == "==":
        return f"{attribute}={names.value(value)}"
    return f"(attribute_not_exists({attribute}) OR {attribute}<>{names.value(value)})"


def _is_addable(name: str, amount: int, names: Placeholders) -> str:
    """The table itself would go on: 10**38 is a number of one digit to it."""
    attribute = names.name(name)
    low = names.value(max(-MAX_NUMBER, -MAX_NUMBER - amount))
    high = names.value(min(MAX_NUMBER, MAX_NUMBER - amount))
    return f"(attribute_not_exists({attribute}) OR {attribute} BETWEEN {low} AND {high})"
