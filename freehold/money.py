"""Money as exact integers. The unit is the ninth part of a picodollar.

A price with at most six decimals per million tokens is a whole number of units for one token, and
$0.08 an hour is 200 for a microsecond: nothing is rounded before it is shown.
"""

from __future__ import annotations

DOLLAR = 9 * 10**12
CENT = DOLLAR // 100


def whole_cents(amount: int) -> int:
    """As the API reports it: half a cent and more is a cent (BEHAVIOUR 10)."""
    return (amount + CENT // 2) // CENT


def dollars(amount: int) -> str:
    """With six decimals, for a person: a request may cost less than a cent."""
    millionths = (amount + DOLLAR // 2_000_000) // (DOLLAR // 1_000_000)
    return f"{millionths // 1_000_000}.{millionths % 1_000_000:06}"
