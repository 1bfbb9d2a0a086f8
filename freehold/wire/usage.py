"""Tokens, money and time as the API reports them (BEHAVIOUR 10)."""

from typing import Annotated, Literal, Self

from pydantic import Field

from freehold.money import CENT, whole_cents
from freehold.wire.base import Omittable, WireModel


class MonetaryAmount(WireModel):
    """Whole cents as a decimal string."""

    amount: str
    currency: Literal["USD"] = "USD"

    @classmethod
    def of(cls, amount: int) -> Self:
        """An amount in units of `money`, rounded."""
        return cls(amount=str(whole_cents(amount)))


class MonetaryAmountParams(WireModel):
    """Whole cents above 0, without decimals or leading zeros."""

    amount: Annotated[str, Field(pattern="^[1-9][0-9]{0,14}$")]
    currency: Literal["USD"]


class BudgetLimitParams(WireModel):
    """A budget as sent."""

    type: Literal["limit"]
    max_list_cost: MonetaryAmountParams

    @property
    def cap(self) -> int:
        """In units of `money`."""
        return int(self.max_list_cost.amount) * CENT


class BudgetLimit(WireModel):
    """The most a session may cost at list prices."""

    type: Literal["limit"] = "limit"
    max_list_cost: MonetaryAmount


class CacheCreationUsage(WireModel):
    """Tokens written to the prompt cache, by time to live."""

    ephemeral_5m_input_tokens: int = 0
    ephemeral_1h_input_tokens: int = 0


class ServerToolUsage(WireModel):
    """Requests of the web tools."""

    web_search_requests: int = 0
    web_fetch_requests: int = 0


class SessionUsageSnapshot(WireModel):
    """Totals so far; a figure that is not tracked is absent.

    `input_tokens` is the uncached part; `active_seconds` counts overlapping activity once.
    """

    input_tokens: Omittable[int] = None
    output_tokens: Omittable[int] = None
    cache_read_input_tokens: Omittable[int] = None
    cache_creation: Omittable[CacheCreationUsage] = None
    list_cost: Omittable[MonetaryAmount] = None
    active_seconds: Omittable[float] = None
    server_tool_use: Omittable[ServerToolUsage] = None


class SessionUsage(SessionUsageSnapshot):
    """Totals of a session over all its threads."""


class SessionThreadUsage(SessionUsageSnapshot):
    """Totals of one thread; `list_cost` without running time."""


class SpanModelUsage(WireModel):
    """Tokens of one model request; zeros where it failed. `speed` only in fast mode."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    speed: Omittable[Literal["standard", "fast"]] = None
