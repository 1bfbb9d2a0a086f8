"""Identifiers and timestamps. Stdlib only.

Identifiers are opaque to clients, time-ordered, and drawn from the operating system's randomness on
every call: a process restored from a snapshot must not repeat them.
"""

from __future__ import annotations

import os
import re
import time
from datetime import UTC, datetime, timedelta

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH = 26
_ID = re.compile(r"[a-z]+_[0-9A-HJKMNP-TV-Z]{26}\Z")


def new_id(prefix: str) -> str:
    """`{prefix}_` and 26 characters: 60 bits of microseconds, then 70 random bits, so ids sort by
    creation time.
    """
    value = (time.time_ns() // 1000) << 70 | int.from_bytes(os.urandom(9), "big") >> 2
    digits = []
    for _ in range(_LENGTH):
        value, digit = divmod(value, 32)
        digits.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(reversed(digits))}"


def is_id(prefix: str, value: str) -> bool:
    """Whether `value` has the form `new_id(prefix)` gives. Ids from callers pass here before they
    become part of a key.
    """
    return value.startswith(f"{prefix}_") and _ID.match(value) is not None


def now() -> datetime:
    """The current time, UTC, microseconds."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with six decimals, always the same width, so that text order is time
    order.
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_timestamp(text: str) -> datetime:
    """The inverse of `timestamp`. Raises ValueError."""
    return datetime.fromisoformat(text)


def later(moment: datetime, last: str | None) -> datetime:
    """`max(moment, last + 1 microsecond)`: `processed_at` never repeats or runs backwards within a
    feed (DESIGN 4).
    """
    if not last:
        return moment
    return max(moment, parse_timestamp(last) + timedelta(microseconds=1))
