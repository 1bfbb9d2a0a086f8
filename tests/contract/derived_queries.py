"""Query strings made from the API's own document that break it in one known place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Pairs = tuple[tuple[str, str], ...]

NO_INTEGERS = ("", " ", "x", "1.5", "1e2", "0x1", "+1", " 1", "1_0", "٣", "true", "null", "9" * 30)
NO_BOOLEANS = ("", "1", "0", "yes", "True", "TRUE", "null", " true")
NO_INSTANTS = (
    *("", "now", "0", "1767225600", "2026-01-01", "2026-01-01T00:00:00", "20260101T000000Z"),
    *("2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T25:00:00Z"),
    *("2026-01-01 00:00:00Z", "2026-01-01T00:00:00z", "2026-01-01T00:00:00+99:99"),
    *("0000-01-01T00:00:00Z", "٢٠٢٦-01-01T00:00:00Z", "2026-01-01T00:00:00Z\n"),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
)
NO_CURSORS = ("", "x", "AAAA", "=", "ä", "\x00", "x" * 5000, "YXNjL2YvMQ")
NO_IDS = ("", "x", "sesn_x", "agent_", "../x", "\x00", "x" * 5000)
UNKNOWN = ("colour", "Limit", "limit ", "order[]", "created_at", "created_at[eq]", "betas", "")


@dataclass(frozen=True)
class BrokenQuery:
    """Parameters in order, and the one at fault."""

    pairs: Pairs
    name: str

    def is_named_by(self, message: str) -> bool:
        """Ids are named by what they are ids of."""
        spoken = self.name.removesuffix("_id").replace("_", " ") + " ID"
        return self.name.removesuffix("[]") in message or spoken in message


def broken_queries(parameters: Sequence[Mapping[str, Any]]) -> Iterator[BrokenQuery]:
    """For every parameter what it cannot be, and parameters that are none."""
    known = {p["name"]: p["schema"] for p in parameters if p["in"] == "query"}
    for name, schema in known.items():
        for value in _wrong(name, schema):
            yield BrokenQuery(((name, value),), name)
        if schema["type"] == "array":
            item = schema["items"]["enum"][0]
            yield BrokenQuery(((name, item), (name, "x")), name)
            for other in (name.removesuffix("[]"), name.replace("[]", "[0]"), f"{name}[]"):
                yield BrokenQuery(((other, item),), other)
            if "maxItems" in schema:
                yield BrokenQuery(((name, item),) * (schema["maxItems"] + 1), name)
        else:
            yield BrokenQuery(((name, "1"), (name, "1")), name)
    for name in UNKNOWN:
        if name not in known:
            yield BrokenQuery(((name, "1"),), name)


def _wrong(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    if schema["type"] == "array":
        yield from _wrong(name, schema["items"])
    elif "enum" in schema:
        yield from ("", "no such thing", schema["enum"][0].upper(), f" {schema['enum'][0]}")
    elif schema["type"] == "integer":
        yield from NO_INTEGERS
        yield str(schema["minimum"] - 1)
        if "maximum" in schema:
            yield str(schema["maximum"] + 1)
    elif schema["type"] == "boolean":
        yield from NO_BOOLEANS
    elif schema.get("format") == "date-time":
        yield from NO_INSTANTS
    else:
        yield from NO_CURSORS if name == "page" else NO_IDS
