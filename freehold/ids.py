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
_TIME_LENGTH = 12
_ID = re.compile(r"[a-z]+_[0-9A-HJKMNP-TV-Z]{26}\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def new_id(prefix: str, moment: datetime | None = None) -> str:
    """`{prefix}_` and 26 characters: 60 bits of microseconds, then 70 random bits, so ids sort by
    creation time. `moment`: that time, where something else is dated by it too; else now.
    """
    at = time.time_ns() // 1000 if moment is None else _microseconds(moment)
    value = at << 70 | int.from_bytes(os.urandom(9), "big") >> 2
    return f"{prefix}_{_digits(value, _LENGTH)}"


def id_floor(prefix: str, moment: datetime, *, after: bool = False) -> str:
    """A text below every id made at `moment` or later, above every earlier one; `after` leaves out
    those made at `moment` itself.
    """
    at = max(0, _microseconds(moment) + after)
    return f"{prefix}_{_digits(at, _TIME_LENGTH)}"


def created_at(made: str) -> datetime:
    """When an id of `new_id` was made, to the microsecond."""
    at = 0
    for digit in made.partition("_")[2][:_TIME_LENGTH]:
        at = at * 32 + _ALPHABET.index(digit)
    return _EPOCH + at * _MICROSECOND


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _digits(value: int, length: int) -> str:
    digits = []
    for _ in range(length):
        value, digit = divmod(value, 32)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


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
