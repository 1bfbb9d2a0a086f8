"""The log: a JSON object a line on standard error, one for each decision.

A host is shown once it has been parsed. Paths, queries, headers and tokens never are.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime


def note(event: str, **fields: str | int | None) -> None:
    """`fields` that are None are left out."""
    line = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event}
    line |= {name: value for name, value in fields.items() if value is not None}  # type: ignore[misc]
    sys.stderr.write(json.dumps(line) + "\n")
