"""The deployed entry points with a meter: what each invocation read, wrote, logged and called.

The handler `metered.run_turn` is `recorded.run_turn`, and leaves one line for each invocation and
each call of AWS in `meter.jsonl`. What a transaction left behind is read after it, by requests that
are not metered: an item's size and its place in the index are what is paid for.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import recorded

_unmetered = threading.local()


class _Counted:
    """A stream that counts the bytes of its lines."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.size = 0

    def write(self, text: str) -> Any:
        self.size += len(text.encode())
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def __getattr__(folder: str) -> Any:
    """The handler of a folder of `functions/`."""
    if folder.startswith("_"):
        raise AttributeError(folder)
    output = sys.stdout = _Counted(sys.stdout)
    _meter_calls(folder)
    handler = getattr(recorded, folder)

    def metered(event: Any, context: Any) -> Any:
        before = output.size
        try:
            return handler(event, context)
        finally:
            _write({"function": folder, "invocation": 1, "log_bytes": output.size - before})

    return metered


def _meter_calls(folder: str) -> None:
    import botocore.handlers

    def begin(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["freehold_params"] = dict(params)

    def end(http_response: Any, parsed: dict[str, Any], model: Any, context: Any, **_: Any) -> None:
        if getattr(_unmetered, "is_on", False):
            return
        params = context.get("freehold_params", {})
        line = {"function": folder, "service": model.service_model.signing_name}
        line |= {"operation": model.name, "status": http_response.status_code}
        if model.name == "TransactWriteItems":
            line["writes"] = _writes(params)
        elif line["service"] == "dynamodb":
            line["read"] = _read(params, parsed)
        _write(line)

    botocore.handlers.BUILTIN_HANDLERS.append(("before-parameter-build", begin))
    botocore.handlers.BUILTIN_HANDLERS.append(("after-call", end))


def _writes(params: dict[str, Any]) -> list[dict[str, Any]]:
    """Each write with its item as it is afterwards."""
    pairs = [next(iter(item.items())) for item in params["TransactItems"]]
    keys = [_key(write) for _, write in pairs]
    found = {_name(item): item for item in _look(pairs[0][1]["TableName"], keys)}
    return [
        {"kind": kind, "key": _name(key), **_after(found.get(_name(key)), write)}
        for (kind, write), key in zip(pairs, keys, strict=True)
    ]


def _after(item: dict[str, Any] | None, write: dict[str, Any]) -> dict[str, Any]:
    """None is gone, or was never there; what was asked for counts where nothing is left of it."""
    left = item or write.get("Item")
    return {
        "bytes": _size(left) if left else 0,
        "due": (item or {}).get("due", {}).get("S"),
        "is_there": item is not None,
    }


def _look(table: str, keys: list[dict[str, Any]]) -> list[dict[str, Any]]:
    import boto3

    _unmetered.is_on = True
    try:
        client = boto3.client("dynamodb")
        asked = {table: {"Keys": keys, "ConsistentRead": True}}
        found: list[dict[str, Any]] = client.batch_get_item(RequestItems=asked)["Responses"][table]
    finally:
        _unmetered.is_on = False
    return found


def _read(params: dict[str, Any], parsed: dict[str, Any]) -> dict[str, Any]:
    """Sizes of what a request read: of a batch by the item, of a query together."""
    if "RequestItems" in params:
        ((table, asked),) = params["RequestItems"].items()
        found = [_size(item) for item in parsed.get("Responses", {}).get(table, ())]
        absent = len(asked["Keys"]) - len(found)
        return {"consistent": asked.get("ConsistentRead", False), "items": found + [0] * absent}
    together = sum(_size(item) for item in parsed.get("Items", ()))
    return {"consistent": params.get("ConsistentRead", False), "items": [together]}


def _size(item: dict[str, Any]) -> int:
    from freehold.adapters.dynamodb.attributes import to_item, to_key
    from freehold.items import limits

    return limits.size_of(to_key(item), to_item(item))


def _key(write: dict[str, Any]) -> dict[str, Any]:
    place = write.get("Key") or write["Item"]
    return {"pk": place["pk"], "sk": place["sk"]}


def _name(item: dict[str, Any]) -> str:
    return item["pk"]["S"] + "\n" + item["sk"]["S"]


def _write(line: dict[str, Any]) -> None:
    recorded.write_line(line, "meter.jsonl")
