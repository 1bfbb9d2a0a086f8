"""Query strings into models (BEHAVIOUR 1.5). What is not understood is refused, never half-read."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from freehold.errors import InvalidRequest
from freehold.ids import parse_timestamp, timestamp
from freehold.wire.base import WireModel
from freehold.wire.parsing import explain

_IGNORED = ("beta",)
_INTEGER = re.compile(r"[0-9]{1,9}\Z")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)\Z", re.ASCII)

Order = Literal["asc", "desc"]


def _integer(value: object) -> object:
    return int(value) if isinstance(value, str) and _INTEGER.match(value) else value


def _boolean(value: object) -> object:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _instant(value: object) -> object:
    """RFC 3339 with its offset, as the fixed-width UTC text that timestamps are compared as."""
    if not isinstance(value, str):
        return value
    if not _INSTANT.match(value):
        raise ValueError("must be an RFC 3339 timestamp with a time zone")
    try:
        return timestamp(parse_timestamp(value))
    except OverflowError:
        raise ValueError("must be a time of the years 1 to 9999 in UTC") from None


QueryInt = Annotated[int, BeforeValidator(_integer)]
QueryBool = Annotated[bool, BeforeValidator(_boolean)]
Instant = Annotated[
    str, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})
]


class Bound(NamedTuple):
    """An end of a range of time; `itself` belongs to the range or does not."""

    at: str
    itself: bool


class Query(WireModel):
    """A query string. Array parameters are the aliases that end in `[]`."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    @classmethod
    def from_query(cls, params: Sequence[tuple[str, str]]) -> Self:
        """The parameters in order, decoded. `beta` is ignored.

        Raises InvalidRequest naming the parameter that is unknown, given twice, or malformed.
        """
        known = {field.alias or name for name, field in cls.model_fields.items()}
        found: dict[str, Any] = {}
        for name, value in params:
            if name in _IGNORED:
                continue
            if name not in known:
                raise InvalidRequest(f"Unknown query parameter `{name}`.")
            if name.endswith("[]"):
                found.setdefault(name, []).append(value)
            elif name in found:
                raise InvalidRequest(f"Query parameter `{name}` was given more than once.")
            else:
                found[name] = value
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            raise InvalidRequest(explain(error, found)) from None


class CreatedBounds(Query):
    """`created_at[gte]` and `created_at[lte]`."""

    created_at_gte: Instant | None = Field(default=None, alias="created_at[gte]")
    created_at_lte: Instant | None = Field(default=None, alias="created_at[lte]")

    @property
    def lower(self) -> Sequence[Bound]:
        """What a time must not lie below."""
        return _bounds((self.created_at_gte, True))

    @property
    def upper(self) -> Sequence[Bound]:
        """What a time must not lie above."""
        return _bounds((self.created_at_lte, True))

    def is_too_early(self, at: str) -> bool:
        """Whether a timestamp lies below the bounds."""
        return any(at < bound.at or (at == bound.at and not bound.itself) for bound in self.lower)

    def is_too_late(self, at: str) -> bool:
        """Whether a timestamp lies above the bounds."""
        return any(at > bound.at or (at == bound.at and not bound.itself) for bound in self.upper)

    def spans(self, at: str) -> bool:
        """Whether a timestamp is within the bounds."""
        return not self.is_too_early(at) and not self.is_too_late(at)


class CreatedRange(CreatedBounds):
    """`created_at[gt]` and `created_at[lt]` as well."""

    created_at_gt: Instant | None = Field(default=None, alias="created_at[gt]")
    created_at_lt: Instant | None = Field(default=None, alias="created_at[lt]")

    @property
    def lower(self) -> Sequence[Bound]:
        return (*super().lower, *_bounds((self.created_at_gt, False)))

    @property
    def upper(self) -> Sequence[Bound]:
        return (*super().upper, *_bounds((self.created_at_lt, False)))


def _bounds(*given: tuple[str | None, bool]) -> tuple[Bound, ...]:
    return tuple(Bound(at, itself) for at, itself in given if at is not None)
