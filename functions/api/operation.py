"""An operation of the API as data, and the request it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, Literal, TypeVar, get_args, get_type_hints

from freehold.ports import App
from freehold.services.idempotency import Once
from freehold.services.keys import Caller
from freehold.services.rate_limits import Kind
from freehold.wire.base import WireModel
from freehold.wire.queries import Query

Q = TypeVar("Q", bound=Query)
B = TypeVar("B", bound=WireModel)


class NoQuery(Query):
    """The query of an operation without parameters."""


class NoBody(WireModel):
    """The body of an operation that takes none: empty, or an empty object. Some clients send one,
    some the other.
    """


@dataclass(frozen=True, slots=True)
class Request(Generic[Q, B]):
    """An authenticated request, understood. `once`: it carries an `Idempotency-Key`."""

    caller: Caller
    ids: Mapping[str, str]
    query: Q
    body: B
    once: Once | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """`path` names its ids in angle brackets. `run` gets only requests of authenticated callers;
    its annotations say what the operation takes and answers.

    `is_repeatable`: a create or a send, which takes an `Idempotency-Key`. `counts_as`: what it is
    to the rate limits, None for what is not limited.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    run: Callable[[App, Request[Any, Any]], WireModel]
    is_repeatable: bool = False
    counts_as: Kind | None = "create"

    @property
    def query(self) -> type[Query]:
        """What its query string is parsed into."""
        return _shapes(self.run)[0]

    @property
    def body(self) -> type[WireModel]:
        """What its body is parsed into."""
        return _shapes(self.run)[1]

    @property
    def answer(self) -> type[WireModel]:
        """What it answers."""
        return _shapes(self.run)[2]


@cache
def _shapes(run: Callable[..., WireModel]) -> tuple[type[Query], type[WireModel], type[WireModel]]:
    hints = get_type_hints(run)
    query, body = get_args(hints["request"])
    return query, body, hints["return"]
