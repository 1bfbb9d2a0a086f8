"""The price table: what AWS asks for a thing, where that was read, and when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

HOURS_OF_A_MONTH = Decimal(730)
"""As AWS counts them."""
SECONDS_OF_A_MONTH = HOURS_OF_A_MONTH * 3600


def _power_of_ten(per: int) -> int:
    """Of a price for any other number of things, one would not be a finite decimal."""
    if per < 1 or str(per).strip("0") != "1":
        raise ValueError("must be 1, 10, 100, …")
    return per


def _text(usd: object) -> object:
    """JSON's numbers are binary fractions for most readers, and 0.1 is none of those."""
    if not isinstance(usd, str):
        raise ValueError("must be a string of decimals")  # noqa: TRY004 - pydantic takes no other
    return usd


class Price(BaseModel):
    """What `per` units cost in US dollars, without tax, discount or free tier."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    usd: Annotated[Decimal, BeforeValidator(_text), Field(ge=0, allow_inf_nan=False)]
    per: Annotated[int, AfterValidator(_power_of_ten)]
    unit: str = Field(min_length=1)
    source: str = Field(min_length=1)
    read: date
    """When the source said so."""
    how: Literal["read", "transcribed", "recalled"]
    """From AWS's own price list, from a copy of one, or from memory: check those first."""

    @property
    def each(self) -> Decimal:
        """Of one unit, exactly."""
        return self.usd / self.per


class PriceTableInvalid(Exception):
    """A file that is no price table. The message is one line and names the file and the place."""


class PriceTable(BaseModel):
    """Prices by name, such as `states.transition`, of one Region on one day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    region: str = Field(min_length=1)
    dated: date
    prices: Mapping[str, Price]

    @classmethod
    def shipped(cls) -> Self:
        """The one that comes with this version: us-east-1, on demand."""
        text = resources.files("freehold.aws_cost").joinpath("prices.json").read_text()
        return cls.model_validate_json(text)

    @classmethod
    def read(cls, file: Path) -> Self:
        """The shipped table with every price that `file`, of the same form, names replaced.

        A file may name some prices only, for a Region or a contract of one's own. Raises
        PriceTableInvalid for a file that cannot be read, and for a price of an unknown name.
        """
        shipped = cls.shipped()
        try:
            given = cls.model_validate_json(file.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise PriceTableInvalid(f"{file}: cannot be read") from error
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in wrong["loc"])
            raise PriceTableInvalid(f"{file}: {place}: {wrong['msg']}") from error
        unknown = sorted(set(given.prices) - set(shipped.prices))
        if unknown:
            raise PriceTableInvalid(f"{file}: no such price: {', '.join(unknown)}")
        return given.model_copy(update={"prices": {**shipped.prices, **given.prices}})

    def cost(self, name: str, amount: Decimal | int) -> Decimal:
        """Of so many units, exactly. Raises KeyError for a name that is in no table."""
        return self.prices[name].each * amount
