"""The table of list prices that ships, and what an operator's own says instead.

The shipped one is `list_prices.json`: US dollars per million tokens of each model, per thousand web
searches and per hour of running time, with the source and its date. An operator's has the same
form; its models come on top of the shipped ones, and replace those of the same name whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from freehold.money import DOLLAR

if TYPE_CHECKING:
    from freehold.ports import Usage

_DATED = re.compile(r"-20\d{6}$")
_BEDROCK = re.compile(r"^(?:.*[./])?anthropic\.(?P<name>.+?)(?:-v\d+)?(?::\d+)?$")
_USD = re.compile(r"\d{1,7}(\.\d{1,6})?")
_MICROSECONDS_OF_AN_HOUR = 3_600_000_000


def _amount(usd: object) -> Decimal:
    """A string: JSON's numbers are binary fractions for most readers, and 0.1 is none of those."""
    if not isinstance(usd, str) or not _USD.fullmatch(usd):
        raise ValueError("must be a string of US dollars with at most 6 decimals")
    return Decimal(usd)


def _hourly(usd: object) -> Decimal:
    """What a microsecond costs must be a whole number of units."""
    amount = _amount(usd)
    if amount * DOLLAR % _MICROSECONDS_OF_AN_HOUR:
        raise ValueError("must be a string of US dollars with at most 2 decimals")
    return amount


Dollars: TypeAlias = Annotated[Decimal, BeforeValidator(_amount)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TokenPrices(_Strict):
    """US dollars per million tokens."""

    input: Dollars
    output: Dollars
    cache_read: Dollars
    cache_write_5m: Dollars
    cache_write_1h: Dollars

    def cost(self, usage: Usage) -> int:
        """Of these tokens, in units of `money`."""
        spent = (
            (self.input, usage.input_tokens),
            (self.output, usage.output_tokens),
            (self.cache_read, usage.cache_read_input_tokens),
            (self.cache_write_5m, usage.cache_creation_5m),
            (self.cache_write_1h, usage.cache_creation_1h),
        )
        return sum(int(price * DOLLAR / 10**6) * tokens for price, tokens in spent)


class LongPromptPrices(TokenPrices):
    """What every token of a request costs whose prompt is longer than `above` tokens."""

    above: int = Field(ge=1)


class ModelPrices(TokenPrices):
    """Of one model. Without `fast` its fast mode has no list price."""

    long_prompt: LongPromptPrices | None = None
    fast: TokenPrices | None = None

    def at(self, speed: str) -> TokenPrices | None:
        """Of a request at `standard` or `fast` speed; None where nobody listed a price."""
        return self if speed in ("", "standard") else self.fast if speed == "fast" else None

    def cost_of(self, usage: Usage) -> int | None:
        """Of one request: its prompt's length may decide."""
        prices = self.at(usage.speed)
        long = self.long_prompt
        if prices is self and long is not None and _prompt_tokens(usage) > long.above:
            prices = long
        return None if prices is None else prices.cost(usage)


def _prompt_tokens(usage: Usage) -> int:
    cached = usage.cache_read_input_tokens + usage.cache_creation_5m + usage.cache_creation_1h
    return usage.input_tokens + cached


class _Origin(_Strict):
    """Where a table was read, and when."""

    source: str = Field(min_length=1)
    date: date


class OwnPrices(_Origin):
    """An operator's table: what it leaves out stays as shipped."""

    models: Mapping[str, ModelPrices] = Field(default_factory=dict)
    web_search: Dollars | None = None
    session_hour: Annotated[Decimal, BeforeValidator(_hourly)] | None = None


class ListPrices(_Origin):
    """What is charged against budgets and reported as `list_cost`."""

    models: Mapping[str, ModelPrices]
    web_search: Dollars
    """Per thousand searches."""
    session_hour: Annotated[Decimal, BeforeValidator(_hourly)]
    own: OwnPrices | None = None
    """Never in a file: what was put on top."""

    def with_own(self, own: OwnPrices) -> Self:
        """This table with an operator's on top."""
        given = {
            name: price
            for name in ("web_search", "session_hour")
            if (price := getattr(own, name)) is not None
        }
        models = {**self.models, **own.models}
        return self.model_copy(update={**given, "models": models, "own": own})

    def model(self, name: str) -> ModelPrices | None:
        """By a name of the Claude API, with or without its date, or of Bedrock; None for a model
        that has no list price.
        """
        bedrock = _BEDROCK.match(name)
        plain = bedrock["name"] if bedrock else name
        return next(
            (self.models[n] for n in (name, plain, _DATED.sub("", plain)) if n in self.models), None
        )

    def has(self, name: str, speed: str | None) -> bool:
        """Whether requests to this model, at this speed, can be priced."""
        prices = self.model(name)
        return prices is not None and prices.at(speed or "") is not None

    def cost_of(self, usage: Usage) -> int | None:
        """Of one request to the model that `usage` names; None without a list price."""
        prices = self.model(usage.model)
        return None if prices is None else prices.cost_of(usage)

    @property
    def search_cost(self) -> int:
        """Of one web search."""
        return int(self.web_search * DOLLAR / 1000)

    @property
    def time_rate(self) -> int:
        """Of a microsecond of running time."""
        return int(self.session_hour * DOLLAR / _MICROSECONDS_OF_AN_HOUR)


@cache
def shipped_prices() -> ListPrices:
    """The table of this version."""
    text = Path(__file__).with_name("list_prices.json").read_text("utf-8")
    return ListPrices.model_validate_json(text)


def own_prices(text: str) -> OwnPrices:
    """An operator's table. Raises ValueError, which names every wrong place."""
    try:
        given = json.loads(text)
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from None
    try:
        return OwnPrices.model_validate(given)
    except ValidationError as wrong:
        found = wrong.errors(include_input=False, include_url=False)
        raise ValueError("; ".join(map(_place, found))) from None


def read_own_prices(path: Path) -> OwnPrices:
    """The same from a file. Raises ValueError."""
    try:
        return own_prices(path.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _place(found: Mapping[str, object]) -> str:
    loc = found["loc"]
    place = ".".join(map(str, loc)) if isinstance(loc, tuple) else ""
    message = str(found["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
