"""One transaction as the table takes it, and what a refusal says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from freehold.adapters.dynamodb import expressions, schema
from freehold.adapters.dynamodb.attributes import from_item, from_key, to_item
from freehold.errors import ItemTooLarge, StaleRead
from freehold.items import limits
from freehold.items.conditions import failed_reasons
from freehold.ports import Item, Write


class Transaction:
    """A checked transaction.

    `items` is empty when it writes and checks nothing.
    """

    def __init__(self, table_name: str, writes: Sequence[Write]) -> None:
        """Raises what `limits.check`, `check_size` and `check_total` raise.

        What an update makes of an item, and what a deletion takes away, the table measures itself.
        """
        limits.check(writes)
        limits.check_total([limits.check_size(w.key, w.put) for w in writes if w.put is not None])
        # A check of nothing is no request that the table would accept.
        self._writes = [write for write in writes if _has_effect(write) or write.conditions]
        self.items = [_to_request(table_name, write) for write in self._writes]

    def refusal(self, response: Mapping[str, Any]) -> Exception | None:
        """What the table's `response`, an error, says in the words of the port, if it has some.

        A condition that failed says more than what else went wrong beside it.
        """
        reasons = response.get("CancellationReasons") or [response["Error"]]
        codes = {reason["Code"] for reason in reasons}
        if "ConditionalCheckFailed" in codes:
            pairs = zip(self._writes, reasons, strict=True)
            return _stale([(w, _old(r)) for w, r in pairs if r["Code"] == "ConditionalCheckFailed"])
        invalid = [r for r in reasons if r["Code"] in {"ValidationError", "ValidationException"}]
        if invalid:
            return _too_large(invalid[0])
        return StaleRead() if "TransactionConflict" in codes else None


def _stale(judged: Sequence[tuple[Write, Item | None]]) -> Exception:
    """From the writes whose conditions failed, and the items they failed on."""
    failed = [reason for write, item in judged for reason in failed_reasons(write, item)]
    wrong = [error for write, item in judged if (error := _wrong_sum(write, item))]
    return wrong[0] if wrong and not failed else StaleRead(failed)


def _too_large(said: Mapping[str, Any]) -> ItemTooLarge | None:
    """What only the table can measure: what an update makes of an item, and a deletion's part."""
    is_limit = "exceed" in said.get("Message", "").lower()
    return ItemTooLarge("the transaction is over a limit of the table") if is_limit else None


def _has_effect(write: Write) -> bool:
    return write.put is not None or write.delete or bool(write.set or write.add)


def _to_request(table_name: str, write: Write) -> dict[str, Any]:
    names = expressions.Placeholders()
    request: dict[str, Any] = {"TableName": table_name}
    if write.put is not None:
        verb, request["Item"] = "Put", from_item(write.key, write.put)
    else:
        request["Key"] = from_key(write.key)
        verb = "Delete" if write.delete else "ConditionCheck"
    if write.set or write.add:
        verb, due = "Update", write.set.get("due")
        partition = schema.due_partition(write.key, due) if isinstance(due, str) else None
        request["UpdateExpression"] = expressions.update(write, partition, names)
    if condition := expressions.condition(write, names):
        request["ConditionExpression"] = condition
        # Otherwise nobody would learn which of several conditions it was.
        request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    return {verb: request | names.parameters()}


def _old(reason: Mapping[str, Any]) -> Item | None:
    """The item that a condition failed on; the table answers none where there is none."""
    return to_item(reason["Item"]) if reason.get("Item") else None


def _wrong_sum(write: Write, item: Item | None) -> Exception | None:
    """What is wrong with the first increment of `write` that is impossible."""
    for name, amount in write.add.items():
        before = (item or {}).get(name, 0)
        if not isinstance(before, int) or isinstance(before, bool):
            return TypeError(f"cannot add to `{name}`, which is a {type(before).__name__}")
        if abs(before + amount) > limits.MAX_NUMBER:
            return ItemTooLarge("a number of more than 38 digits")
    return None
